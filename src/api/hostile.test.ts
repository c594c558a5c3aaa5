/**
 * Whatever a client sends of the right types, a definition answers with errors, never with a crash: objects are drawn
 * from the schema itself, every field there or not, with strange values.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DecodeError, decode } from "./meta/decode.ts";
import { decodeProtobuf, encodeProtobuf } from "./meta/protobuf.ts";
import { apiVersionOf, type KubernetesObject } from "./meta/resource-type.ts";
import { type FieldSchema, schemaOf, type TypeSchema } from "./meta/schema.ts";
import { tableRow } from "./meta/table.ts";
import { resourceDefinitions } from "./registry.ts";
import { validateObjectMeta, validateObjectMetaUpdate } from "./validation/object-meta.ts";

/** On a busy machine fewer are drawn; what was drawn until then has held. */
const patienceMs = 6_000;

const depthMax = 7;
const nowMs = 0;

const texts = fc.constantFrom(
  "",
  "a",
  "web",
  "-",
  "A_b",
  "..",
  "/x/../y",
  "None",
  "Always",
  "10.0.0.1",
  "a.io/b",
  "é",
  "50%",
  "x".repeat(300),
);
const numbers = fc.constantFrom(0, 1, -1, 80, 70000, 2147483647);

function drawValue(field: FieldSchema, depth: number): fc.Arbitrary<unknown> {
  switch (field.kind) {
    case "string":
      return field.enum.length > 0 ? fc.oneof(texts, fc.constantFrom(...field.enum)) : texts;
    case "bool":
      return fc.boolean();
    case "bytes":
      return fc.constantFrom("", "YQ==", "e30=");
    case "message":
      return drawMessage(field.type(), depth);
    default:
      return numbers;
  }
}

function drawMessage(type: TypeSchema, depth: number): fc.Arbitrary<unknown> {
  switch (type.special) {
    case undefined:
      return depth > depthMax ? fc.constant({}) : drawObject(type, depth);
    case "time":
    case "microTime":
      return fc.constantFrom("2026-01-01T00:00:00Z", null);
    case "quantity":
      return fc.constantFrom("1", "100m", "-5", "1Gi", 2, "1.5");
    case "intOrString":
      return fc.oneof(numbers, texts);
    case "strings":
      return fc.array(texts, { maxLength: 2 });
    case "schemaOrBool":
    case "schemaOrArray":
    case "schemaOrStrings":
      return fc.constantFrom({ type: "string" }, type.special === "schemaOrBool" ? true : []);
    default:
      return fc.constant({ any: "thing" });
  }
}

function drawObject(type: TypeSchema, depth: number): fc.Arbitrary<unknown> {
  const entries = [...type.fields.values()].map((field) => {
    const one = fc.constant(null).chain(() => drawValue(field, depth + 1));
    if (field.container === "list") return [field.name, fc.array(one, { maxLength: 2 })] as const;
    if (field.container === "map") return [field.name, fc.dictionary(texts, one, { maxKeys: 2 })] as const;
    return [field.name, one] as const;
  });
  return fc.record(Object.fromEntries(entries), { requiredKeys: [], noNullPrototype: true });
}

describe.each(resourceDefinitions.map((d) => [d.resource, d] as const))("%s", (_, definition) => {
  const drawn = drawObject(schemaOf(definition.typeName), 0) as fc.Arbitrary<Partial<KubernetesObject>>;

  function prepared(given: Partial<KubernetesObject>): KubernetesObject {
    const object = { apiVersion: apiVersionOf(definition), kind: definition.kind, ...structuredClone(given) };
    const { unknown } = decode(definition.typeName, object);
    expect(unknown).toEqual([]);
    const metadata = {
      name: "x",
      uid: "u",
      resourceVersion: "1",
      creationTimestamp: "2026-01-01T00:00:00Z",
      ...object.metadata,
    };
    return { ...object, metadata };
  }

  test("bears any object of its type", () => {
    fc.assert(
      fc.property(drawn, drawn, (first, second) => {
        const [old, next] = [prepared(first), prepared(second)];
        for (const object of [old, next]) definition.defaults(object);
        const before = JSON.stringify(old);
        definition.onUpdate(next, old, { nowMs });
        const report = structuredClone(next);
        definition.onStatusUpdate(report, old, { nowMs });
        const errors = [
          ...definition.validateUpdate(next, old),
          ...definition.validateStatusUpdate(report, old),
          ...validateObjectMetaUpdate(next.metadata, old.metadata),
        ];
        expect(JSON.stringify(old)).toBe(before);
        tableRow(definition, next, nowMs, "Metadata");
        for (const get of Object.values(definition.selectableFields)) expect(typeof get(next)).toBe("string");
        definition.onCreate(next, { nowMs });
        errors.push(...definition.validate(next), ...validateObjectMeta(next.metadata, definition));
        const warnings = [old, undefined].flatMap((each) => definition.warnings?.(next, each) ?? []);
        for (const text of warnings) expect(text).not.toMatch(/undefined|\[object/);
        for (const e of errors)
          expect(`${e.field}: ${e.message}`).not.toMatch(/(?<!true or |must be )undefined|\[object/);
      }),
      { numRuns: 150, interruptAfterTimeLimit: patienceMs },
    );
  });

  test("goes through protobuf and back", () => {
    fc.assert(
      fc.property(drawn, (given) => {
        const object = prepared(given);
        const back = decodeProtobuf(encodeProtobuf(object)!);
        decode(definition.typeName, back);
        const json = JSON.parse(JSON.stringify(object));
        decode(definition.typeName, json);
        expect(back).toEqual(json);
      }),
      { numRuns: 100, interruptAfterTimeLimit: patienceMs },
    );
  });

  test("refuses what is of another type with a sentence", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom("metadata", "spec", "status", "data"), fc.jsonValue({ maxDepth: 3 })),
        (given) => {
          try {
            decode(definition.typeName, given);
          } catch (error) {
            expect(error).toBeInstanceOf(DecodeError);
          }
        },
      ),
      { numRuns: 100, interruptAfterTimeLimit: patienceMs },
    );
  });
});

/** These name what the stored version calls otherwise only where it is whole. */
const lossy = ["autoscaling/v1", "events.k8s.io/v1"];
const versions = resourceDefinitions.flatMap((definition) =>
  definition.storedAs && !lossy.includes(apiVersionOf(definition))
    ? [[`${apiVersionOf(definition)} ${definition.resource}`, definition, definition.storedAs] as const]
    : [],
);

test.each(versions)("%s tells any stored object, and what it tells comes back", (_, definition, storedAs) => {
  const { definition: stored, fromStored, toStored } = storedAs;
  const drawn = drawObject(schemaOf(stored.typeName), 0) as fc.Arbitrary<Partial<KubernetesObject>>;
  fc.assert(
    fc.property(drawn, (given) => {
      const object = {
        metadata: { name: "x" },
        ...structuredClone(given),
        apiVersion: apiVersionOf(stored),
        kind: stored.kind,
      } as KubernetesObject;
      decode(stored.typeName, object);
      stored.defaults(object);
      const told = fromStored(structuredClone(object));
      expect(decode(definition.typeName, structuredClone(told)).unknown).toEqual([]);
      const back = toStored(told as never);
      stored.defaults(back);
      expect(back).toEqual(object);
    }),
    { numRuns: 100, interruptAfterTimeLimit: patienceMs },
  );
});
