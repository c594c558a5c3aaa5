/**
 * Structural schemas: every field has its type outside of logical operators, so that the server knows what to prune.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 */
import { messageOf } from "#base";
import { sameJson } from "../core/pod-spec/template.ts";
import { type FieldError, forbiddenField, invalid, required } from "../meta/field-error.ts";
import { compilePattern } from "./pattern.ts";
import { additionalOf, itemsOf, type JsonSchema, propertyOf } from "./schema.ts";

type Level = "root" | "item" | "field";
type Schema = Readonly<JsonSchema>;

const embedded = "x-kubernetes-embedded-resource";
const preserve = "x-kubernetes-preserve-unknown-fields";
const intOrString = "x-kubernetes-int-or-string";

export function validateStructural(schema: Schema, path: string): FieldError[] {
  const errors = [...invariants(schema, "root", path), ...completeness(schema, path)];
  return errors.sort((a, b) => (`${a.field}: ${a.message}` < `${b.field}: ${b.message}` ? -1 : 1));
}

function invariants(schema: Schema, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const items = itemsOf(schema);
  if (schema.type === "array" && !items) errors.push(required(`${path}.items`, "must be specified"));
  if (items) errors.push(...invariants(items, "item", `${path}.items`));
  for (const [name, each] of Object.entries(schema.properties ?? {}))
    errors.push(...invariants(each, "field", `${path}.properties[${name}]`));
  if (schema.additionalProperties !== undefined && level === "root")
    errors.push(forbiddenField(`${path}.additionalProperties`, "must not be used at the root"));
  const additional = additionalOf(schema);
  if (additional) errors.push(...invariants(additional, "field", `${path}.additionalProperties`));
  return [
    ...errors,
    ...extensionErrors(schema, path),
    ...valueErrors(schema, isIntOrStringAnyOf(schema), isIntOrStringAnyOf(schema.allOf?.[0]), path),
    ...typeErrors(schema, level, path),
    ...metadataErrors(schema, level, path),
  ];
}

function extensionErrors(schema: Schema, path: string): FieldError[] {
  if (!schema[intOrString]) return [];
  const detail = "must be false if x-kubernetes-int-or-string is true";
  return [preserve, embedded]
    .filter((name) => (schema as Record<string, unknown>)[name])
    .map((name) => invalid(`${path}.${name}`, true, detail));
}

const missingType: Record<Level, string> = {
  root: "must not be empty at the root",
  item: "must not be empty for specified array items",
  field: "must not be empty for specified object fields",
};

function typeErrors(schema: Schema, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { type = "" } = schema;
  if (schema[embedded] && type !== "object") {
    const detail = "must be object if x-kubernetes-embedded-resource is true";
    errors.push(type ? invalid(`${path}.type`, type, detail) : required(`${path}.type`, detail));
  } else if (!type && !schema[intOrString] && !schema[preserve]) {
    errors.push(required(`${path}.type`, missingType[level]));
  }
  if (schema[embedded] && schema.additionalProperties !== undefined) {
    const detail = "must not be used if x-kubernetes-embedded-resource is set";
    errors.push(forbiddenField(`${path}.additionalProperties`, detail));
  }
  if (level === "root" && type && type !== "object")
    errors.push(invalid(`${path}.type`, type, "must be object at the root"));
  if (schema[embedded] && !schema[preserve] && Object.keys(schema.properties ?? {}).length === 0) {
    const detail =
      "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
    errors.push(required(`${path}.properties`, detail));
  }
  return errors;
}

function metadataErrors(schema: Schema, level: Level, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const isResource = level === "root" || schema[embedded] === true;
  for (const name of ["kind", "apiVersion"]) {
    const type = propertyOf(schema, name)?.type ?? "";
    if (isResource && propertyOf(schema, name) && type !== "string")
      errors.push(invalid(`${path}.properties[${name}].type`, type, "must be string"));
  }
  const metadata = propertyOf(schema, "metadata");
  if (!metadata) return errors;
  const at = `${path}.properties[metadata]`;
  if (isResource && metadata.type !== "object")
    errors.push(invalid(`${at}.type`, metadata.type ?? "", "must be object"));
  if (level === "root" && !isPlainMetadata(metadata)) {
    const detail =
      "must not specify anything other than name and generateName, but metadata is implicitly specified";
    errors.push(forbiddenField(at, detail));
  }
  return errors;
}

/** Descriptions are not minded: they restrict nothing. */
function isPlainMetadata(metadata: Schema): boolean {
  const { type: _, properties = {}, default: __, description: ___, ...rest } = metadata;
  const others = Object.keys(properties).filter((name) => name !== "name" && name !== "generateName");
  return others.length === 0 && Object.keys(rest).every((name) => valueKeys.has(name));
}

const valueKeys: ReadonlySet<string> = new Set([
  "format",
  "maximum",
  "exclusiveMaximum",
  "minimum",
  "exclusiveMinimum",
  "maxLength",
  "minLength",
  "pattern",
  "maxItems",
  "minItems",
  "uniqueItems",
  "multipleOf",
  "enum",
  "maxProperties",
  "minProperties",
  "required",
]);

