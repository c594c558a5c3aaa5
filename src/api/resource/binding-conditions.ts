/** Conditions a device must meet before its pod is bound. https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/5007-device-attach-before-pod-scheduled */
import { duplicate, type FieldError, invalid } from "../meta/field-error.ts";
import { validateList } from "../validation/lists.ts";
import { validateQualifiedKey } from "./names.ts";

interface Bound {
  readonly bindingConditions?: readonly string[];
  readonly bindingFailureConditions?: readonly string[];
}

const conditionsMax = 4;

function repeated(list: readonly string[], path: string): FieldError[] {
  return list.flatMap((each, i) => (list.indexOf(each) < i ? [duplicate(`${path}[${i}]`, each)] : []));
}

export function validateBindingConditions(bound: Bound, at: string): FieldError[] {
  const { bindingConditions = [], bindingFailureConditions = [] } = bound;
  const [good, bad] = [`${at}.bindingConditions`, `${at}.bindingFailureConditions`];
  const errors = [
    ...validateList(bindingConditions, conditionsMax, good, validateQualifiedKey),
    ...validateList(bindingFailureConditions, conditionsMax, bad, validateQualifiedKey),
    ...repeated(bindingConditions, good),
    ...repeated(bindingFailureConditions, bad),
  ];
  for (const [i, condition] of bindingFailureConditions.entries()) {
    if (!bindingConditions.includes(condition)) continue;
    const rule = "bindingFailureConditions must not overlap with bindingConditions";
    errors.push(invalid(`${bad}[${i}]`, condition, rule));
  }
  if (bindingConditions.length === 0 && bindingFailureConditions.length > 0)
    errors.push(invalid(good, null, "bindingConditions are required to use bindingFailureConditions"));
  if (bindingFailureConditions.length === 0 && bindingConditions.length > 0)
    errors.push(invalid(bad, null, "bindingFailureConditions are required to use bindingConditions"));
  return errors;
}
