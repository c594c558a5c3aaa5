/**
 * Schemas of custom resources as OpenAPI publishes them. Version 2 of it knows less: what kubectl could misunderstand is
 * left out, as upstream does.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#publish-validation-schema-in-openapi
 */
import { additionalOf, itemsOf, type JsonSchema, propertyOf, type ResourceDefinition } from "#api";
import { type Dialect, kindSchemas, objectMetaType, referenceTo, type Schema } from "../openapi/schemas.ts";

const preserve = "x-kubernetes-preserve-unknown-fields";
/** Operators that version 2 cannot say. */
const operators = ["allOf", "oneOf", "anyOf", "not"] as const;

export function publishedSchema(
  { group, version, kind }: Pick<ResourceDefinition, "group" | "version" | "kind">,
  schema: Readonly<JsonSchema> | undefined,
  dialect: Dialect,
): Schema {
  const tail = { "x-kubernetes-group-version-kind": [{ group, kind, version }] };
  if (!schema || (dialect === "v2" && schema[preserve])) return { type: "object", ...tail };
  const own = converted(schema, dialect);
  return { ...own, properties: { ...propertiesOf(own), ...resourceProperties(dialect) }, ...tail };
}

function propertiesOf(schema: Schema): Record<string, Schema> {
  return (schema.properties as Record<string, Schema> | undefined) ?? {};
}

/** What every resource has, wherever it stands. */
function resourceProperties(dialect: Dialect): Record<string, Schema> {
  const $ref = referenceTo(objectMetaType, dialect);
  const metadata = {
    description:
      "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata",
    ...(dialect === "v2" ? { $ref } : { allOf: [{ $ref }] }),
  };
  return { ...kindSchemas, metadata };
}

function converted(given: Readonly<JsonSchema>, dialect: Dialect): Schema {
  const schema = dialect === "v2" ? forKubectl(given) : given;
  const result: Schema = { ...schema };
  if (schema.properties) {
    const entries = Object.entries(schema.properties);
    result.properties = Object.fromEntries(entries.map(([name, each]) => [name, converted(each, dialect)]));
  }
  const items = itemsOf(schema);
  if (items) result.items = converted(items, dialect);
  const additional = additionalOf(schema);
  if (additional) result.additionalProperties = converted(additional, dialect);
  if (!schema["x-kubernetes-embedded-resource"]) return result;
  result.properties = { ...propertiesOf(result), ...resourceProperties(dialect) };
  result.required = [...new Set([...(schema.required ?? []), "apiVersion", "kind"])].sort();
  return result;
}

/** Without what version 2 lacks; what has several types, or keeps what it does not know, has none. */
function forKubectl(schema: Readonly<JsonSchema>): JsonSchema {
  const result: JsonSchema = { ...schema };
  for (const name of operators) delete result[name];
  if (schema.nullable) {
    delete result.type;
    delete result.nullable;
  }
  if (schema.nullable || schema[preserve]) {
    delete result.items;
    delete result.properties;
  }
  if (result.type === "array" && !result.items) delete result.type;
  if (result.type === "object" && schema[preserve]) delete result.type;
  const required = additionalOf(schema)?.nullable
    ? []
    : (result.required ?? []).filter((name) => !(result.properties && propertyOf(result, name)?.nullable));
  if (required.length > 0) result.required = required;
  else delete result.required;
  return result;
}
