import fc from "fast-check";
import { expect, test } from "vitest";
import { asJson, copyOf } from "./copy.ts";

test("a copy is equal, and nothing of it is shared", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const parsed = JSON.parse(JSON.stringify(value)) as unknown;
      const copy = copyOf(parsed);
      expect(JSON.stringify(copy)).toBe(JSON.stringify(parsed));
      if (typeof parsed === "object" && parsed !== null) expect(copy).not.toBe(parsed);
    }),
  );
});

test("what is handed over as JSON is what its text would read as, or is left to the text", () => {
  const odd = fc.oneof(
    fc.constantFrom(undefined, null, -0, Number.NaN, Number.POSITIVE_INFINITY, "__proto__", "\ud800"),
    fc.date({ noInvalidDate: true }),
    fc.constantFrom(
      () => 1,
      new Map(),
      { toJSON: () => "told" },
      Object.create(null),
      Object.create({ a: 1 }),
    ),
    fc.jsonValue(),
  );
  const values = fc.letrec((tie) => ({
    value: fc.oneof(odd, tie("list"), tie("map")),
    list: fc.array(tie("value"), { maxLength: 3 }),
    map: fc.dictionary(fc.oneof(fc.constantFrom("__proto__", "toJSON"), fc.string()), tie("value"), {
      maxKeys: 3,
    }),
  })).map;
  let handedOver = 0;
  fc.assert(
    fc.property(values, (value) => {
      const told = asJson(value);
      if (!told) return;
      handedOver++;
      const text = JSON.stringify(value);
      expect(JSON.stringify(told.value)).toBe(text);
      expect(told.value).toEqual(JSON.parse(text));
      if (typeof value === "object") expect(told.value).not.toBe(value);
    }),
    { numRuns: 500 },
  );
  expect(handedOver).toBeGreaterThan(0);
});

test("circles and towers are left to JSON", () => {
  const circle: Record<string, unknown> = {};
  circle.again = circle;
  expect(asJson(circle)).toBeUndefined();
  let tower: unknown = 1;
  for (let i = 0; i < 2000; i++) tower = [tower];
  expect(asJson(tower)).toBeUndefined();
});
