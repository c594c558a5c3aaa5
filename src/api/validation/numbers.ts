/** Numbers with bounds. https://github.com/kubernetes/apimachinery/blob/master/pkg/api/validation/generic.go */
import { type FieldError, invalid } from "../meta/field-error.ts";

export function nonNegative(value: number | undefined, field: string): FieldError[] {
  return value !== undefined && value < 0
    ? [invalid(field, value, "must be greater than or equal to 0")]
    : [];
}

export function inRange(value: number | undefined, field: string, low: number, high: number): FieldError[] {
  if (value === undefined || (value >= low && value <= high)) return [];
  return [invalid(field, value, `must be between ${low} and ${high}, inclusive`)];
}
