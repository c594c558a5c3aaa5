/**
 * Who may change what of a claim's status: the binding is the scheduler's, what is told of a device its driver's, on the
 * driver's own node or on any. Beside the right to change the status at all, which is asked before.
 * https://kubernetes.io/docs/concepts/security/hardening-guide/dynamic-resource-allocation/#harden-dra-status-update-permissions
 */
import {
  type FieldError,
  forbiddenField,
  invalidObject,
  type KubernetesObject,
  type ResourceDefinition,
  resourceClaims,
  type resourcev1,
  sameJson,
} from "#api";
import { forbiddenTo } from "../authorization/attributes.ts";
import type { Authorizer } from "../authorization/authorizer.ts";
import { nodeOfAccount, type User } from "../user.ts";
import type { AdmissionStep, Attributes } from "./admission.ts";

type Status = Readonly<resourcev1.ResourceClaimStatus>;
type Device = Readonly<resourcev1.AllocatedDeviceStatus>;

export function claimStatus(authorizer: Authorizer): AdmissionStep {
  return {
    name: "ResourceClaimStatusAuthorization",
    validate(attributes) {
      const { definition, subresource, object, old, name } = attributes;
      if (
        definition !== (resourceClaims as ResourceDefinition) ||
        subresource !== "status" ||
        !object ||
        !old
      )
        return;
      const [now, before] = [statusOf(object), statusOf(old)];
      const errors = [
        ...bindingErrors(authorizer, attributes, now, before),
        ...deviceErrors(authorizer, attributes, now, before),
      ];
      if (errors.length > 0) throw invalidObject(definition, name, errors);
    },
  };
}

const statusOf = (object: Readonly<KubernetesObject>): Status =>
  (object as resourcev1.ResourceClaim).status ?? {};

/** Why none of the verbs is allowed; undefined where one is. */
function refusal(
  authorizer: Authorizer,
  { user, definition, namespace = "" }: Pick<Attributes, "user" | "definition" | "namespace">,
  subresource: string,
  name: string,
  verbs: readonly string[],
): string | undefined {
  const { group, version, resource: kind } = definition;
  const resource = { group, version, resource: kind, subresource, namespace, name };
  const refused = verbs.map((verb) => ({ user, verb, path: "", resource }));
  const decisions = refused.map((asked) => authorizer.authorize(asked));
  if (decisions.some(({ allowed }) => allowed)) return undefined;
  return forbiddenTo(refused[0]!, decisions[0]!.reason).message;
}

/** Bindings are judged for the whole cluster. */
function bindingErrors(
  authorizer: Authorizer,
  { user, definition }: Attributes,
  now: Status,
  before: Status,
): FieldError[] {
  const isSame = sameJson(now.allocation, before.allocation) && sameJson(now.reservedFor, before.reservedFor);
  if (isSame) return [];
  const asked = { user, definition, namespace: undefined };
  const why = refusal(authorizer, asked, "binding", "", ["update", "patch"]);
  if (!why) return [];
  const detail = `changing status.allocation or status.reservedFor requires extra permission: ${why}`;
  return [forbiddenField("status", detail)];
}

function deviceErrors(
  authorizer: Authorizer,
  attributes: Attributes,
  now: Status,
  before: Status,
): FieldError[] {
  const isNear = isOnNodeOf(attributes.user, now);
  const prefixes = isNear ? ["associated-node", "arbitrary-node"] : ["arbitrary-node"];
  const verbs = prefixes.flatMap((prefix) => [`${prefix}:update`, `${prefix}:patch`]);
  return changedDrivers(now, before).flatMap((driver) => {
    const why = refusal(authorizer, attributes, "driver", driver, verbs);
    return why
      ? [forbiddenField("status.devices", `changing status.devices requires extra permission: ${why}`)]
      : [];
  });
}

/** What was told of devices that the claim no longer has goes with them. */
export function changedDrivers(now: Status, before: Status): string[] {
  const keyOf = ({ driver, pool, device, shareID = "" }: Device) => [driver, pool, device, shareID].join("/");
  const byKey = (devices: readonly Device[]) => new Map(devices.map((device) => [keyOf(device), device]));
  const allocated = new Set((now.allocation?.devices?.results ?? []).map((result) => keyOf(result)));
  const [told, known] = [byKey(now.devices ?? []), byKey(before.devices ?? [])];
  const added = [...told.values()].filter((device) => !sameJson(device, known.get(keyOf(device))));
  const removed = [...known.values()].filter(
    (device) => !told.has(keyOf(device)) && allocated.has(keyOf(device)),
  );
  return [...new Set([...added, ...removed].map(({ driver }) => driver))].sort();
}

/** The user is an account whose pod is on the one node that the claim's devices are on. */
function isOnNodeOf(user: User, { allocation }: Status): boolean {
  const node = nodeOfAccount(user);
  if (node === undefined) return false;
  const [term, ...terms] = allocation?.nodeSelector?.nodeSelectorTerms ?? [];
  const [field, ...fields] = term?.matchFields ?? [];
  if (terms.length > 0 || fields.length > 0 || (term?.matchExpressions ?? []).length > 0) return false;
  const isOne = field?.key === "metadata.name" && field.operator === "In" && field.values?.length === 1;
  return isOne && field.values?.[0] === node;
}
