/**
 * Conditions in CEL that narrow down what webhooks and policies are asked about.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
 */
import type { admissionregistrationv1 } from "#api";
import { messageOf } from "#base";

export type Matched = { kind: "match" } | { kind: "skip" } | { kind: "error"; why: string };

/** All must be true; one that is false decides, whatever errors the others made. */
export function matchesAll(
  conditions: readonly Readonly<admissionregistrationv1.MatchCondition>[] | undefined,
  evaluate: (expression: string) => unknown,
): Matched {
  const errors: string[] = [];
  for (const { name, expression } of conditions ?? []) {
    try {
      if (evaluate(expression) !== true) return { kind: "skip" };
    } catch (error) {
      errors.push(`error evaluating match condition ${JSON.stringify(name)}: ${messageOf(error)}`);
    }
  }
  return errors.length > 0 ? { kind: "error", why: errors.join("; ") } : { kind: "match" };
}
