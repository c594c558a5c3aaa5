/** What a schema of custom resources may say, operator by operator, with upstream's paths and sentences. */
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { fieldPathError } from "./field-path.ts";
import { itemsOf, type JsonSchema, metadataOfResources, propertyOf, subSchemas } from "./schema.ts";

type Schema = Readonly<JsonSchema>;

const types = ["array", "boolean", "integer", "number", "object", "string"];
const reasons = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/** What the way down to a schema forbids. */
interface Place {
  /** Why defaults may not stand here; undefined: they may. */
  noDefaults: string | undefined;
  inMetadata: boolean;
}

export function validateSchema(schema: Schema, path: string): FieldError[] {
  return walk(schema, path, { noDefaults: undefined, inMetadata: false }, true);
}

function walk(schema: Schema, path: string, place: Place, isRoot: boolean): FieldError[] {
  const errors = [...standardErrors(schema, path, place), ...combinationErrors(schema, path)];
  for (const each of subSchemas(schema, path)) {
    errors.push(...walk(each.schema, each.path, placeOf(schema, path, each.path, place, isRoot), false));
  }
  return [
    ...errors,
    ...extensionErrors(schema, path),
    ...listErrors(schema, path),
    ...ruleErrors(schema, path),
  ];
}

function placeOf(schema: Schema, path: string, at: string, place: Place, isRoot: boolean): Place {
  if (at === `${path}.additionalProperties` && place.inMetadata)
    return { ...place, noDefaults: "inside additionalProperties applying to object metadata" };
  const name = at.startsWith(`${path}.properties[`) ? at.slice(path.length + 12, -1) : "";
  if (!metadataOfResources.has(name) || !(isRoot || schema["x-kubernetes-embedded-resource"])) return place;
  return { noDefaults: isRoot ? `in top-level ${name}` : place.noDefaults, inMetadata: true };
}

const unsupported: readonly (readonly [keyof JsonSchema, string])[] = [
  ["id", "id is not supported"],
  ["additionalItems", "additionalItems is not supported"],
  ["patternProperties", "patternProperties is not supported"],
  ["definitions", "definitions is not supported"],
  ["dependencies", "dependencies is not supported"],
  ["$ref", "$ref is not supported"],
];

function standardErrors(schema: Schema, path: string, place: Place): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.type && !types.includes(schema.type))
    errors.push(notSupported(`${path}.type`, schema.type, types));
  if (schema.default !== undefined && place.noDefaults !== undefined)
    errors.push(forbiddenField(`${path}.default`, `must not be set ${place.noDefaults}`));
  for (const [name, detail] of unsupported)
    if (schema[name] !== undefined) errors.push(forbiddenField(`${path}.${name}`, detail));
  if (schema.type === "null")
    errors.push(forbiddenField(`${path}.type`, "type cannot be set to null, use nullable as an alternative"));
  if (Array.isArray(schema.items) && schema.items.length > 0)
    errors.push(forbiddenField(`${path}.items`, "items must be a schema object and not an array"));
  if (place.inMetadata && schema["x-kubernetes-embedded-resource"])
    errors.push(
      forbiddenField(`${path}.x-kubernetes-embedded-resource`, "must not be used inside of resource meta"),
    );
  return errors;
}

function combinationErrors(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema.uniqueItems) {
    const detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
    errors.push(forbiddenField(`${path}.uniqueItems`, detail));
  }
  const { additionalProperties: additional } = schema;
  if (additional !== undefined && additional !== true && Object.keys(schema.properties ?? {}).length > 0) {
    const detail = "additionalProperties and properties are mutual exclusive";
    errors.push(forbiddenField(`${path}.additionalProperties`, detail));
  }
  return errors;
}

/** The type that an extension needs. */
function needsType(schema: Schema, path: string, type: string, extension: string): FieldError[] {
  if (schema.type === type) return [];
  const detail = `must be ${type} if ${extension} is specified`;
  return [schema.type ? invalid(`${path}.type`, schema.type, detail) : required(`${path}.type`, detail)];
}

function extensionErrors(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (schema["x-kubernetes-preserve-unknown-fields"] === false)
    errors.push(invalid(`${path}.x-kubernetes-preserve-unknown-fields`, false, "must be true or undefined"));
  const mapType = schema["x-kubernetes-map-type"];
  if (mapType === undefined) return errors;
  errors.push(...needsType(schema, path, "object", "x-kubernetes-map-type"));
  if (mapType !== "atomic" && mapType !== "granular")
    errors.push(notSupported(`${path}.x-kubernetes-map-type`, mapType, ["atomic", "granular"]));
  return errors;
}

