/**
 * One walk over a parsed body against the schema: checks every type with the wording of Go's decoder, reports and drops
 * unknown fields, drops nulls and empty optional values and fills in the zeros of required ones as Go does, and brings times and
 * quantities into canonical form.
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
 */
import { canonicalQuantity, quantityError } from "./quantity.ts";
import { type FieldSchema, type SpecialKind, schemaOf, type TypeSchema } from "./schema.ts";
import { canonicalMicroTime, canonicalTime, timeError } from "./time.ts";

/** A value of the wrong type: the message is Go's. */
export class DecodeError extends Error {
  override name = "DecodeError";
}

type Json = Record<string, unknown>;

/** Where the walk is, kept as parts so that nothing is joined unless something is wrong. */
interface Walk {
  path: (string | number)[];
  unknown: string[];
}

/** Reports stay small whatever a client sends. */
const unknownMax = 100;

/**
 * Decodes in place: `value` must be the caller's own. Unknown fields are answered as paths (`spec.foo`,
 * `spec.containers[0].bar`) and are gone from the value. Fields whose values are those of `decoded` have been decoded
 * before. Throws `DecodeError`.
 */
export function decode(
  typeName: string,
  value: unknown,
  decoded?: Readonly<Record<string, unknown>>,
): { unknown: string[] } {
  const type = schemaOf(typeName);
  if (!isObject(value)) {
    throw new DecodeError(`json: cannot unmarshal ${described(value)} into Go value of type ${type.goName}`);
  }
  const walk: Walk = { path: [], unknown: [] };
  walkObject(type, value, walk, true, decoded);
  return { unknown: walk.unknown };
}

