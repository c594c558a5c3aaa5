import fc from "fast-check";
import { expect, test } from "vitest";
import { deepFreeze } from "./informer.ts";
import { shareParts } from "./shared-parts.ts";

const json = fc.jsonValue({ maxDepth: 4 });

test("what comes out is what went in, whatever it is compared with", () => {
  fc.assert(
    fc.property(json, json, (object, like) => {
      const before = [structuredClone(object), structuredClone(like)];
      expect(shareParts(object, like)).toEqual(before[0]);
      expect(like).toEqual(before[1]);
    }),
  );
});

test("an equal object becomes the known one", () => {
  const isKnown = (like: unknown) => shareParts(structuredClone(like), like) === like;
  fc.assert(fc.property(json, isKnown));
});

test("equal parts are held once, others stay", () => {
  const like = { metadata: { name: "a", labels: { app: "web" } }, spec: { containers: [{ name: "c" }] } };
  const object = {
    metadata: { name: "b", labels: { app: "web" } },
    spec: { containers: [{ name: "c" }, { name: "d" }] },
  };
  const shared = shareParts(object, like);
  expect(shared).toBe(object);
  expect(shared.metadata.labels).toBe(like.metadata.labels);
  expect(shared.spec.containers[0]).toBe(like.spec.containers[0]);
  expect(shared.spec.containers[1]).toEqual({ name: "d" });
  expect(like.metadata.name).toBe("a");
});

test("an object with fewer parts is another one, and lists are no maps", () => {
  expect(shareParts<object>({ a: 1 }, { a: 1, b: 2 })).toEqual({ a: 1 });
  expect(shareParts<object>([1], { 0: 1 })).toEqual([1]);
  expect(shareParts<object>([], {})).toEqual([]);
});

test("what others have frozen is left alone, at any depth", () => {
  const like = { spec: { volumes: [{ name: "a" }] }, labels: { app: "web" } };
  const frozen = deepFreeze({ volumes: [{ name: "a" }], nodeName: "n" });
  const object = { spec: frozen, labels: { app: "web" } };
  expect(shareParts(object, like)).toBe(object);
  expect(object.spec).toBe(frozen);
  expect(object.spec.volumes).not.toBe(like.spec.volumes);
  expect(object.labels).toBe(like.labels);
  const whole = deepFreeze({ labels: { app: "web" }, name: "b" });
  expect(shareParts<object>(whole, like)).toBe(whole);
});
