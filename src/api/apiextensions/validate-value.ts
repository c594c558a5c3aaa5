/**
 * Custom resources against their schema, with the words of upstream's validator. Of a change, what did not change is
 * not looked at again: an object that was stored before a rule was there may still be written.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting
 */
import { sameJson } from "../core/pod-spec/template.ts";
import { isObject } from "../meta/decode.ts";
import { type FieldError, invalid, notSupported, required, tooMany } from "../meta/field-error.ts";
import { matchesFormat } from "./formats.ts";
import { compilePattern } from "./pattern.ts";
import { additionalOf, itemsOf, type JsonSchema, propertyOf } from "./schema.ts";

type Schema = Readonly<JsonSchema>;

/** What has no path of its own. */
const nowhere = "<nil>";

/** All errors; `old` is what stood in the same place before, if anything. */
export function validateValue(value: unknown, schema: Schema, path: string, old?: unknown): FieldError[] {
  if (old !== undefined && sameJson(value, old)) return [];
  const errors = [...typeErrors(value, schema, path), ...alternativeErrors(value, schema, path)];
  if (schema.enum && schema.enum.length > 0 && value !== null)
    errors.push(...enumErrors(value, schema.enum, path));
  if (typeof value === "string") errors.push(...stringErrors(value, schema, path));
  else if (typeof value === "number") errors.push(...numberErrors(value, schema, path));
  else if (Array.isArray(value)) errors.push(...listErrors(value, schema, path, old));
  else if (isObject(value)) errors.push(...objectErrors(value, schema, path, old));
  return errors;
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function inBody(path: string, what: string): string {
  return `${path} in body ${what}`;
}

function mismatch(path: string, shown: string, type: string): FieldError {
  const detail = inBody(path, `must be of type ${type}: ${JSON.stringify(shown)}`);
  return { ...invalid(path || nowhere, shown, detail), type: "FieldValueTypeInvalid" };
}

function typeErrors(value: unknown, schema: Schema, path: string): FieldError[] {
  const wanted = schema["x-kubernetes-int-or-string"]
    ? ["integer", "string"]
    : schema.type
      ? [schema.type]
      : [];
  if (wanted.length === 0) return [];
  const actual = typeOf(value);
  if (value === null && schema.nullable) return [];
  if (wanted.includes(actual) || (actual === "integer" && wanted.includes("number"))) return [];
  return [mismatch(path, actual, wanted.join(","))];
}

function enumErrors(value: unknown, allowed: readonly unknown[], path: string): FieldError[] {
  if (allowed.some((each) => sameJson(each, value))) return [];
  const texts = allowed.map((each) => (typeof each === "string" ? each : JSON.stringify(each)));
  return [notSupported(path, value, texts)];
}

function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length++;
  return length;
}

function stringErrors(text: string, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { maxLength, minLength, pattern, format } = schema;
  if (maxLength !== undefined && text.length > maxLength && lengthOf(text) > maxLength) {
    const message = `Too long: may not be more than ${maxLength} bytes`;
    errors.push({ type: "FieldValueTooLong", field: path, message });
  }
  if (minLength !== undefined && lengthOf(text) < minLength)
    errors.push(invalid(path, text, inBody(path, `should be at least ${minLength} chars long`)));
  if (pattern && !compilePattern(pattern).test(text))
    errors.push(invalid(path, text, inBody(path, `should match '${pattern}'`)));
  if (format && (schema.type === "string" || !schema.type) && !matchesFormat(format, text))
    errors.push(mismatch(path, text, format));
  return errors;
}

function numberErrors(value: number, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { maximum, minimum, multipleOf } = schema;
  const refuse = (what: string) => errors.push(invalid(path, value, inBody(path, what)));
  if (maximum !== undefined && (schema.exclusiveMaximum ? value >= maximum : value > maximum))
    refuse(`should be less than ${schema.exclusiveMaximum ? "" : "or equal to "}${maximum}`);
  if (minimum !== undefined && (schema.exclusiveMinimum ? value <= minimum : value < minimum))
    refuse(`should be greater than ${schema.exclusiveMinimum ? "" : "or equal to "}${minimum}`);
  if (multipleOf && Math.abs(value / multipleOf - Math.round(value / multipleOf)) > 1e-9)
    refuse(`should be a multiple of ${multipleOf}`);
  const range = schema.type === "integer" && schema.format === "int32" ? 2 ** 31 : 2 ** 63;
  if (Number.isInteger(value) && schema.type === "integer" && (value < -range || value >= range))
    refuse(`Checked value must be of type integer with format ${schema.format || "int64"}`);
  return errors;
}

