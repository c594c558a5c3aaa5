import fc from "fast-check";
import { expect, test } from "vitest";
import { defineResource } from "./define-resource.ts";
import { defineVersion, storedOf } from "./define-version.ts";
import { invalid } from "./field-error.ts";
import type { KubernetesObject } from "./resource-type.ts";

interface New extends KubernetesObject {
  spec: { replicas: number };
}
interface Old extends KubernetesObject {
  replicas: number;
}

const stored = defineResource<New>({
  group: "new.example.com",
  version: "v2",
  resource: "things",
  kind: "Thing",
  namespaced: true,
  typeName: "io.k8s.api.core.v1.ConfigMap",
  validate: (thing) =>
    thing.spec.replicas < 0 ? [invalid("spec.replicas", thing.spec.replicas, "must not be negative")] : [],
  onUpdate: (thing, old) => {
    thing.spec.replicas = Math.max(thing.spec.replicas, old.spec.replicas);
  },
  selectableFields: { "spec.replicas": (thing) => String(thing.spec.replicas) },
  columns: [
    {
      name: "Replicas",
      type: "integer",
      description: "",
      priority: 0,
      cell: (thing) => thing.spec.replicas,
    },
  ],
});

const old = defineVersion<Old, New>(stored, {
  group: "old.example.com",
  version: "v1",
  typeName: "io.k8s.api.core.v1.ConfigMap",
  toStored: ({ replicas, ...rest }) => ({ ...rest, spec: { replicas } }),
  fromStored: ({ spec, ...rest }) => ({ ...rest, replicas: spec.replicas }),
  fieldLabels: { replicas: "spec.replicas" },
  validateRequest: (thing) =>
    thing.spec.replicas > 5 ? [invalid("replicas", thing.spec.replicas, "at most 5")] : [],
});

function thing(replicas: number): Old {
  return {
    apiVersion: "old.example.com/v1",
    kind: "Thing",
    metadata: { name: "a", uid: "", resourceVersion: "", creationTimestamp: "" },
    replicas,
  };
}

test("what goes into the storage comes back the same, under the stored version's name meanwhile", () => {
  fc.assert(
    fc.property(fc.integer(), (replicas) => {
      const inside = old.storedAs!.toStored(thing(replicas));
      expect(inside).toEqual({
        ...thing(replicas),
        apiVersion: "new.example.com/v2",
        spec: { replicas },
        replicas: undefined,
      });
      expect(old.storedAs!.fromStored(inside)).toEqual(thing(replicas));
    }),
  );
});

test("the definition speaks of objects of its own version", () => {
  expect(storedOf(old)).toBe(stored);
  expect(storedOf(stored)).toBe(stored);
  expect(old.validate(thing(-1)).map((e) => e.field)).toEqual(["spec.replicas"]);
  expect(old.validate(thing(6)).map((e) => e.field)).toEqual(["replicas"]);
  expect(old.columns[0]!.cell(thing(3), 0)).toBe(3);
  expect(old.selectableFields.replicas!(thing(4))).toBe("4");
  const changed = thing(1);
  old.onUpdate(changed, thing(3), { nowMs: 0 });
  expect(changed).toEqual(thing(3));
});

test("where nothing is said only the apiVersion differs", () => {
  const same = defineVersion<New, New>(stored, { version: "v1beta1", typeName: stored.typeName });
  const object: New = {
    apiVersion: "new.example.com/v1beta1",
    kind: "Thing",
    metadata: { name: "a", uid: "", resourceVersion: "", creationTimestamp: "" },
    spec: { replicas: 1 },
  };
  expect(same.storedAs!.toStored(structuredClone(object))).toEqual({
    ...object,
    apiVersion: "new.example.com/v2",
  });
  expect(same.selectableFields["spec.replicas"]!(object)).toBe("1");
  expect(same.validate(object)).toEqual([]);
});
