import fc from "fast-check";
import { expect, test } from "vitest";
import { asJson, asRead, copyOf } from "./copy.ts";

const name = fc.oneof(fc.constant("__proto__"), fc.string({ maxLength: 4 }));

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

test("what is handed over reads as its JSON does, and is the very object where that is so already", () => {
  const gaps = fc.letrec((tie) => ({
    value: fc.oneof(fc.constantFrom(1, "a", null, true), tie("list"), tie("map")),
    list: fc.array(tie("value"), { maxLength: 4 }),
    map: fc.dictionary(name, fc.oneof(fc.constant(undefined), tie("value")), { maxKeys: 4 }),
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
