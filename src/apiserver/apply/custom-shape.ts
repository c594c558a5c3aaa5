/**
 * The shape of a custom resource, from the structural schema of its definition.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#custom-resources-and-server-side-apply
 */
import { additionalOf, itemsOf, type JsonSchema, propertyOf } from "#api";
import { deducedShape, type MapShape, type Shape, scalars, shapeOfType } from "./shape.ts";

type Schema = Readonly<JsonSchema>;

const objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const deducedSchema: Schema = { type: "object", "x-kubernetes-preserve-unknown-fields": true };

// Schemas live as long as the definition that they belong to.
const shapes = new WeakMap<Schema, Shape>();

/** Absent: nothing is known but that it is an object with metadata. */
export function shapeOfCustom(schema: Schema = deducedSchema): MapShape {
  const known = shapes.get(schema);
  if (known?.kind === "map") return known;
  const shape = new SchemaShape(schema, true);
  shapes.set(schema, shape);
  return shape;
}

function shapeOf(schema: Schema): Shape {
  let shape = shapes.get(schema);
  if (!shape) {
    shape = makeShape(schema);
    shapes.set(schema, shape);
  }
  return shape;
}

function makeShape(schema: Schema): Shape {
  if (schema["x-kubernetes-int-or-string"]) return scalars.untyped;
  switch (schema.type) {
    case "string":
      return scalars.string;
    case "integer":
    case "number":
      return scalars.numeric;
    case "boolean":
      return scalars.boolean;
    case "array":
      return listShape(schema);
    case "object":
      return isArbitrary(schema) ? deducedShape : new SchemaShape(schema, false);
    default:
      return deducedShape;
  }
}

/** An object of whatever fields, of which each may have its owner. */
function isArbitrary(schema: Schema): boolean {
  if (schema["x-kubernetes-map-type"] === "atomic" || schema["x-kubernetes-embedded-resource"]) return false;
  return schema.properties === undefined && additionalOf(schema) === undefined;
}

function listShape(schema: Schema): Shape {
  const items = itemsOf(schema);
  const type = schema["x-kubernetes-list-type"];
  const keys = [...(schema["x-kubernetes-list-map-keys"] ?? [])].sort();
  const keyDefaults: Record<string, unknown> = {};
  for (const key of keys) {
    const value = items && propertyOf(items, key)?.default;
    if (value !== undefined) keyDefaults[key] = value;
  }
  return {
    kind: "list",
    relation: type === "map" || type === "set" ? type : "atomic",
    keys,
    keyDefaults,
    element: items ? shapeOf(items) : deducedShape,
  };
}

class SchemaShape implements MapShape {
  readonly kind = "map";
  readonly atomic: boolean;
  readonly alwaysThere: readonly string[];
  readonly required = [];
  readonly #schema: Schema;
  /** It has a kind and metadata of its own. */
  readonly #isResource: boolean;

  constructor(schema: Schema, isRoot: boolean) {
    this.#schema = schema;
    this.#isResource = isRoot || schema["x-kubernetes-embedded-resource"] === true;
    this.atomic = schema["x-kubernetes-map-type"] === "atomic";
    this.alwaysThere = isRoot ? ["metadata"] : [];
  }

  entry(name: string): Shape | undefined {
    if (this.#isResource) {
      if (name === "metadata") return shapeOfType(objectMeta);
      if (name === "apiVersion" || name === "kind") return scalars.string;
    }
    const property = propertyOf(this.#schema, name);
    if (property) return shapeOf(property);
    const additional = additionalOf(this.#schema);
    if (additional) return shapeOf(additional);
    return this.#schema["x-kubernetes-preserve-unknown-fields"] ? deducedShape : undefined;
  }

  isDeclared(name: string): boolean {
    if (this.#isResource && (name === "metadata" || name === "apiVersion" || name === "kind")) return true;
    return propertyOf(this.#schema, name) !== undefined;
  }
}
