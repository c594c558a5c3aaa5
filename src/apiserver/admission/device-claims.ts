/**
 * What decides about claims for devices beside their own fields: the expressions that select devices are compiled, and
 * access for administrators is granted in namespaces that are marked for it.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import {
  deviceClasses,
  type FieldError,
  forbiddenField,
  invalid,
  invalidObject,
  type KubernetesObject,
  namespaces,
  type ResourceDefinition,
  resourceClaims,
  resourceClaimTemplates,
  type resourcev1,
} from "#api";
import { messageOf } from "#base";
import { deviceEnvironment } from "#cel";
import type { Storage } from "../registry/storage.ts";
import type { AdmissionStep } from "./admission.ts";

const adminLabel = "resource.kubernetes.io/admin-access";

type Selectors = readonly Readonly<resourcev1.DeviceSelector>[] | undefined;
type Expression = readonly [field: string, text: string];

export function deviceClaims(storage: Storage): AdmissionStep {
  return {
    name: "DeviceClaims",
    validate({ operation, definition, object, old, name, namespace, subresource }) {
      const expressionsOf = readers.get(definition);
      if (!expressionsOf || !object || subresource !== "") return;
      // What was accepted once stays good as it is.
      const known = new Set(old ? expressionsOf(old).map(([, text]) => text) : []);
      const errors = expressionsOf(object).flatMap((each) => (known.has(each[1]) ? [] : problem(each)));
      if (operation === "CREATE") errors.push(...adminErrors(storage, object, namespace));
      if (errors.length > 0) throw invalidObject(definition, name, errors);
    },
  };
}

function problem([field, text]: Expression): FieldError[] {
  try {
    const { type } = deviceEnvironment().compile(text);
    if (type === "bool" || type === "dyn") return [];
    return [invalid(field, text, `must evaluate to bool or the unknown type, not ${type}`)];
  } catch (error) {
    return [invalid(field, text, messageOf(error))];
  }
}

function ofSelectors(selectors: Selectors, at: string): Expression[] {
  return (selectors ?? []).flatMap(({ cel }, i) =>
    cel?.expression ? [[`${at}.selectors[${i}].cel.expression`, cel.expression] as const] : [],
  );
}

function ofClaim(spec: Readonly<resourcev1.ResourceClaimSpec>, at: string): Expression[] {
  return (spec.devices?.requests ?? []).flatMap(({ exactly, firstAvailable = [] }, i) => {
    const path = `${at}.devices.requests[${i}]`;
    return [
      ...ofSelectors(exactly?.selectors, `${path}.exactly`),
      ...firstAvailable.flatMap(({ selectors }, j) => ofSelectors(selectors, `${path}.firstAvailable[${j}]`)),
    ];
  });
}

/** The spec of the claim, or of those that the template makes. */
function claimSpecOf(object: Readonly<KubernetesObject>): Readonly<resourcev1.ResourceClaimSpec> | undefined {
  if (object.kind === resourceClaims.kind) return (object as resourcev1.ResourceClaim).spec;
  if (object.kind === resourceClaimTemplates.kind)
    return (object as resourcev1.ResourceClaimTemplate).spec.spec;
  return undefined;
}

function adminErrors(
  storage: Storage,
  object: Readonly<KubernetesObject>,
  namespace: string | undefined,
): FieldError[] {
  const requests = claimSpecOf(object)?.devices?.requests ?? [];
  const i = requests.findIndex(({ exactly }) => exactly?.adminAccess);
  if (i < 0) return [];
  const home = storage.find(namespaces as ResourceDefinition, undefined, namespace ?? "")?.parse();
  if (home?.metadata.labels?.[adminLabel] === "true") return [];
  const rule = `admin access to devices requires the \`${adminLabel}: true\` label on the containing namespace`;
  return [forbiddenField(`spec.devices.requests[${i}].adminAccess`, rule)];
}

const readers = new Map<ResourceDefinition, (object: Readonly<KubernetesObject>) => Expression[]>([
  [
    deviceClasses as ResourceDefinition,
    (object) => ofSelectors((object as resourcev1.DeviceClass).spec.selectors, "spec"),
  ],
  [resourceClaims as ResourceDefinition, (object) => ofClaim(claimSpecOf(object) ?? {}, "spec")],
  [resourceClaimTemplates as ResourceDefinition, (object) => ofClaim(claimSpecOf(object) ?? {}, "spec.spec")],
]);
