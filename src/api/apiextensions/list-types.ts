/**
 * Lists that are sets or maps hold nothing twice, and resources inside others say what they are.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
 */
import { isObject } from "../meta/decode.ts";
import { duplicate, type FieldError, invalid, required } from "../meta/field-error.ts";
import { additionalOf, itemsOf, type JsonSchema, propertyOf } from "./schema.ts";

type Schema = Readonly<JsonSchema>;

export function validateListTypes(value: unknown, schema: Schema, path: string): FieldError[] {
  if (Array.isArray(value)) {
    const items = itemsOf(schema);
    const inner = items ? value.flatMap((each, i) => validateListTypes(each, items, `${path}[${i}]`)) : [];
    return [...uniqueErrors(value, schema, path), ...inner];
  }
  if (!isObject(value)) return [];
  const additional = additionalOf(schema);
  const errors = path && schema["x-kubernetes-embedded-resource"] ? embeddedErrors(value, path) : [];
  for (const [name, each] of Object.entries(value)) {
    const property = propertyOf(schema, name);
    const at = property ? (path ? `${path}.${name}` : name) : `${path}[${name}]`;
    const inner = property ?? additional;
    if (inner && typeof each === "object") errors.push(...validateListTypes(each, inner, at));
  }
  return errors;
}

function embeddedErrors(object: Readonly<Record<string, unknown>>, path: string): FieldError[] {
  return ["apiVersion", "kind"]
    .filter((name) => !object[name])
    .map((name) => required(`${path}.${name}`, "must not be empty"));
}

/** The first repetition of each item is told. */
function repeated(list: readonly unknown[]): number[] {
  const seen = new Map<string, number>();
  const indices: number[] = [];
  for (const [i, each] of list.entries()) {
    const text = canonical(each);
    const times = (seen.get(text) ?? 0) + 1;
    seen.set(text, times);
    if (times === 2) indices.push(i);
  }
  return indices;
}

/** Equal values have equal texts, whatever the order of their keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (!isObject(value)) return JSON.stringify(value ?? null);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, each]) => `${JSON.stringify(name)}:${canonical(each)}`).join(",")}}`;
}

function uniqueErrors(list: readonly unknown[], schema: Schema, path: string): FieldError[] {
  const listType = schema["x-kubernetes-list-type"];
  if (listType === "set") return repeated(list).map((i) => duplicate(`${path}[${i}]`, list[i]));
  if (listType !== "map") return [];
  const wrong = list.findIndex((each) => each !== null && !isObject(each));
  if (wrong >= 0) {
    const detail = "must be an object for an array of list-type map";
    return [invalid(`${path}[${wrong}]`, list[wrong], detail)];
  }
  const keys = schema["x-kubernetes-list-map-keys"] ?? [];
  const identities = list.map((each) =>
    Object.fromEntries(
      keys
        .filter((key) => isObject(each) && Object.hasOwn(each, key))
        .map((key) => [key, (each as Record<string, unknown>)[key]]),
    ),
  );
  return repeated(identities).map((i) => duplicate(`${path}[${i}]`, identities[i]));
}
