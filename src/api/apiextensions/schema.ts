/** What is said again and again about the schemas of custom resources. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema */
import type { apiextensionsv1 } from "../generated/types/index.ts";

export type JsonSchema = apiextensionsv1.JSONSchemaProps;

/** The schema of items, if there is one for all of them. */
export function itemsOf(schema: Readonly<JsonSchema>): JsonSchema | undefined {
  return schema.items === undefined || Array.isArray(schema.items) ? undefined : schema.items;
}

/** The schema of additional properties; true and false are none. */
export function additionalOf(schema: Readonly<JsonSchema>): JsonSchema | undefined {
  const { additionalProperties } = schema;
  return typeof additionalProperties === "object" ? additionalProperties : undefined;
}

/** Own properties only: names come from clients. */
export function propertyOf(schema: Readonly<JsonSchema>, name: string): JsonSchema | undefined {
  const { properties } = schema;
  return properties && Object.hasOwn(properties, name) ? properties[name] : undefined;
}

/** Sets an own property under any name: an assignment to `__proto__` would be something else. */
export function setOwn(object: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true });
}

export const metadataOfResources: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata"]);

export interface SubSchema {
  readonly path: string;
  readonly schema: JsonSchema;
}

/** Every schema inside, the alternatives of logical operators included. */
export function* subSchemas(schema: Readonly<JsonSchema>, path: string): Generator<SubSchema> {
  yield* structuralParts(schema, path);
  const { not, definitions, patternProperties, items, dependencies, additionalItems } = schema;
  if (not) yield { path: `${path}.not`, schema: not };
  for (const name of ["allOf", "oneOf", "anyOf"] as const) {
    for (const [i, each] of (schema[name] ?? []).entries())
      yield { path: `${path}.${name}[${i}]`, schema: each };
  }
  for (const [name, each] of Object.entries(definitions ?? {}))
    yield { path: `${path}.definitions[${name}]`, schema: each };
  for (const [name, each] of Object.entries(patternProperties ?? {}))
    yield { path: `${path}.patternProperties[${name}]`, schema: each };
  if (Array.isArray(items))
    for (const [i, each] of items.entries()) yield { path: `${path}.items[${i}]`, schema: each };
  for (const [name, each] of Object.entries(dependencies ?? {}))
    if (!Array.isArray(each)) yield { path: `${path}.dependencies[${name}]`, schema: each };
  if (typeof additionalItems === "object") yield { path: `${path}.additionalItems`, schema: additionalItems };
}

/** Those that say what an object is made of. */
export function* structuralParts(schema: Readonly<JsonSchema>, path: string): Generator<SubSchema> {
  for (const [name, each] of Object.entries(schema.properties ?? {}))
    yield { path: `${path}.properties[${name}]`, schema: each };
  const additional = additionalOf(schema);
  if (additional) yield { path: `${path}.additionalProperties`, schema: additional };
  const items = itemsOf(schema);
  if (items) yield { path: `${path}.items`, schema: items };
}

/** Whether this schema, or one inside it, is such. */
export function someSchema(
  schema: Readonly<JsonSchema> | undefined,
  is: (schema: Readonly<JsonSchema>) => boolean,
): boolean {
  if (!schema) return false;
  if (is(schema)) return true;
  for (const each of subSchemas(schema, "")) if (someSchema(each.schema, is)) return true;
  return false;
}
