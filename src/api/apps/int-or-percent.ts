/** Counts of pods that may be given as percentages. https://kubernetes.io/docs/concepts/workloads/controllers/deployment/ */
import { nonNegative } from "../core/pod-spec/template.ts";
import type { metav1 } from "../generated/types/index.ts";
import { type FieldError, invalid } from "../meta/field-error.ts";
import { isPercent, scaledValue } from "../meta/int-or-string.ts";

export function validateIntOrPercent(value: metav1.IntOrString | undefined, field: string): FieldError[] {
  if (value === undefined) return [];
  if (typeof value === "number") return nonNegative(value, field);
  if (isPercent(value)) return [];
  const rule = "a valid percent string must be a numeric string followed by an ending '%'";
  return [invalid(field, value, `${rule} (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')`)];
}

/** A percentage of more than all of them makes no sense. */
export function atMostAll(value: metav1.IntOrString | undefined, field: string): FieldError[] {
  const percentage = typeof value === "string" ? (scaledValue(value, 100, false) ?? 0) : 0;
  return percentage > 100 ? [invalid(field, value, "must not be greater than 100%")] : [];
}

/** Whether it is nothing, as a number or as a percentage. */
export function isZero(value: metav1.IntOrString | undefined): boolean {
  return (scaledValue(value, 100, true) ?? 0) === 0;
}
