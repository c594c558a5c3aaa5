import { expect, test } from "vitest";
import type { KubernetesObject } from "#api";
import { scaleOfCustom } from "./scale.ts";

function written(path: string, object: object): unknown {
  const paths = { specReplicasPath: path, statusReplicasPath: ".status.replicas" };
  const scale = scaleOfCustom(paths, { group: "g", kind: "K" })!;
  scale.write(object as KubernetesObject, 3);
  return object;
}

test("replicas are written where the path leads, through what is missing", () => {
  expect(written(".spec.replicas", { spec: { replicas: 1, other: 2 } })).toEqual({
    spec: { replicas: 3, other: 2 },
  });
  expect(written(".spec.deep.replicas", {})).toEqual({ spec: { deep: { replicas: 3 } } });
});

test("no path leads out of the object", () => {
  const object = written(".spec.__proto__.replicas", { spec: {} }) as { spec: object };
  expect({}).not.toHaveProperty("replicas");
  expect(Object.getPrototypeOf(object.spec)).toBe(Object.prototype);
  expect(JSON.stringify(object)).toBe('{"spec":{"__proto__":{"replicas":3}}}');
});
