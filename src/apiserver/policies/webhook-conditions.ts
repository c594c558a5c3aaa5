/**
 * The match conditions of a webhook.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
 */
import { type admissionregistrationv1, forbidden } from "#api";
import type { Authorizer } from "../authorization/authorizer.ts";
import type { Storage } from "../registry/storage.ts";
import type { Question } from "../webhooks/admission-review.ts";
import { PolicyEnvironment, valuesOf } from "./expressions.ts";
import { matchesAll } from "./match-conditions.ts";

/** Match conditions have no variables: one environment keeps all their programs. */
let environment: PolicyEnvironment | undefined;

/** Whether the webhook is to be asked. Throws 403 where that cannot be found out and the webhook must not be passed by. */
export function conditionsAllow(
  storage: Storage,
  authorizer: Authorizer,
  hook: Readonly<admissionregistrationv1.ValidatingWebhook>,
  question: Question,
): boolean {
  if (!hook.matchConditions?.length) return true;
  environment ??= new PolicyEnvironment();
  const evaluate = environment.evaluator(valuesOf(storage, authorizer, question));
  const matched = matchesAll(hook.matchConditions, evaluate);
  if (matched.kind !== "error") return matched.kind === "match";
  if (hook.failurePolicy === "Ignore") return false;
  const { definition, name } = question.attributes;
  throw forbidden(definition, name, matched.why);
}
