import fc from "fast-check";
import { expect, test } from "vitest";
import { configMaps, type KubernetesObject, type ResourceDefinition } from "#api";
import { asRead, CachedObject, serialize } from "./cached-object.ts";

const definition = configMaps as unknown as ResourceDefinition;
const revision = 41;
// Names and values that look like the revision beside it.
const text = fc.oneof(
  fc.constantFrom("resourceVersion", "41", '"resourceVersion":"41"', "__proto__"),
  fc.string({ maxLength: 8 }),
);
const object = fc.record({
  apiVersion: fc.constant("v1"),
  kind: fc.constant("ConfigMap"),
  data: fc.dictionary(text, text),
  metadata: fc.record({
    labels: fc.dictionary(text, text),
    name: fc.constant("c"),
    resourceVersion: fc.constant(String(revision)),
  }),
});

test("a deleted object is what it was, at the revision of its deletion", () => {
  fc.assert(
    fc.property(object, fc.integer({ min: 42, max: 1e9 }), (value, deletion) => {
      const bytes = serialize(value);
      const cached = new CachedObject(definition, { key: "/c", value: bytes, modRevision: revision });
      const wanted = JSON.parse(bytes.toString()) as KubernetesObject;
      wanted.metadata.resourceVersion = String(deletion);
      const deleted = cached.deletedAt(deletion);
      expect(deleted.parse()).toEqual(wanted);
      expect(deleted.revision).toBe(deletion);
    }),
  );
});

test("what is handed over reads as its JSON does, and is the very object where that is so already", () => {
  const gaps = fc.letrec((tie) => ({
    value: fc.oneof(fc.constantFrom(1, "a", null, true), tie("list"), tie("map")),
    list: fc.array(tie("value"), { maxLength: 4 }),
    map: fc.dictionary(text, fc.oneof(fc.constant(undefined), tie("value")), { maxKeys: 4 }),
  })).map;
  fc.assert(
    fc.property(gaps, (value) => {
      const read = asRead(value);
      expect(JSON.stringify(read)).toBe(JSON.stringify(value));
      expect(hasGap(read)).toBe(false);
      if (!hasGap(value)) expect(read).toBe(value);
    }),
  );
});

test("what was read before is not looked at again", () => {
  const kept = { a: undefined };
  const read = asRead({ spec: kept, list: [kept, { b: undefined }] }, { spec: kept, list: [kept] });
  expect(read.spec).toBe(kept);
  expect(read.list[0]).toBe(kept);
  expect(Object.keys(read.list[1]!)).toEqual([]);
});

function hasGap(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value === undefined;
  return Object.values(value).some(hasGap);
}