const integerOrString = [{ type: "integer" }, { type: "string" }];

function isIntOrStringAnyOf(schema: Schema | undefined): boolean {
  return sameJson(schema?.anyOf, integerOrString);
}

/** What stands beside the structure: it may narrow values down, never say what they are. */
function valueErrors(
  schema: Schema,
  skipAnyOf: boolean,
  skipFirstAllOf: boolean,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (!skipAnyOf)
    for (const [i, each] of (schema.anyOf ?? []).entries())
      errors.push(...nestedErrors(each, false, `${path}.anyOf[${i}]`));
  for (const [i, each] of (schema.allOf ?? []).entries())
    errors.push(...nestedErrors(each, skipFirstAllOf && i === 0, `${path}.allOf[${i}]`));
  for (const [i, each] of (schema.oneOf ?? []).entries())
    errors.push(...nestedErrors(each, false, `${path}.oneOf[${i}]`));
  if (schema.not) errors.push(...nestedErrors(schema.not, false, `${path}.not`));
  if (!schema.pattern) return errors;
  try {
    compilePattern(schema.pattern);
  } catch (error) {
    const detail = `must be a valid regular expression, but isn't: ${messageOf(error)}`;
    errors.push(invalid(`${path}.pattern`, schema.pattern, detail));
  }
  return errors;
}

const emptyToBeStructural: readonly (readonly [keyof JsonSchema, string])[] = [
  ["type", "must be empty to be structural"],
  ["additionalProperties", "must be undefined to be structural"],
  ["default", "must be undefined to be structural"],
  ["title", "must be empty to be structural"],
  ["description", "must be empty to be structural"],
  ["nullable", "must be false to be structural"],
  ["externalDocs", "must be undefined to be structural"],
  [preserve, "must be false to be structural"],
  [embedded, "must be false to be structural"],
  [intOrString, "must be false to be structural"],
  ["x-kubernetes-list-map-keys", "must be empty to be structural"],
  ["x-kubernetes-list-type", "must be undefined to be structural"],
  ["x-kubernetes-map-type", "must be undefined to be structural"],
  ["x-kubernetes-validations", "must be empty to be structural"],
];

function nestedErrors(schema: Schema, skipAnyOf: boolean, path: string): FieldError[] {
  const errors = valueErrors(schema, skipAnyOf, false, path);
  const items = itemsOf(schema);
  if (items) errors.push(...nestedErrors(items, false, `${path}.items`));
  for (const [name, each] of Object.entries(schema.properties ?? {}))
    errors.push(...nestedErrors(each, false, `${path}.properties[${name}]`));
  for (const [name, detail] of emptyToBeStructural) {
    const value = schema[name];
    const isSet = Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
    if (isSet) errors.push(forbiddenField(`${path}.${name}`, detail));
  }
  if (propertyOf(schema, "metadata"))
    errors.push(forbiddenField(`${path}.properties[metadata]`, "must not be specified in a nested context"));
  return errors;
}

/** Every field that logical operators speak of stands in the structure itself, too. */
function completeness(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const nested = [
    ...(schema.allOf ?? []).map((each, i) => [each, `${path}.allOf[${i}]`] as const),
    ...(schema.anyOf ?? []).map((each, i) => [each, `${path}.anyOf[${i}]`] as const),
    ...(schema.oneOf ?? []).map((each, i) => [each, `${path}.oneOf[${i}]`] as const),
    ...(schema.not ? [[schema.not, `${path}.not`] as const] : []),
  ];
  for (const [each, at] of nested) errors.push(...missing(each, schema, at, path));
  for (const [name, each] of Object.entries(schema.properties ?? {}))
    errors.push(...completeness(each, `${path}.properties[${name}]`));
  const additional = additionalOf(schema);
  if (additional) errors.push(...completeness(additional, `${path}.additionalProperties`));
  const items = itemsOf(schema);
  if (items) errors.push(...completeness(items, `${path}.items`));
  return errors;
}

function missing(nested: Schema, schema: Schema, at: string, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const items = itemsOf(nested);
  const structuralItems = itemsOf(schema);
  if (items && !structuralItems) {
    errors.push(required(`${path}.items`, `because it is defined in ${at}.items`));
  } else if (items && structuralItems) {
    errors.push(...missing(items, structuralItems, `${at}.items`, `${path}.items`));
  }
  for (const [name, each] of Object.entries(nested.properties ?? {})) {
    const found = propertyOf(schema, name);
    const here = `${path}.properties[${name}]`;
    if (found) errors.push(...missing(each, found, `${at}.properties[${name}]`, here));
    else if (!schema[preserve] || schema.properties)
      errors.push(required(here, `because it is defined in ${at}.properties[${name}]`));
  }
  const deeper = [...(nested.allOf ?? []), ...(nested.anyOf ?? []), ...(nested.oneOf ?? [])];
  for (const each of nested.not ? [...deeper, nested.not] : deeper)
    errors.push(...missing(each, schema, at, path));
  return errors;
}
