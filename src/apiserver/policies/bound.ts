/**
 * Policies with their bindings and parameters: which of them a request concerns.
 * https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources
 */
import {
  type admissionregistrationv1,
  apiVersionOf,
  type KubernetesObject,
  type ResourceDefinition,
  selectorMatches,
} from "#api";
import type { Attributes } from "../admission/admission.ts";
import { keyPrefix } from "../cache/keys.ts";
import type { WebhookParts } from "../webhooks/ask.ts";
import { type Matchable, matchedVersion } from "../webhooks/matching.ts";

interface Policy extends KubernetesObject {
  spec: Pick<
    admissionregistrationv1.ValidatingAdmissionPolicySpec,
    "failurePolicy" | "matchConditions" | "matchConstraints" | "paramKind" | "variables"
  >;
}

interface Binding extends KubernetesObject {
  spec: Pick<
    admissionregistrationv1.MutatingAdmissionPolicyBindingSpec,
    "matchResources" | "paramRef" | "policyName"
  >;
}

/** A policy that is to be asked for one of its bindings. */
export interface Bound<P extends Policy, B extends Binding> {
  policy: Readonly<P>;
  binding: Readonly<B>;
  version: ResourceDefinition;
}

export function boundTo<P extends Policy, B extends Binding>(
  parts: WebhookParts,
  policies: readonly P[],
  bindings: readonly B[],
  attributes: Attributes,
): Bound<P, B>[] {
  return policies.flatMap((policy) => {
    const { matchConstraints } = policy.spec;
    const version =
      matchConstraints &&
      matchedVersion(parts.storage, matchable(matchConstraints), attributes, parts.versionsOf);
    if (!version) return [];
    const own = bindings.filter((binding) => binding.spec.policyName === policy.metadata.name);
    return own
      .filter(({ spec }) => isFor(parts, spec.matchResources, attributes))
      .map((binding) => ({ policy, binding, version }));
  });
}

function matchable(given: Readonly<admissionregistrationv1.MatchResources>): Matchable {
  const { resourceRules = [], excludeResourceRules = [], ...selectors } = given;
  return { ...selectors, rules: resourceRules, excludeRules: excludeResourceRules };
}

const everything = [{ apiGroups: ["*"], apiVersions: ["*"], operations: ["*"], resources: ["*", "*/*"] }];

/** A binding without rules takes what its policy takes. */
function isFor(
  parts: WebhookParts,
  given: Readonly<admissionregistrationv1.MatchResources> | undefined,
  attributes: Attributes,
): boolean {
  if (!given) return true;
  const hook = matchable(given);
  const rules = hook.rules?.length ? hook.rules : everything;
  return matchedVersion(parts.storage, { ...hook, rules }, attributes, parts.versionsOf) !== undefined;
}

/** The parameters to ask with, one after the other; `undefined` stands for a policy that takes none. Throws why there are none. */
export function paramsOf<P extends Policy, B extends Binding>(
  { storage }: WebhookParts,
  { policy, binding }: Bound<P, B>,
  attributes: Attributes,
): readonly (KubernetesObject | undefined)[] {
  const { paramKind } = policy.spec;
  const { paramRef } = binding.spec;
  if (!paramKind || !paramRef) return [undefined];
  const definition = storage.resources.definitions.find(
    (each) =>
      each.kind === paramKind.kind &&
      apiVersionOf(each) === paramKind.apiVersion &&
      each.verbs.includes("list"),
  );
  if (!definition)
    throw new Error(
      `failed to find resource referenced by paramKind: '${paramKind.apiVersion}, Kind=${paramKind.kind}'`,
    );
  const namespace = definition.namespaced ? (paramRef.namespace ?? attributes.namespace ?? "") : undefined;
  if (definition.namespaced && !namespace) {
    throw new Error("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
  }
  const found = paramRef.name
    ? [storage.find(definition, namespace, paramRef.name)].filter((each) => each !== undefined)
    : [...storage.cache(definition).scan(keyPrefix(storageOf(definition), namespace))].filter((each) =>
        selectorMatches(paramRef.selector, each.facts.labels ?? {}),
      );
  if (found.length > 0) return found.map((each) => storage.view(definition, each).parse());
  if (paramRef.parameterNotFoundAction === "Deny")
    throw new Error("no params found for policy binding with `Deny` parameterNotFoundAction");
  return [];
}

function storageOf(definition: ResourceDefinition): ResourceDefinition {
  return definition.storedAs?.definition ?? definition;
}
