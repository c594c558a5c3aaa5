/** Validating admission policies. https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ */
import {
  type admissionregistrationv1,
  forbidden,
  type metav1,
  StatusError,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "#api";
import { messageOf } from "#base";
import type { AdmissionStep, Attributes } from "../admission/admission.ts";
import type { Authorizer } from "../authorization/authorizer.ts";
import { questionFor, type WebhookParts } from "../webhooks/ask.ts";
import { Configured } from "../webhooks/configured.ts";
import { isExempt } from "../webhooks/matching.ts";
import { type Bound, boundTo, paramsOf } from "./bound.ts";
import { PolicyEnvironment, valuesOf } from "./expressions.ts";
import { matchesAll } from "./match-conditions.ts";

type Policy = admissionregistrationv1.ValidatingAdmissionPolicy;
type Binding = admissionregistrationv1.ValidatingAdmissionPolicyBinding;
type BoundPolicy = Bound<Policy, Binding>;

interface Violation {
  message: string;
  reason: string;
}

const codes: Readonly<Record<string, number>> = {
  Unauthorized: 401,
  Forbidden: 403,
  RequestEntityTooLarge: 413,
  Invalid: 422,
};

export function validatingPolicies(parts: WebhookParts, authorizer: Authorizer): AdmissionStep {
  const policies = new Configured(parts.storage, validatingAdmissionPolicies);
  const bindings = new Configured(parts.storage, validatingAdmissionPolicyBindings);
  const environments = new WeakMap<Readonly<Policy>, PolicyEnvironment>();
  const environmentOf = (policy: Readonly<Policy>) => {
    const known = environments.get(policy) ?? new PolicyEnvironment(policy.spec.variables);
    environments.set(policy, known);
    return known;
  };
  return {
    name: "ValidatingAdmissionPolicy",
    review(attributes) {
      if (bindings.all.length === 0 || isExempt(attributes)) return undefined;
      const bound = boundTo(parts, policies.all, bindings.all, attributes);
      if (bound.length === 0) return undefined;
      return reviewAll(parts, authorizer, bound, attributes, environmentOf);
    },
  };
}

async function reviewAll(
  parts: WebhookParts,
  authorizer: Authorizer,
  all: readonly BoundPolicy[],
  attributes: Attributes,
  environmentOf: (policy: Readonly<Policy>) => PolicyEnvironment,
): Promise<void> {
  const denials: Violation[] = [];
  for (const bound of all) {
    const violations = await violationsOf(parts, authorizer, bound, attributes, environmentOf(bound.policy));
    const actions = bound.binding.spec.validationActions;
    const name = bound.policy.metadata.name;
    const binding = bound.binding.metadata.name;
    for (const { message, reason } of violations) {
      if (actions.includes("Deny"))
        denials.push({
          reason,
          message: `ValidatingAdmissionPolicy '${name}' with binding '${binding}' denied request: ${message}`,
        });
      if (actions.includes("Warn"))
        attributes.warnings?.push(
          `Validation failed for ValidatingAdmissionPolicy '${name}' with binding '${binding}': ${message}`,
        );
    }
  }
  if (denials.length > 0) throw denied(attributes, denials);
}

/** What the policy finds wrong; its own mistakes count as that unless they are to be ignored. */
async function violationsOf(
  parts: WebhookParts,
  authorizer: Authorizer,
  bound: BoundPolicy,
  attributes: Attributes,
  environment: PolicyEnvironment,
): Promise<Violation[]> {
  const { spec } = bound.policy;
  const failed = (why: string): Violation[] =>
    spec.failurePolicy === "Ignore" ? [] : [{ message: why, reason: "Invalid" }];
  try {
    const question = await questionFor(parts, bound.version, attributes);
    return paramsOf(parts, bound, attributes).flatMap((params) => {
      const evaluate = environment.evaluator(valuesOf(parts.storage, authorizer, question, params));
      const matched = matchesAll(spec.matchConditions, evaluate);
      if (matched.kind === "skip") return [];
      if (matched.kind === "error") return failed(matched.why);
      return (spec.validations ?? []).flatMap((validation) => check(validation, evaluate, failed));
    });
  } catch (error) {
    return failed(`failed to configure binding: ${messageOf(error)}`);
  }
}

function check(
  validation: Readonly<admissionregistrationv1.Validation>,
  evaluate: (expression: string) => unknown,
  failed: (why: string) => Violation[],
): Violation[] {
  const { expression, reason } = validation;
  try {
    if (evaluate(expression) === true) return [];
  } catch (error) {
    return failed(`expression '${expression}' resulted in error: ${messageOf(error)}`);
  }
  return [{ message: messageFor(validation, evaluate), reason: reason ?? "Invalid" }];
}

function messageFor(
  { expression, message, messageExpression }: Readonly<admissionregistrationv1.Validation>,
  evaluate: (expression: string) => unknown,
): string {
  const fallback = message?.trim() || `failed expression: ${expression.trim()}`;
  if (!messageExpression) return fallback;
  try {
    const text = evaluate(messageExpression);
    return typeof text === "string" && text.trim() !== "" && !text.includes("\n") ? text.trim() : fallback;
  } catch {
    return fallback;
  }
}

/** The first is the message; the others stand beside it. */
function denied({ definition, name }: Attributes, [first, ...rest]: readonly Violation[]): StatusError {
  const { message, reason } = first!;
  const { status } = forbidden(definition, name, message);
  const causes: metav1.StatusCause[] = [first!, ...rest].map((each) => ({ message: each.message }));
  return new StatusError({
    ...status,
    reason,
    code: codes[reason] ?? 422,
    details: { ...status.details, causes },
  });
}
