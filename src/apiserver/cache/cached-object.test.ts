import fc from "fast-check";
import { expect, test } from "vitest";
import { configMaps, type KubernetesObject, type ResourceDefinition } from "#api";
import { CachedObject, serialize } from "./cached-object.ts";

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
