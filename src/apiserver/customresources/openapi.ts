/**
 * Schemas of custom resources as OpenAPI publishes them. Version 2 of it knows less: what a client could misunderstand
 * is left out, as upstream does.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#publish-validation-schema-in-openapi
 */
import { additionalOf, type GroupVersionKind, itemsOf, type JsonSchema, type ResourceDefinition } from "#api";
import { type Dialect, kindSchemas, objectMetaType, referenceTo, type Schema } from "../openapi/schemas.ts";

/** Operators that version 2 cannot say, or that its clients read as something else. */
const missingInV2: ReadonlySet<string> = new Set([
  "oneOf",
  "anyOf",
  "not",
  "nullable",
  "x-kubernetes-validations",
]);

export function publishedSchema(
  definition: Pick<ResourceDefinition, "group" | "version" | "kind">,
  schema: Readonly<JsonSchema> | undefined,
  dialect: Dialect,
): Schema {
  const gvk: GroupVersionKind = {
    group: definition.group,
    kind: definition.kind,
    version: definition.version,
  };
  const tail = { "x-kubernetes-group-version-kind": [gvk] };
  if (!schema || (dialect === "v2" && schema["x-kubernetes-preserve-unknown-fields"]))
    return { type: "object", ...(schema?.description ? { description: schema.description } : {}), ...tail };
  const own = converted(schema, dialect);
  const $ref = referenceTo(objectMetaType, dialect);
  const metadata = {
    description:
      "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    ...(dialect === "v2" ? { $ref } : { allOf: [{ $ref }] }),
  };
  const properties = { ...(own.properties as Schema | undefined), ...kindSchemas, metadata };
  return { ...own, properties, ...tail };
}

function converted(schema: Readonly<JsonSchema>, dialect: Dialect): Schema {
  const result: Schema = {};
  const isOpaque = dialect === "v2" && schema["x-kubernetes-preserve-unknown-fields"];
  for (const [name, value] of Object.entries(schema)) {
    if (
      dialect === "v2" &&
      (missingInV2.has(name) || (isOpaque && (name === "items" || name === "properties")))
    )
      continue;
    result[name] = value;
  }
  // What may be null or of several types is of no type at all in version 2.
  if (dialect === "v2" && (schema.nullable || schema["x-kubernetes-int-or-string"] || isOpaque)) {
    delete result.type;
    delete result.items;
    delete result.properties;
    if (schema["x-kubernetes-int-or-string"]) return result;
  }
  if (result.properties)
    result.properties = Object.fromEntries(
      Object.entries(schema.properties ?? {}).map(([name, each]) => [name, converted(each, dialect)]),
    );
  const items = itemsOf(schema);
  if (result.items && items) result.items = converted(items, dialect);
  const additional = additionalOf(schema);
  if (additional) result.additionalProperties = converted(additional, dialect);
  return result;
}