function listErrors(schema: Schema, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const listType = schema["x-kubernetes-list-type"];
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const at = `${path}.x-kubernetes-list-type`;
  const items = itemsOf(schema);
  if (listType !== undefined) {
    if (schema.type !== "array") errors.push(...needsType(schema, path, "array", "x-kubernetes-list-type"));
    else if (listType === "set" && items) errors.push(...setErrors(items, path));
    if (!["atomic", "set", "map"].includes(listType))
      errors.push(notSupported(at, listType, ["atomic", "set", "map"]));
  }
  if (keys.length > 0 && listType !== "map") {
    const detail = "must be map if x-kubernetes-list-map-keys is non-empty";
    errors.push(listType === undefined ? required(at, detail) : invalid(at, listType, detail));
  }
  if (listType === "map") errors.push(...mapErrors(schema, items, keys, path));
  if (items?.nullable && (listType === "set" || listType === "map")) {
    const detail = `cannot be nullable when x-kubernetes-list-type is ${listType}`;
    errors.push(forbiddenField(`${path}.items.nullable`, detail));
  }
  return errors;
}

function setErrors(items: Schema, path: string): FieldError[] {
  const detail = "must be atomic as item of a list with x-kubernetes-list-type=set";
  const listType = items["x-kubernetes-list-type"];
  if (items.type === "array" && listType !== undefined && listType !== "atomic")
    return [invalid(`${path}.items.x-kubernetes-list-type`, listType, detail)];
  if (items.type === "object" && items["x-kubernetes-map-type"] !== "atomic")
    return [invalid(`${path}.items.x-kubernetes-map-type`, listType, detail)];
  return [];
}

function mapErrors(
  schema: Schema,
  items: Schema | undefined,
  keys: readonly string[],
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const at = `${path}.x-kubernetes-list-map-keys`;
  if (keys.length === 0) errors.push(required(at, "must not be empty if x-kubernetes-list-type is map"));
  if (schema.items === undefined)
    errors.push(required(`${path}.items`, "must have a schema if x-kubernetes-list-type is map"));
  if (!items) return errors;
  if (items.type !== "object") {
    const detail = "must be object if parent array's x-kubernetes-list-type is map";
    return [...errors, invalid(`${path}.items.type`, items.type ?? "", detail)];
  }
  const seen = new Set<string>();
  for (const key of keys) {
    errors.push(...keyErrors(items, keys, key, path));
    if (seen.has(key)) errors.push(invalid(at, keys, "must not contain duplicate entries"));
    seen.add(key);
  }
  return errors;
}

function keyErrors(items: Schema, keys: readonly string[], key: string, path: string): FieldError[] {
  const property = propertyOf(items, key);
  if (!property) {
    const detail = "entries must all be names of item properties";
    return [invalid(`${path}.x-kubernetes-list-map-keys`, keys, detail)];
  }
  const errors: FieldError[] = [];
  const at = `${path}.items.properties[${key}]`;
  if (property.type === "array" || property.type === "object") {
    const detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
    errors.push(invalid(`${at}.type`, items.type, detail));
  }
  if (!items.required?.includes(key) && property.default === undefined) {
    const detail =
      "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
    errors.push(required(`${at}.default`, detail));
  }
  if (property.nullable) {
    const detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
    errors.push(forbiddenField(`${at}.nullable`, detail));
  }
  return errors;
}

const lineBreak = /[\n\r]/;

/** Of rules in CEL all but the expressions themselves. */
function ruleErrors(schema: Schema, path: string): FieldError[] {
  return (schema["x-kubernetes-validations"] ?? []).flatMap((rule, i) => {
    const at = `${path}.x-kubernetes-validations[${i}]`;
    const errors: FieldError[] = [];
    const { message = "", messageExpression = "", fieldPath = "", reason } = rule;
    if (!rule.rule.trim()) errors.push(required(`${at}.rule`, "rule is not specified"));
    else if (message && !message.trim())
      errors.push(invalid(`${at}.message`, message, "message must be non-empty if specified"));
    else if (lineBreak.test(message.trim()))
      errors.push(invalid(`${at}.message`, message, "message must not contain line breaks"));
    else if (lineBreak.test(rule.rule.trim()) && !message.trim())
      errors.push(required(`${at}.message`, "message must be specified if rule contains line breaks"));
    if (messageExpression && !messageExpression.trim())
      errors.push(required(`${at}.messageExpression`, "messageExpression must be non-empty if specified"));
    if (reason !== undefined && !reasons.includes(reason))
      errors.push(notSupported(`${at}.reason`, reason, reasons));
    if (fieldPath && !fieldPath.trim())
      errors.push(invalid(`${at}.fieldPath`, fieldPath, "fieldPath must be non-empty if specified"));
    if (lineBreak.test(fieldPath))
      errors.push(invalid(`${at}.fieldPath`, fieldPath, "fieldPath must not contain line breaks"));
    if (fieldPath && fieldPathError(fieldPath, schema))
      errors.push(invalid(`${at}.fieldPath`, fieldPath, "fieldPath must be a valid path"));
    return errors;
  });
}