function listErrors(list: readonly unknown[], schema: Schema, path: string, old: unknown): FieldError[] {
  const { maxItems, minItems } = schema;
  const errors: FieldError[] = [];
  if (maxItems !== undefined && list.length > maxItems) errors.push(tooMany(path, list.length, maxItems));
  if (minItems !== undefined && list.length < minItems)
    errors.push(invalid(path, list.length, inBody(path, `should have at least ${minItems} items`)));
  const items = itemsOf(schema);
  if (!items) return errors;
  const before = correlate(schema, old);
  for (const [i, each] of list.entries())
    errors.push(...validateValue(each, items, `${path}[${i}]`, before(each, i)));
  return errors;
}

/** The old item in whose place another one stands: by its keys in maps, by its place in lists without a type. */
export function correlate(schema: Schema, old: unknown): (item: unknown, index: number) => unknown {
  if (!Array.isArray(old)) return () => undefined;
  const keys = schema["x-kubernetes-list-map-keys"];
  if (schema["x-kubernetes-list-type"] !== "map" || !keys) return () => undefined;
  const identity = (item: unknown) =>
    isObject(item) ? JSON.stringify(keys.map((key) => item[key] ?? null)) : undefined;
  const found = new Map(old.map((item) => [identity(item), item]));
  return (item) => {
    const id = identity(item);
    return id === undefined ? undefined : found.get(id);
  };
}

function objectErrors(
  object: Record<string, unknown>,
  schema: Schema,
  path: string,
  old: unknown,
): FieldError[] {
  const errors: FieldError[] = [];
  const count = Object.keys(object).length;
  const { maxProperties, minProperties } = schema;
  if (maxProperties !== undefined && count > maxProperties) errors.push(tooMany(path, count, maxProperties));
  if (minProperties !== undefined && count < minProperties)
    errors.push(invalid(path, count, inBody(path, `should have at least ${minProperties} properties`)));
  for (const name of schema.required ?? [])
    if (!Object.hasOwn(object, name)) errors.push(required(join(path, name)));
  const additional = additionalOf(schema);
  const before = isObject(old) ? old : {};
  for (const [name, value] of Object.entries(object)) {
    const property = propertyOf(schema, name);
    const inner = property ?? additional;
    if (!inner) continue;
    const oldValue = Object.hasOwn(before, name) ? before[name] : undefined;
    errors.push(...validateValue(value, inner, join(path, name), oldValue));
  }
  return errors;
}

function join(path: string, name: string): string {
  return path ? `${path}.${name}` : name;
}

function alternativeErrors(value: unknown, schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const composite = (text: string) =>
    errors.push(invalid(nowhere, "", `${JSON.stringify(path)} must ${text}`));
  const tried = (schemas: readonly JsonSchema[]) => schemas.map((each) => validateValue(value, each, path));
  if (schema.anyOf?.length) {
    const results = tried(schema.anyOf);
    if (!results.some((each) => each.length === 0)) {
      composite("validate at least one schema (anyOf)");
      errors.push(...best(results));
    }
  }
  if (schema.oneOf?.length) {
    const results = tried(schema.oneOf);
    const valid = results.filter((each) => each.length === 0).length;
    if (valid === 0) {
      composite("validate one and only one schema (oneOf). Found none valid");
      errors.push(...best(results));
    } else if (valid > 1)
      composite(`validate one and only one schema (oneOf). Found ${valid} valid alternatives`);
  }
  if (schema.allOf?.length) {
    const failed = tried(schema.allOf).filter((each) => each.length > 0);
    errors.push(...failed.flat());
    if (failed.length === schema.allOf.length) composite("validate all the schemas (allOf). None validated");
    else if (failed.length > 0) composite("validate all the schemas (allOf)");
  }
  if (schema.not && validateValue(value, schema.not, path).length === 0)
    composite("not validate the schema (not)");
  return errors;
}

function best(results: readonly FieldError[][]): FieldError[] {
  return results.reduce((least, each) => (each.length < least.length ? each : least));
}
