/** Small checks that most kinds share, with upstream's sentences. https://github.com/kubernetes/apimachinery/tree/master/pkg/api/validation */
import type { metav1 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { compareQuantities } from "../meta/quantity.ts";

/** One error for each thing that is wrong with one value. */
export function invalidEach(field: string, value: unknown, details: readonly string[]): FieldError[] {
  return details.map((detail) => invalid(field, value, detail));
}

/** Texts that must not be empty. */
export function requiredTexts<T extends object>(
  object: Readonly<T>,
  at: string,
  names: readonly (keyof T & string)[],
): FieldError[] {
  return names.filter((name) => !object[name]).map((name) => required(`${at}.${name}`));
}

/** Required, and with errors of its own when it is there. */
export function requiredWith(
  value: string | undefined,
  field: string,
  errorsOf: (value: string) => readonly string[],
): FieldError[] {
  return value ? invalidEach(field, value, errorsOf(value)) : [required(field)];
}

export function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  return supported.includes(value ?? "") ? [] : [notSupported(field, value ?? "", supported)];
}

export function positiveQuantity(value: metav1.Quantity, field: string): FieldError[] {
  return compareQuantities(value, 0) > 0 ? [] : [invalid(field, String(value), "must be greater than zero")];
}

/** `a=1,b=2`, as the columns of tables show labels and plain selectors. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return pairs.sort().join(",") || "<none>";
}
