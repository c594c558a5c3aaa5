/**
 * Names and sizes of the CEL expressions of webhooks and policies. Whether an expression can be compiled is found out
 * where the engine is: by admission. https://kubernetes.io/docs/reference/using-api/cel/
 */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import { duplicate, type FieldError, required, tooMany } from "../meta/field-error.ts";
import { invalidEach, requiredWith } from "../validation/checks.ts";
import { qualifiedNameErrors } from "../validation/names.ts";
import { cIdentifierErrors } from "../validation/special-names.ts";

const matchConditionsMax = 64;

export function validateMatchConditions(
  conditions: readonly Readonly<admissionregistrationv1.MatchCondition>[] | undefined,
  at: string,
): FieldError[] {
  if (!conditions) return [];
  const errors: FieldError[] = [];
  if (conditions.length > matchConditionsMax) errors.push(tooMany(at, conditions.length, matchConditionsMax));
  for (const [i, { name, expression }] of conditions.entries()) {
    const path = `${at}[${i}]`;
    if (!expression?.trim()) errors.push(required(`${path}.expression`));
    if (!name) errors.push(required(`${path}.name`));
    else {
      errors.push(...invalidEach(`${path}.name`, name, qualifiedNameErrors(name)));
      if (conditions.findIndex((each) => each.name === name) !== i)
        errors.push(duplicate(`${path}.name`, name));
    }
  }
  return errors;
}

export function validateVariables(
  variables: readonly Readonly<admissionregistrationv1.Variable>[] | undefined,
  at: string,
): FieldError[] {
  return (variables ?? []).flatMap(({ name, expression }, i) => {
    const path = `${at}[${i}]`;
    const errors = requiredWith(name, `${path}.name`, cIdentifierErrors);
    if (!expression?.trim()) errors.push(required(`${path}.expression`, "expression is not specified"));
    if (variables!.findIndex((each) => each.name === name) !== i)
      errors.push(duplicate(`${path}.name`, name));
    return errors;
  });
}
