/**
 * What the walks of server-side apply ask of a schema: how a value may be divided into fields with owners of their own.
 * Two answers stand here: the tables of the built-in types, and `deducedShape` for what no schema describes. A custom
 * resource's structural schema is a third one, by the same interface.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
 */
import type { FieldSchema, TypeSchema } from "#api";
import { schemaOf } from "#api";

/** A value that has one owner. `untyped` is any scalar: quantities, ports by name or number. */
export interface ScalarShape {
  readonly kind: "scalar";
  readonly type: "string" | "numeric" | "boolean" | "untyped";
}

export interface MapShape {
  readonly kind: "map";
  /** One owner for all of it. */
  readonly atomic: boolean;
  /** The shape of a field or entry; undefined where the schema forbids it. */
  entry(name: string): Shape | undefined;
  /** The name is a field of a struct, not an entry of a map: nobody owns it beside what it holds. */
  isDeclared(name: string): boolean;
  /** Structs that are there, empty at least, wherever their parent is. */
  readonly alwaysThere: readonly string[];
  /** Lists, maps and scalars that are there, null at least, in an object nobody has filled in. */
  readonly required: readonly string[];
}

export interface ListShape {
  readonly kind: "list";
  /** `atomic`: one owner for all of it; `set`: one for each value; `map`: elements known by their keys. */
  readonly relation: "atomic" | "set" | "map";
  /** Sorted. */
  readonly keys: readonly string[];
  /** What a key is that an element leaves out. */
  readonly keyDefaults: Readonly<Record<string, unknown>>;
  readonly element: Shape;
}

/** Nothing is known: objects divide into their keys, everything else has one owner. */
export interface DeducedShape {
  readonly kind: "deduced";
}

export type Shape = ScalarShape | MapShape | ListShape | DeducedShape;

export const deducedShape: DeducedShape = { kind: "deduced" };

const scalar = (type: ScalarShape["type"]): ScalarShape => ({ kind: "scalar", type });
export const scalars = {
  string: scalar("string"),
  numeric: scalar("numeric"),
  boolean: scalar("boolean"),
  untyped: scalar("untyped"),
};

const scalarOfKind: Record<Exclude<FieldSchema["kind"], "message">, Shape> = {
  string: scalars.string,
  bytes: scalars.string,
  bool: scalars.boolean,
  int32: scalars.numeric,
  int64: scalars.numeric,
  double: scalars.numeric,
};

const strings: ListShape = {
  kind: "list",
  relation: "atomic",
  keys: [],
  keyDefaults: {},
  element: scalars.string,
};

/** Types whose JSON is not the object of their fields. */
function specialShape(type: TypeSchema): Shape {
  switch (type.special) {
    case "time":
    case "microTime":
    case "duration":
      return scalars.string;
    case "quantity":
    case "intOrString":
      return scalars.untyped;
    case "strings":
      return strings;
    default:
      return deducedShape;
  }
}

// Pure functions of constants: the same for every server in the process.
const typeShapes = new Map<TypeSchema, MapShape>();
const atomicShapes = new Map<TypeSchema, MapShape>();

/** The shape of a built-in type by its name in the schema tables. */
export function shapeOfType(typeName: string): MapShape {
  return structShape(schemaOf(typeName), false);
}

function structShape(type: TypeSchema, atomic: boolean): MapShape {
  const shapes = atomic ? atomicShapes : typeShapes;
  let shape = shapes.get(type);
  if (!shape) {
    shape = new StructShape(type, atomic || type.atomic);
    shapes.set(type, shape);
  }
  return shape;
}

class StructShape implements MapShape {
  readonly kind = "map";
  readonly atomic: boolean;
  readonly alwaysThere: readonly string[];
  readonly required: readonly string[];
  readonly #type: TypeSchema;
  readonly #shapes = new Map<string, Shape | undefined>();

  constructor(type: TypeSchema, atomic: boolean) {
    this.#type = type;
    this.atomic = atomic;
    this.alwaysThere = [...type.fields.values()].filter((field) => isByValue(type, field)).map((f) => f.name);
    this.required = type.alwaysPresent.map((field) => field.name);
  }

  entry(name: string): Shape | undefined {
    let shape = this.#shapes.get(name);
    if (shape === undefined) {
      shape = this.#shapeOf(name);
      if (shape) this.#shapes.set(name, shape);
    }
    return shape;
  }

  isDeclared(name: string): boolean {
    return this.entry(name) !== undefined;
  }

  #shapeOf(name: string): Shape | undefined {
    const field = this.#type.fields.get(name);
    if (field) return fieldShape(field);
    const isTypeMeta = this.#type.gvk !== undefined && (name === "apiVersion" || name === "kind");
    return isTypeMeta ? scalars.string : undefined;
  }
}

function elementShape(field: FieldSchema): Shape {
  if (field.kind !== "message") return scalarOfKind[field.kind];
  const type = field.type();
  if (type.special !== undefined) return specialShape(type);
  return structShape(type, field.container === "" && field.atomic);
}

function fieldShape(field: FieldSchema): Shape {
  if (field.container === "map") return mapShape(elementShape(field), field.atomic);
  if (field.container === "list") return listShape(field);
  return elementShape(field);
}

function mapShape(element: Shape, atomic: boolean): MapShape {
  return {
    kind: "map",
    atomic,
    entry: () => element,
    isDeclared: () => false,
    alwaysThere: [],
    required: [],
  };
}

function listShape(field: FieldSchema): ListShape {
  const keys = [...field.listMapKeys].sort();
  const keyDefaults: Record<string, unknown> = {};
  if (field.kind === "message") {
    for (const key of keys) {
      const value = field.type().fields.get(key)?.default;
      if (value !== undefined) keyDefaults[key] = value;
    }
  }
  const relation = field.listType === "map" ? "map" : field.listType === "set" ? "set" : "atomic";
  return { kind: "list", relation, keys, keyDefaults, element: elementShape(field) };
}

/** Fields that Go holds as structs, not as pointers, beside the three that nearly every kind has. */
const heldByValue = new Set([
  "Container.resources",
  "ContainerStatus.lastState",
  "ContainerStatus.state",
  "CronJobSpec.jobTemplate",
  "DaemonSetSpec.template",
  "DaemonSetSpec.updateStrategy",
  "DeploymentSpec.strategy",
  "DeploymentSpec.template",
  "EphemeralContainer.resources",
  "HorizontalPodAutoscalerSpec.scaleTargetRef",
  "IngressStatus.loadBalancer",
  "JobSpec.template",
  "NodeDaemonEndpoints.kubeletEndpoint",
  "NodeStatus.daemonEndpoints",
  "NodeStatus.nodeInfo",
  "PersistentVolumeClaimSpec.resources",
  "PodTemplate.template",
  "ReplicaSetSpec.template",
  "ServiceStatus.loadBalancer",
  "StatefulSetSpec.template",
  "StatefulSetSpec.updateStrategy",
]);

function isByValue(type: TypeSchema, field: FieldSchema): boolean {
  if (field.kind !== "message" || field.container !== "" || field.type().special !== undefined) return false;
  if (heldByValue.has(`${type.shortName}.${field.name}`)) return true;
  const isTemplate = type.shortName.endsWith("Template") || type.shortName.endsWith("TemplateSpec");
  if (type.gvk === undefined && !isTemplate) return false;
  return field.name === "metadata" || field.name === "spec" || field.name === "status";
}
