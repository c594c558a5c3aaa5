import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DecodeError } from "../meta/decode.ts";
import { applyDefaults } from "./default.ts";
import { findPath } from "./field-path.ts";
import { matchesFormat } from "./formats.ts";
import { validateListTypes } from "./list-types.ts";
import { prune } from "./prune.ts";
import type { JsonSchema } from "./schema.ts";
import { validateSchema } from "./validate-schema.ts";
import { validateStructural } from "./validate-structural.ts";
import { validateValue } from "./validate-value.ts";

const names = fc.constantFrom("a", "b", "c", "__proto__", "constructor", "apiVersion", "kind", "metadata");
const scalar = fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.double(), fc.string());
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(names, tie("value"), { maxKeys: 4 }),
  ),
})).value;
const objects = fc.dictionary(names, json, { maxKeys: 4 }) as fc.Arbitrary<Record<string, unknown>>;

const schemas = fc.letrec<{ schema: JsonSchema }>((tie) => {
  const leaf = fc.record(
    {
      type: fc.constantFrom("string", "integer", "number", "boolean", "object", "array"),
      nullable: fc.boolean(),
      default: json,
      enum: fc.array(json, { maxLength: 2 }),
      maximum: fc.integer(),
      minLength: fc.nat(3),
      pattern: fc.constantFrom("^a+$", "b"),
      format: fc.constantFrom("date", "uuid", "cidr", "nope"),
      required: fc.array(names, { maxLength: 2 }),
      "x-kubernetes-preserve-unknown-fields": fc.constant(true),
      "x-kubernetes-embedded-resource": fc.constant(true),
      "x-kubernetes-int-or-string": fc.constant(true),
      "x-kubernetes-list-type": fc.constantFrom("set", "map", "atomic"),
      "x-kubernetes-list-map-keys": fc.array(names, { maxLength: 2 }),
    },
    { requiredKeys: ["type"] },
  );
  const inner = fc.record(
    {
      properties: fc.dictionary(names, tie("schema"), { maxKeys: 3 }),
      items: tie("schema"),
      additionalProperties: fc.oneof(tie("schema"), fc.boolean()),
      anyOf: fc.array(tie("schema"), { maxLength: 2 }),
      oneOf: fc.array(tie("schema"), { maxLength: 2 }),
      not: tie("schema"),
    },
    { requiredKeys: [] },
  );
  const deep = fc.tuple(leaf, inner).map(([a, b]) => ({ ...a, ...b }));
  return { schema: fc.oneof({ maxDepth: 3, withCrossShrink: true }, leaf, deep) as fc.Arbitrary<JsonSchema> };
}).schema;

