/**
 * Defaults of custom resources, for what clients send and for what was stored before a default was there.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting
 */
import { isObject } from "../meta/decode.ts";
import { additionalOf, itemsOf, type JsonSchema, propertyOf, setOwn, someSchema } from "./schema.ts";

type Schema = Readonly<JsonSchema>;

/** In place. */
export function applyDefaults(value: unknown, schema: Schema): void {
  if (Array.isArray(value)) {
    const items = itemsOf(schema);
    if (items) for (const each of value) applyDefaults(each, items);
    return;
  }
  if (!isObject(value)) return;
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if (property.default === undefined) continue;
    const isMissing = !Object.hasOwn(value, name) || (value[name] === null && !property.nullable);
    if (isMissing) setOwn(value, name, structuredClone(property.default));
  }
  const additional = additionalOf(schema);
  for (const [name, each] of Object.entries(value)) {
    const inner = propertyOf(schema, name) ?? additional;
    if (!inner) continue;
    // Where null means nothing and no default takes its place, it is as if nothing had been said.
    if (each === null && !inner.nullable && inner.default === undefined) delete value[name];
    else applyDefaults(each, inner);
  }
}

export function hasDefaults(schema: Schema | undefined): boolean {
  return someSchema(schema, (each) => each.default !== undefined);
}
