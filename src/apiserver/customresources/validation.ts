/** Custom resources against what their definition says. */
import {
  type FieldError,
  type JsonSchema,
  type KubernetesObject,
  validateListTypes,
  validateValue,
} from "#api";
import type { Rules } from "./rules.ts";

type Resource = Readonly<KubernetesObject>;

/** Errors after which rules might speak of what is not there. */
const blocking: ReadonlySet<string> = new Set([
  "FieldValueNotSupported",
  "FieldValueRequired",
  "FieldValueTooLong",
  "FieldValueTooMany",
  "FieldValueDuplicate",
  "FieldValueTypeInvalid",
]);

const notChecked: FieldError = {
  type: "FieldValueInvalid",
  field: "<nil>",
  message:
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
};

export interface Validator {
  validate(object: Resource): FieldError[];
  validateUpdate(object: Resource, old: Resource): FieldError[];
  validateStatusUpdate(object: Resource, old: Resource): FieldError[];
}

export function validatorOf(schema: Readonly<JsonSchema>, rules: Rules): Validator {
  const status = schema.properties?.status;
  const withRules = (errors: FieldError[], object: Resource, old: Resource | undefined) => {
    if (rules.isEmpty) return errors;
    if (errors.some((error) => blocking.has(error.type))) return [...errors, notChecked];
    return [...errors, ...rules.validate(object, old)];
  };
  return {
    validate: (object) =>
      withRules(
        [...validateValue(object, schema, ""), ...validateListTypes(object, schema, "")],
        object,
        undefined,
      ),
    validateUpdate: (object, old) =>
      withRules(
        [...validateValue(object, schema, "", old), ...listErrors(object, old, schema, "")],
        object,
        old,
      ),
    validateStatusUpdate(object, old) {
      const now = statusOf(object);
      if (!status || now === undefined) return withRules([], object, old);
      const errors = validateValue(now, status, "status", statusOf(old));
      return withRules([...errors, ...listErrors(now, statusOf(old), status, "status")], object, old);
    },
  };
}

/** Objects that held something twice before there was a rule against it may go on doing so. */
function listErrors(value: unknown, old: unknown, schema: Readonly<JsonSchema>, path: string): FieldError[] {
  return validateListTypes(old, schema, path).length > 0 ? [] : validateListTypes(value, schema, path);
}

function statusOf(object: Resource): unknown {
  return (object as { status?: unknown }).status;
}
