/** Conditions in a status. https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/validation/validation.go */
import type { metav1 } from "../generated/types/index.ts";
import { duplicate, type FieldError, invalid, notSupported, required, tooLong } from "../meta/field-error.ts";
import { patternError, qualifiedNameErrors } from "./names.ts";

const statuses = ["False", "True", "Unknown"];
const reasonFormat = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
const reasonPattern = /^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/;
const reasonRule =
  "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
const reasonExamples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
const reasonMaxLength = 1024;
const messageMaxLength = 32 * 1024;

export function validateConditions(
  conditions: readonly metav1.Condition[] | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const types = new Set<string>();
  for (const [i, condition] of (conditions ?? []).entries()) {
    const at = `${path}[${i}]`;
    if (types.has(condition.type)) errors.push(duplicate(`${at}.type`, condition.type));
    types.add(condition.type);
    errors.push(...validateCondition(condition, at));
  }
  return errors;
}

function validateCondition(condition: Readonly<metav1.Condition>, at: string): FieldError[] {
  const { type = "", status = "", reason = "", message = "", observedGeneration = 0 } = condition;
  const errors = qualifiedNameErrors(type).map((e) => invalid(`${at}.type`, type, e));
  if (!statuses.includes(status)) errors.push(notSupported(`${at}.status`, status, statuses));
  if (observedGeneration < 0) {
    errors.push(
      invalid(`${at}.observedGeneration`, observedGeneration, "must be greater than or equal to zero"),
    );
  }
  if (!condition.lastTransitionTime) errors.push(required(`${at}.lastTransitionTime`));
  if (reason === "") errors.push(required(`${at}.reason`));
  else {
    if (reason.length > 64 * reasonMaxLength || !reasonPattern.test(reason)) {
      errors.push(invalid(`${at}.reason`, reason, patternError(reasonRule, reasonFormat, ...reasonExamples)));
    }
    if (Buffer.byteLength(reason) > reasonMaxLength) errors.push(tooLong(`${at}.reason`, reasonMaxLength));
  }
  if (Buffer.byteLength(message) > messageMaxLength) errors.push(tooLong(`${at}.message`, messageMaxLength));
  return errors;
}
