/** Lets webhooks have their say on a write, in the order that upstream's admission chain has. */
import type { KubernetesObject } from "#api";
import type { Admission, Attributes } from "../admission/admission.ts";
import { checkOwners } from "./managed-fields.ts";

/**
 * Completes the object: this process' own steps, then webhooks; what they change is completed once more. Reservations
 * come last, for the object that is really meant.
 */
export async function complete(
  admission: Admission,
  attributes: Attributes,
  again: () => void,
): Promise<void> {
  admission.mutate(attributes);
  const pending = admission.admit(attributes);
  if (pending) {
    const identity = identityOf(attributes.object);
    const owners = attributes.object?.metadata.managedFields;
    if (await pending) {
      Object.assign(attributes.object?.metadata ?? {}, identity);
      if (attributes.object) checkOwners(attributes.object, owners);
      again();
      admission.mutate(attributes);
    }
  }
  admission.reserve(attributes);
}

/** What an object is never asked about. */
function identityOf(object: KubernetesObject | undefined): Partial<KubernetesObject["metadata"]> {
  const { uid, name, namespace, creationTimestamp, generation } = object?.metadata ?? {};
  return {
    ...(uid ? { uid } : {}),
    ...(name ? { name } : {}),
    ...(namespace ? { namespace } : {}),
    ...(creationTimestamp ? { creationTimestamp } : {}),
    ...(generation ? { generation } : {}),
  };
}

/** Webhooks first: between the decision of this process' own steps and the write nothing is awaited. */
export async function approve(admission: Admission, attributes: Attributes): Promise<void> {
  const pending = admission.review(attributes);
  if (pending) await pending;
  const charged = admission.charge(attributes);
  if (charged) await charged;
  admission.validate(attributes);
}
