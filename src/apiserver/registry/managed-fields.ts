/** The owners of an object's fields, as a write leaves them. https://kubernetes.io/docs/reference/using-api/server-side-apply/ */
import { type KubernetesObject, type metav1, type ResourceDefinition, sameJson } from "#api";
import { canonicalOwners, type ManagedKind, trackUpdate } from "../apply/index.ts";
import { customOf } from "../customresources/custom-definition.ts";
import type { Registry, Target, WriteContext } from "./context.ts";

/** Components in this process that do not say who they are. */
const serverItself = "kube-apiserver";

/** A custom resource brings the schema of its version along. */
export function managedKindOf(definition: ResourceDefinition): ManagedKind {
  const custom = customOf(definition);
  return custom ? { ...definition, schema: custom.schema } : definition;
}

/**
 * Before admission, as upstream: what admission adds belongs to nobody. Owners are told in the version of the request.
 */
export function setManagedFields(
  { world }: Registry,
  { definition, requested }: Target,
  { manager = serverItself, isApplied }: WriteContext,
  subresource: string,
  object: KubernetesObject,
  old: Readonly<KubernetesObject> | undefined,
): void {
  if (isApplied) return;
  const write = {
    definition: managedKindOf(requested ?? definition),
    subresource,
    manager,
    nowMs: world.clock.now(),
  };
  const storedAs = requested?.storedAs;
  if (!storedAs) {
    trackUpdate(write, old, object);
    return;
  }
  const shown = (stored: Readonly<KubernetesObject>) => storedAs.fromStored(structuredClone(stored));
  const wanted = shown(object);
  trackUpdate(write, old && shown(old), wanted);
  if (wanted.metadata.managedFields) object.metadata.managedFields = wanted.metadata.managedFields;
  else delete object.metadata.managedFields;
}

/** A webhook has had the object: owners that mean nothing now are those from before. */
export function checkOwners(
  object: KubernetesObject,
  before: readonly metav1.ManagedFieldsEntry[] | undefined,
): void {
  const { metadata } = object;
  const { managedFields } = metadata;
  if (managedFields === undefined || managedFields === before) return;
  const owners = Array.isArray(managedFields) ? canonicalOwners(managedFields) : undefined;
  if (owners) metadata.managedFields = owners;
  else if (before) metadata.managedFields = [...before];
  else delete (metadata as Partial<typeof metadata>).managedFields;
}

/** A change of nothing but the times of owners is none: it comes of changes that were undone on the way. */
export function differOnlyInTimes(
  object: Readonly<KubernetesObject>,
  old: Readonly<KubernetesObject>,
): boolean {
  const [now, before] = [object.metadata.managedFields, old.metadata.managedFields];
  if (!now || !before || now.length !== before.length) return false;
  if (!sameJson(now.map(withoutTime), before.map(withoutTime))) return false;
  return sameJson(withoutOwners(object), withoutOwners(old));
}

function withoutTime({ time: _, ...entry }: metav1.ManagedFieldsEntry): unknown {
  return entry;
}

function withoutOwners({ metadata, ...rest }: Readonly<KubernetesObject>): unknown {
  return { ...rest, metadata: { ...metadata, managedFields: undefined } };
}
