/** Tables of custom resources. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#additional-printer-columns */
import { ageColumn, ageOf, type apiextensionsv1, type Column, nameColumn } from "#api";
import { type JsonPath, parseJsonPath } from "./json-path.ts";

type ColumnDefinition = Readonly<apiextensionsv1.CustomResourceColumnDefinition>;

export function columnsOf(definitions: readonly ColumnDefinition[] | undefined): Column<never>[] {
  if (!definitions || definitions.length === 0) return [nameColumn(), ageColumn()];
  return [nameColumn(), ...definitions.map(columnOf)];
}

function columnOf(definition: ColumnDefinition): Column<never> {
  const { name, jsonPath, format, priority = 0 } = definition;
  const type = definition.type as Column<never>["type"];
  const find = pathOrNothing(jsonPath);
  return {
    name,
    type,
    ...(format ? { format } : {}),
    description:
      definition.description || `Custom resource definition column (in JSONPath format): ${jsonPath}`,
    priority: priority as Column<never>["priority"],
    cell(object, nowMs) {
      const found = find(object);
      return found.length === 0 ? null : cellOf(type, found[0], nowMs);
    },
  };
}

/** A path that is none finds nothing: the definition was accepted, and so are its objects. */
function pathOrNothing(text: string): JsonPath {
  try {
    return parseJsonPath(text);
  } catch {
    return () => [];
  }
}

function cellOf(type: string, value: unknown, nowMs: number): unknown {
  if (value === null || value === undefined) return null;
  switch (type) {
    case "string":
      return typeof value === "object" ? JSON.stringify(value) : String(value);
    case "integer":
      return typeof value === "number" ? Math.trunc(value) : null;
    case "number":
      return typeof value === "number" ? value : null;
    case "boolean":
      return typeof value === "boolean" ? value : null;
    default: {
      if (typeof value !== "string") return null;
      return Number.isNaN(Date.parse(value)) ? "<invalid>" : ageOf(value, nowMs);
    }
  }
}
