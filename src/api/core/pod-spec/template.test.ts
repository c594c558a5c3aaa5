import fc from "fast-check";
import { expect, test } from "vitest";
import { sameJson } from "./template.ts";

test("equality of JSON is that of its values, whatever the order of keys", () => {
  const turned = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(turned);
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).map(([key, inner]) => [key, turned(inner)] as const);
    return Object.fromEntries(entries.reverse());
  };
  const text = (value: unknown): string =>
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === "object" && inner !== null && !Array.isArray(inner)
        ? { map: Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)) }
        : inner,
    );
  const json = fc.jsonValue({ maxDepth: 4 });
  fc.assert(
    fc.property(json, json, (a, b) => {
      expect(sameJson(a, turned(a))).toBe(true);
      expect(sameJson(a, b)).toBe(text(a) === text(b));
    }),
  );
});

test.each([
  [{ a: undefined }, {}, true],
  [{}, { a: undefined }, true],
  [{ a: 1 }, { b: 1 }, false],
  [{}, JSON.parse('{"__proto__":{}}'), false],
  [JSON.parse('{"__proto__":{}}'), {}, false],
  [{}, { constructor: 1 }, false],
  [[], {}, false],
  [[1], [1, 2], false],
  [null, {}, false],
])("%j and %j", (a, b, same) => {
  expect(sameJson(a, b)).toBe(same);
});
