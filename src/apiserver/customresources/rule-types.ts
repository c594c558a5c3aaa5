/**
 * Structural schemas as types of CEL, and JSON as their values.
 * https://kubernetes.io/docs/reference/using-api/cel/#type-system-integration
 */
import type { Duration } from "@marcbachmann/cel-js/evaluator";
import { additionalOf, isObject, itemsOf, type JsonSchema, propertyOf } from "#api";
import { type CelEnvironment, CelObject, celEvaluator, untypedValue } from "#cel";

type Schema = Readonly<JsonSchema>;

export interface RuleType {
  /** As the environment knows it. */
  readonly name: string;
  /** The value of what stands in an object. */
  read(value: unknown): unknown;
}

const dynamic: RuleType = { name: "dyn", read: untypedValue };
const text: RuleType = { name: "string", read: (value) => value };

const resource: Readonly<Record<string, JsonSchema>> = {
  apiVersion: { type: "string" },
  kind: { type: "string" },
  metadata: { type: "object", properties: { name: { type: "string" }, generateName: { type: "string" } } },
};

/** Words that the language keeps for itself. */
const reserved = new Set(
  "true false null in as break const continue else for function if import let loop package namespace return var void while".split(
    " ",
  ),
);

/** A name that can stand behind a dot. */
function escaped(name: string): string {
  if (reserved.has(name)) return `__${name}__`;
  return name
    .replaceAll("__", "__underscores__")
    .replaceAll(".", "__dot__")
    .replaceAll("-", "__dash__")
    .replaceAll("/", "__slash__");
}

const identifier = /^[A-Za-z_]\w*$/;

/** Declares the object types of one schema, each under a name of its own. */
export class RuleTypes {
  readonly #environment: CelEnvironment;
  #count = 0;

  constructor(environment: CelEnvironment) {
    this.#environment = environment;
  }

  of(schema: Schema | undefined, isRoot = false): RuleType {
    if (!schema) return dynamic;
    if (schema["x-kubernetes-int-or-string"]) return dynamic;
    const isResource = isRoot || schema["x-kubernetes-embedded-resource"];
    switch (schema.type) {
      case "object": {
        const additional = additionalOf(schema);
        if (additional) return mapOf(this.of(additional));
        if (schema.properties || isResource) return this.#object(schema, Boolean(isResource));
        return schema["x-kubernetes-preserve-unknown-fields"] ? dynamic : this.#object(schema, false);
      }
      case "array":
        return listOf(this.of(itemsOf(schema)));
      default:
        return scalarOf(schema);
    }
  }

  #object(schema: Schema, isResource: boolean): RuleType {
    const properties = { ...schema.properties, ...(isResource ? resource : {}) };
    const types = new Map<string, { field: string; type: RuleType; nullable: boolean }>();
    const fields: Record<string, string> = {};
    for (const name of Object.keys(properties)) {
      const field = escaped(name);
      const property = propertyOf({ properties }, name)!;
      if (!identifier.test(field)) continue;
      const type = this.of(property);
      types.set(name, { field, type, nullable: property.nullable === true });
      fields[field] = property.nullable ? "dyn" : type.name;
    }
    class Type extends CelObject {}
    const name = `Object${++this.#count}`;
    this.#environment.type(name, fields, Type);
    return {
      name,
      read(value) {
        if (!isObject(value)) return value;
        const result = new Type();
        for (const [key, each] of Object.entries(value)) {
          const found = types.get(key);
          if (found && !(each === null && !found.nullable))
            result.set(found.field, each === null ? null : found.type.read(each));
        }
        return result;
      },
    };
  }
}

function mapOf(value: RuleType): RuleType {
  return {
    name: `map<string, ${value.name}>`,
    read(object) {
      if (!isObject(object)) return object;
      return new Map(Object.entries(object).map(([name, each]) => [name, value.read(each)]));
    },
  };
}

function listOf(item: RuleType): RuleType {
  return {
    name: `list<${item.name}>`,
    read: (list) => (Array.isArray(list) ? list.map((each) => item.read(each)) : list),
  };
}

function scalarOf({ type, format }: Schema): RuleType {
  switch (type) {
    case "string":
      if (format === "date" || format === "date-time")
        return { name: "google.protobuf.Timestamp", read: (value) => new Date(String(value)) };
      if (format === "duration") return { name: "google.protobuf.Duration", read: durationOf };
      if (format === "byte") return { name: "bytes", read: (value) => Buffer.from(String(value), "base64") };
      return text;
    case "integer":
      return { name: "int", read: (value) => (Number.isInteger(value) ? BigInt(value as number) : value) };
    case "number":
      return { name: "double", read: (value) => value };
    case "boolean":
      return { name: "bool", read: (value) => value };
    default:
      return dynamic;
  }
}

const unitMs: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 0.001,
  µs: 0.001,
  ns: 0.000_001,
};

function durationOf(value: unknown): Duration {
  let ms = 0;
  for (const [, count, unit] of String(value).matchAll(/([\d.]+)(h|ms|m|s|us|\u00b5s|ns)/g))
    ms += Number(count) * unitMs[unit!]!;
  const sign = String(value).startsWith("-") ? -1 : 1;
  return new (celEvaluator().Duration)(
    BigInt(Math.trunc(ms / 1000) * sign),
    Math.round((ms % 1000) * 1e6) * sign,
  );
}