/** Metadata that is none is refused before anything else happens. */
function pruned(object: Record<string, unknown>, schema: JsonSchema): Record<string, unknown> | undefined {
  const copy = structuredClone(object);
  try {
    prune(copy, schema);
    return copy;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

describe("any schema and any object", () => {
  test("what is pruned has nothing more to prune", () => {
    fc.assert(
      fc.property(objects, schemas, (object, schema) => {
        const once = pruned(object, schema);
        if (!once) return;
        const twice = structuredClone(once);
        expect(prune(twice, schema)).toEqual([]);
        expect(twice).toEqual(once);
      }),
    );
  });

  test("defaults come once", () => {
    fc.assert(
      fc.property(objects, schemas, (object, schema) => {
        const once = structuredClone(object);
        applyDefaults(once, schema);
        const twice = structuredClone(once);
        applyDefaults(twice, schema);
        // A default may bring another one along; more than its own depth it never takes.
        for (let i = 0; i < 4; i++) applyDefaults(twice, schema);
        const settled = structuredClone(twice);
        applyDefaults(settled, schema);
        expect(settled).toEqual(twice);
      }),
    );
  });

  test("validation answers sentences, and nothing about what did not change", () => {
    fc.assert(
      fc.property(objects, schemas, (object, schema) => {
        const errors = [...validateValue(object, schema, ""), ...validateListTypes(object, schema, "")];
        for (const { message } of errors) expect(message).toMatch(/^[A-Z]/);
        expect(validateValue(object, schema, "", structuredClone(object))).toEqual([]);
      }),
    );
  });

  test("a schema is judged, whatever it says", () => {
    fc.assert(
      fc.property(schemas, (schema) => {
        for (const { field } of [...validateSchema(schema, "s"), ...validateStructural(schema, "s")])
          expect(field).toMatch(/^s/);
      }),
    );
  });
});

describe("structural schemas", () => {
  const messages = (schema: JsonSchema) =>
    [...validateStructural(schema, "s"), ...validateSchema(schema, "s")].map(
      (e) => `${e.field}: ${e.message}`,
    );

  test.each<[JsonSchema, string]>([
    [{}, "s.type: Required value: must not be empty at the root"],
    [
      { type: "array", items: { type: "string" } },
      's.type: Invalid value: "array": must be object at the root',
    ],
    [
      { type: "object", additionalProperties: true },
      "s.additionalProperties: Forbidden: must not be used at the root",
    ],
    [
      { type: "object", properties: { a: { type: "array" } } },
      "s.properties[a].items: Required value: must be specified",
    ],
    [
      { type: "object", anyOf: [{ properties: { a: { minimum: 1 } } }] },
      "s.properties[a]: Required value: because it is defined in s.anyOf[0].properties[a]",
    ],
    [
      {
        type: "object",
        properties: { a: { type: "string" } },
        anyOf: [{ properties: { a: { type: "string" } } }],
      },
      "s.anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
    ],
    [
      {
        type: "object",
        properties: { metadata: { type: "object", properties: { labels: { type: "object" } } } },
      },
      "s.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified",
    ],
    [
      { type: "object", properties: { a: { type: "string", uniqueItems: true } } },
      "s.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
    ],
    [
      {
        type: "object",
        properties: {
          a: {
            type: "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            items: { type: "object", properties: { k: { type: "string" } } },
          },
        },
      },
      "s.properties[a].items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
    ],
  ])("%j", (schema, wanted) => {
    expect(messages(schema)).toContain(wanted);
  });

  test("an integer or a string may say so in the way it always has", () => {
    const either: JsonSchema = {
      "x-kubernetes-int-or-string": true,
      anyOf: [{ type: "integer" }, { type: "string" }],
    };
    expect(messages({ type: "object", properties: { either } })).toEqual([]);
  });
});

test("pruning keeps what it is told to keep, and the schema inside of it", () => {
  const schema: JsonSchema = {
    type: "object",
    properties: {
      free: {
        type: "object",
        "x-kubernetes-preserve-unknown-fields": true,
        properties: { known: { type: "object", properties: { x: { type: "string" } } } },
      },
      map: {
        type: "object",
        additionalProperties: { type: "object", properties: { x: { type: "string" } } },
      },
    },
  };
  const object = {
    apiVersion: "g/v1",
    kind: "K",
    junk: 1,
    free: { any: { thing: 1 }, known: { x: "1", y: 2 } },
    map: { one: { x: "1", y: 2 } },
  };
  expect(prune(object, schema)).toEqual(["junk", "free.known.y", "map.one.y"]);
  expect(object).toEqual({
    apiVersion: "g/v1",
    kind: "K",
    free: { any: { thing: 1 }, known: { x: "1" } },
    map: { one: { x: "1" } },
  });
});

test.each([
  ["date", "2026-02-28", "2026-02-30"],
  ["date-time", "2026-01-01T00:00:00Z", "2026-01-01"],
  ["cidr", "10.0.0.0/8", "10.0.0.0/33"],
  ["ipv4", "10.0.0.1", "::1"],
  ["ipv6", "::1", "10.0.0.1"],
  ["uuid", "5b1fe2c4-1b1f-4c1a-8a6f-0d0f0a0b0c0d", "5b1f"],
  ["email", "a@example.com", "a"],
  ["hostname", "a.example.com", "-a"],
  ["mac", "01:23:45:67:89:ab", "01:23"],
  ["duration", "1h30m", "soon"],
  ["byte", "aGk=", "a"],
  ["creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"],
  ["isbn", "978-3-16-148410-0", "978-3-16-148410-1"],
  ["hexcolor", "#fff", "#ff"],
  ["k8s-short-name", "a-b", "A"],
])("the format %s", (format, good, bad) => {
  expect([matchesFormat(format, good), matchesFormat(format, bad)]).toEqual([true, false]);
});

test("paths into a schema", () => {
  const schema: JsonSchema = {
    type: "object",
    properties: { spec: { type: "object", properties: { "a.b": { type: "string" } } } },
  };
  expect(findPath(".spec['a.b']", schema)).toMatchObject({
    keys: ["spec", "a.b"],
    schema: { type: "string" },
  });
  expect(findPath(".spec.nope", schema)).toBe("does not refer to a valid field");
  expect(findPath("spec", schema)).toContain("expected dot notation");
});
