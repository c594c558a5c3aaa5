/** How much of a shared device a request may consume. https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5075-dra-consumable-capacity */
import type { metav1, resourcev1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, required } from "../meta/field-error.ts";
import { addQuantities, compareQuantities, parseQuantity } from "../meta/quantity.ts";
import { validateSet } from "../validation/lists.ts";

type Policy = Readonly<resourcev1.CapacityRequestPolicy>;
type Range = Readonly<resourcev1.CapacityRequestPolicyRange>;
type Quantity = metav1.Quantity;

const optionsMax = 10;
const billion = 1_000_000_000n;

/** Whole units, rounded up. */
function wholeValue(quantity: Quantity): bigint {
  const nanos = parseQuantity(quantity)?.nanos ?? 0n;
  return nanos % billion > 0n ? nanos / billion + 1n : nanos / billion;
}

function validateValues(policy: Policy, capacity: Quantity, at: string): FieldError[] {
  const { validValues = [], default: given } = policy;
  if (given === undefined) return [required(`${at}.default`, "required when validValues is defined")];
  const path = `${at}.validValues`;
  const errors: FieldError[] = [];
  for (const [i, value] of validValues.entries()) {
    const next = validValues[i + 1];
    if (next !== undefined && compareQuantities(value, next) > 0)
      errors.push(invalid(`${path}[${i + 1}]`, String(next), "values must be sorted in ascending order"));
  }
  const check = (value: Quantity, field: string) =>
    compareQuantities(value, capacity) > 0
      ? [invalid(field, String(value), `option is larger than capacity value: ${capacity}`)]
      : [];
  errors.push(...validateSet(validValues, optionsMax, path, check, (value) => String(wholeValue(value))));
  if (!validValues.some((value) => compareQuantities(value, given) === 0)) {
    const rule = "default value is not valid according to the requestPolicy";
    errors.push(invalid(path, String(given), rule));
  }
  return errors;
}

function validateStep(range: Range, given: Quantity, capacity: Quantity, at: string): FieldError[] {
  const { min, max, step } = range;
  if (step === undefined) return [];
  if (compareQuantities(step, 0) <= 0) return [invalid(at, String(step), "must be greater than zero")];
  const errors: FieldError[] = [];
  const first = addQuantities(min, step);
  if (compareQuantities(first, capacity) > 0)
    errors.push(invalid(at, String(step), `one step ${first} is larger than capacity value: ${capacity}`));
  for (const value of max === undefined ? [given] : [given, max]) {
    if ((wholeValue(value) - wholeValue(min)) % wholeValue(step) === 0n) continue;
    const rule = `value is not a multiple of a given step (${step}) from (${min})`;
    errors.push(invalid(at, String(value), rule));
  }
  return errors;
}

function validateRange(range: Range, given: Quantity, capacity: Quantity, at: string): FieldError[] {
  const { min, max } = range;
  if (min === undefined) return [required(`${at}.min`, "required when validRange is defined")];
  const errors: FieldError[] = [];
  const fault = (field: string, value: Quantity, detail: string) =>
    errors.push(invalid(`${at}.${field}`, String(value), detail));
  if (compareQuantities(min, capacity) > 0)
    fault("min", min, `min is larger than capacity value: ${capacity}`);
  if (compareQuantities(given, min) < 0) fault("min", given, `default is less than min: ${min}`);
  if (max !== undefined) {
    if (compareQuantities(min, max) > 0) fault("max", min, `min is larger than max: ${max}`);
    if (compareQuantities(max, capacity) > 0)
      fault("max", max, `max is larger than capacity value: ${capacity}`);
    if (compareQuantities(given, max) > 0) fault("max", given, `default is more than max: ${max}`);
  }
  return [...errors, ...validateStep(range, given, capacity, `${at}.step`)];
}

export function validateRequestPolicy(policy: Policy, capacity: Quantity, at: string): FieldError[] {
  const { validValues = [], validRange, default: given } = policy;
  if (validValues.length > 0 && validRange) {
    const rule =
      'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time';
    return [forbiddenField(at, rule)];
  }
  if (validValues.length > 0) return validateValues(policy, capacity, at);
  if (!validRange) return [];
  if (given === undefined) return [required(`${at}.default`, "required when validRange is defined")];
  return validateRange(validRange, given, capacity, `${at}.validRange`);
}
