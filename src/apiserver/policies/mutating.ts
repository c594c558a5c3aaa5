/** Mutating admission policies. https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/ */
import {
  type admissionregistrationv1,
  forbidden,
  isObject,
  type KubernetesObject,
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  type ResourceDefinition,
  StatusError,
  sameJson,
} from "#api";
import { messageOf } from "#base";
import type { AdmissionStep, Attributes } from "../admission/admission.ts";
import { layOver } from "../apply/index.ts";
import type { Authorizer } from "../authorization/authorizer.ts";
import { jsonPatch } from "../patch/index.ts";
import { managedKindOf } from "../registry/managed-fields.ts";
import { questionFor, type WebhookParts } from "../webhooks/ask.ts";
import { Configured } from "../webhooks/configured.ts";
import { isExempt } from "../webhooks/matching.ts";
import { changeTo } from "../webhooks/mutated.ts";
import { type Bound, boundTo, paramsOf } from "./bound.ts";
import { PolicyEnvironment, plainValue, valuesOf } from "./expressions.ts";
import { matchesAll } from "./match-conditions.ts";

type Policy = admissionregistrationv1.MutatingAdmissionPolicy;
type Binding = admissionregistrationv1.MutatingAdmissionPolicyBinding;
type BoundPolicy = Bound<Policy, Binding>;

export function mutatingPolicies(parts: WebhookParts, authorizer: Authorizer): AdmissionStep {
  const policies = new Configured(parts.storage, mutatingAdmissionPolicies);
  const bindings = new Configured(parts.storage, mutatingAdmissionPolicyBindings);
  const environments = new WeakMap<Readonly<Policy>, PolicyEnvironment>();
  const mutate = (bound: BoundPolicy, attributes: Attributes) => {
    const { policy } = bound;
    const environment = environments.get(policy) ?? new PolicyEnvironment(policy.spec.variables);
    environments.set(policy, environment);
    return mutateOne(parts, authorizer, bound, attributes, environment);
  };
  return {
    name: "MutatingAdmissionPolicy",
    admit(attributes) {
      if (bindings.all.length === 0 || isExempt(attributes) || !attributes.object) return undefined;
      const bound = boundTo(parts, policies.all, bindings.all, attributes);
      return bound.length > 0 ? mutateAll(bound, attributes, mutate) : undefined;
    },
  };
}

/** In the order of their names; those that want it see once more what others have changed after them. */
async function mutateAll(
  all: readonly BoundPolicy[],
  attributes: Attributes,
  mutate: (bound: BoundPolicy, attributes: Attributes) => Promise<boolean>,
): Promise<boolean> {
  const seen: { bound: BoundPolicy; object: KubernetesObject }[] = [];
  let isChanged = false;
  for (const bound of all) {
    isChanged = (await mutate(bound, attributes)) || isChanged;
    if (bound.policy.spec.reinvocationPolicy === "IfNeeded")
      seen.push({ bound, object: structuredClone(attributes.object!) });
  }
  for (const { bound, object } of seen)
    if (!sameJson(object, attributes.object)) isChanged = (await mutate(bound, attributes)) || isChanged;
  return isChanged;
}

async function mutateOne(
  parts: WebhookParts,
  authorizer: Authorizer,
  bound: BoundPolicy,
  attributes: Attributes,
  environment: PolicyEnvironment,
): Promise<boolean> {
  const { policy, binding, version } = bound;
  let isChanged = false;
  try {
    for (const params of paramsOf(parts, bound, attributes)) {
      for (const mutation of policy.spec.mutations ?? []) {
        const question = await questionFor(parts, version, attributes);
        const evaluate = environment.evaluator(valuesOf(parts.storage, authorizer, question, params));
        const matched = matchesAll(policy.spec.matchConditions, evaluate);
        if (matched.kind === "error") throw new Error(matched.why);
        if (matched.kind === "skip") break;
        const wanted = mutated(mutation, version, question.object, evaluate);
        isChanged = (await changeTo(attributes, version, wanted)) || isChanged;
      }
    }
    return isChanged;
  } catch (error) {
    if (policy.spec.failurePolicy === "Ignore") return isChanged;
    const why = error instanceof StatusError ? error.status.message : messageOf(error);
    const { metadata } = binding;
    throw forbidden(
      attributes.definition,
      attributes.name,
      `policy '${policy.metadata.name}' with binding '${metadata.name}' denied request: ${why}`,
    );
  }
}

function mutated(
  mutation: Readonly<admissionregistrationv1.Mutation>,
  version: ResourceDefinition,
  object: KubernetesObject | undefined,
  evaluate: (expression: string) => unknown,
): unknown {
  const { patchType, jsonPatch: patch, applyConfiguration } = mutation;
  const expression = (patchType === "JSONPatch" ? patch : applyConfiguration)?.expression ?? "";
  const made = plainValue(evaluate(expression));
  if (patchType === "JSONPatch") return jsonPatch(object, made);
  if (!isObject(made)) throw new Error("the expression made no object");
  return layOver(managedKindOf(version), object, { ...made, ...identityOf(object) });
}

/** A configuration may leave out what it is about, and cannot change it. */
function identityOf(object: KubernetesObject | undefined): object {
  return { apiVersion: object?.apiVersion, kind: object?.kind };
}