/** What strict decoding minds, as separate sentences: a `Warning` header has one for each. */
export function strictWarnings(unknown: readonly string[], duplicates: readonly string[] = []): string[] {
  return [...duplicates.map((p) => `duplicate field "${p}"`), ...unknown.map((p) => `unknown field "${p}"`)];
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function walkObject(
  type: TypeSchema,
  object: Json,
  walk: Walk,
  isRoot: boolean,
  decoded?: Readonly<Json>,
): void {
  const fields = type.fields;
  for (const key of Object.keys(object)) {
    const field = fields.get(key);
    if (field === undefined) {
      if ((isRoot || type.gvk !== undefined) && (key === "apiVersion" || key === "kind"))
        checkTypeMeta(type, object, key);
      else dropUnknown(object, key, walk);
      continue;
    }
    const value = object[key];
    if (value === null) {
      delete object[key];
      continue;
    }
    if (decoded !== undefined && value === decoded[key]) continue;
    walk.path.push(key);
    const walked = walkField(type, field, value, walk);
    walk.path.pop();
    if (walked === undefined) delete object[key];
    else if (walked !== value) object[key] = walked;
  }
  for (const field of type.alwaysPresent) {
    if (object[field.name] === undefined) object[field.name] = emptyOf(field);
  }
}

function checkTypeMeta(type: TypeSchema, object: Json, key: string): void {
  const value = object[key];
  if (value === null) delete object[key];
  else if (typeof value !== "string") {
    throw new DecodeError(
      `json: cannot unmarshal ${described(value)} into Go struct field ${type.shortName}.${key} of type string`,
    );
  }
}

function dropUnknown(object: Json, key: string, walk: Walk): void {
  if (walk.unknown.length < unknownMax) walk.unknown.push(pathText([...walk.path, key]));
  delete object[key];
}

/** The decoded value; undefined when Go would leave it out. */
function walkField(owner: TypeSchema, field: FieldSchema, value: unknown, walk: Walk): unknown {
  if (field.container === "list") return walkList(owner, field, value, walk);
  if (field.container === "map") return walkMap(owner, field, value, walk);
  const decoded = walkElement(owner, field, value, walk);
  if (field.omitZero && (decoded === "" || decoded === 0 || decoded === false)) return undefined;
  return decoded;
}

function walkList(owner: TypeSchema, field: FieldSchema, value: unknown, walk: Walk): unknown {
  if (!Array.isArray(value)) throw mismatch(owner, field, value, walk);
  for (let i = 0; i < value.length; i++) {
    const element: unknown = value[i];
    if (element === null) {
      value[i] = zeroOf(field);
      continue;
    }
    walk.path.push(i);
    const decoded = walkElement(owner, field, element, walk);
    walk.path.pop();
    if (decoded !== element) value[i] = decoded;
  }
  return value.length === 0 && !field.required ? undefined : value;
}

function walkMap(owner: TypeSchema, field: FieldSchema, value: unknown, walk: Walk): unknown {
  if (!isObject(value)) throw mismatch(owner, field, value, walk);
  const keys = Object.keys(value);
  for (const key of keys) {
    const element = value[key];
    if (element === null) {
      value[key] = zeroOf(field);
      continue;
    }
    walk.path.push(key);
    const decoded = walkElement(owner, field, element, walk);
    walk.path.pop();
    if (decoded !== element) value[key] = decoded;
  }
  return keys.length === 0 && !field.required ? undefined : value;
}

function emptyOf(field: FieldSchema): unknown {
  return field.container === "list" ? [] : field.container === "map" ? {} : zeroOf(field);
}

function zeroMessage(type: TypeSchema): unknown {
  if (type.special) return type.special === "quantity" ? "0" : null;
  return Object.fromEntries(type.alwaysPresent.map((field) => [field.name, emptyOf(field)]));
}

/** What Go holds where nothing was said. */
function zeroOf(field: FieldSchema): unknown {
  switch (field.kind) {
    case "string":
    case "bytes":
      return "";
    case "bool":
      return false;
    case "message":
      return zeroMessage(field.type());
    default:
      return 0;
  }
}

function walkElement(owner: TypeSchema, field: FieldSchema, value: unknown, walk: Walk): unknown {
  switch (field.kind) {
    case "string":
      if (typeof value !== "string") throw mismatch(owner, field, value, walk, "string");
      return value;
    case "bool":
      if (typeof value !== "boolean") throw mismatch(owner, field, value, walk, "bool");
      return value;
    case "int32":
    case "int64":
      if (typeof value !== "number" || !fits(field.kind, value))
        throw mismatch(owner, field, value, walk, field.kind);
      return value;
    case "double":
      if (typeof value !== "number") throw mismatch(owner, field, value, walk, "float64");
      return value;
    case "bytes":
      return base64(owner, field, value, walk);
    default: {
      const type = field.type();
      if (type.special !== undefined) return walkSpecial(type.special, owner, field, value, walk);
      if (!isObject(value)) throw mismatch(owner, field, value, walk, type.goName);
      walkObject(type, value, walk, false);
      return value;
    }
  }
}

function fits(kind: "int32" | "int64", value: number): boolean {
  if (!Number.isInteger(value)) return false;
  return kind === "int32" ? value >= -2147483648 && value <= 2147483647 : Math.abs(value) < 2 ** 63;
}

const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function base64(owner: TypeSchema, field: FieldSchema, value: unknown, walk: Walk): string {
  if (typeof value !== "string") throw mismatch(owner, field, value, walk, "[]uint8");
  // Go ignores line ends inside base64.
  const text = value.includes("\n") || value.includes("\r") ? value.replace(/[\r\n]/g, "") : value;
  if (text.length % 4 !== 0 || !(text.length > 65536 ? isBase64(text) : base64Pattern.test(text))) {
    throw new DecodeError(`illegal base64 data at input byte ${firstIllegal(text)}`);
  }
  return text;
}

/** For long texts, where a backtracking pattern would need too much stack. */
function isBase64(text: string): boolean {
  return firstIllegal(text) >= text.length - 2 && Buffer.from(text, "base64").toString("base64") === text;
}

function firstIllegal(text: string): number {
  const at = text.search(/[^A-Za-z0-9+/]/);
  return at < 0 ? text.length : at;
}

function walkSpecial(
  special: SpecialKind,
  owner: TypeSchema,
  field: FieldSchema,
  value: unknown,
  walk: Walk,
): unknown {
  switch (special) {
    case "time":
    case "microTime": {
      if (typeof value !== "string") throw mismatch(owner, field, value, walk, "string");
      if (value === "") return undefined;
      const time = special === "time" ? canonicalTime(value) : canonicalMicroTime(value);
      if (time === undefined) throw new DecodeError(timeError(value));
      return time;
    }
    case "quantity": {
      if (typeof value !== "string" && typeof value !== "number") throw new DecodeError(quantityError);
      const quantity = canonicalQuantity(value);
      if (quantity === undefined) throw new DecodeError(quantityError);
      return quantity;
    }
    case "intOrString":
      if (typeof value !== "string" && !(typeof value === "number" && fits("int32", value))) {
        throw mismatch(owner, field, value, walk, "intstr.IntOrString");
      }
      return value;
    case "duration":
      if (typeof value !== "string") throw mismatch(owner, field, value, walk, "string");
      return value;
    case "fields":
      if (!isObject(value)) throw mismatch(owner, field, value, walk, "v1.FieldsV1");
      return value;
    case "strings":
      if (!Array.isArray(value) || value.some((v) => typeof v !== "string")) {
        throw mismatch(owner, field, value, walk, "[]string");
      }
      return value;
    case "schemaOrBool":
      return typeof value === "boolean" ? value : walkSchema(owner, field, value, walk);
    case "schemaOrArray":
      return Array.isArray(value)
        ? value.map((each) => walkSchema(owner, field, each, walk))
        : walkSchema(owner, field, value, walk);
    case "schemaOrStrings":
      if (Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
      return walkSchema(owner, field, value, walk);
    default:
      return value;
  }
}

/** The schema that stands where something simpler may stand too. */
function walkSchema(owner: TypeSchema, field: FieldSchema, value: unknown, walk: Walk): unknown {
  const type = field.type();
  if (!isObject(value)) throw mismatch(owner, field, value, walk, type.goName);
  walkObject(type.fields.get("schema")!.type(), value, walk, false);
  return value;
}

function mismatch(
  owner: TypeSchema,
  field: FieldSchema,
  value: unknown,
  walk: Walk,
  goType?: string,
): DecodeError {
  // Go names fields, never the keys of a map.
  const isInMap = field.container === "map" && goType !== undefined;
  const path = isInMap ? walk.path.slice(0, -1) : walk.path;
  const names = path.filter((part) => typeof part === "string").join(".");
  return new DecodeError(
    `json: cannot unmarshal ${described(value, goType)} into Go struct field ${owner.shortName}.${names} of type ${goType ?? goTypeOf(field)}`,
  );
}

function goTypeOf(field: FieldSchema): string {
  const scalar = field.kind === "bytes" ? "[]uint8" : field.kind === "double" ? "float64" : field.kind;
  const element = field.kind === "message" ? field.type().goName : scalar;
  return field.container === "list"
    ? `[]${element}`
    : field.container === "map"
      ? `map[string]${element}`
      : element;
}

/** As Go's decoder names what it met. */
function described(value: unknown, goType?: string): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "number") return goType?.startsWith("int") ? `number ${value}` : "number";
  return typeof value;
}

/** `spec.containers[0].name`. */
export function pathText(parts: readonly (string | number)[]): string {
  let text = "";
  for (const part of parts) {
    if (typeof part === "number") text += `[${part}]`;
    else text += text ? `.${part}` : part;
  }
  return text;
}
