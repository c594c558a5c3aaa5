import fc from "fast-check";
import { expect, it } from "vitest";
import { SortedKeys } from "./sorted-keys.ts";

it("scans as a sorted array would", () => {
  const key = fc.string({ unit: fc.constantFrom("a", "b", "/"), maxLength: 5 });
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 300 }), key, (steps, prefix) => {
      const keys = new SortedKeys();
      const model = new Set<string>();
      for (const [k, add] of steps) {
        if (add) keys.add(k);
        else keys.delete(k);
        if (add) model.add(k);
        else model.delete(k);
      }
      expect(keys.size).toBe(model.size);
      const expected = [...model].filter((k) => k.startsWith(prefix)).sort();
      expect([...keys.scan(prefix)]).toEqual(expected);
      expect(keys.count(prefix)).toBe(expected.length);
      const later = expected.filter((k) => k >= `${prefix}a`);
      expect([...keys.scan(prefix, `${prefix}a`)]).toEqual(later);
      expect(keys.count(prefix, `${prefix}a`)).toBe(later.length);
    }),
  );
});

it("stays sorted over many chunks", () => {
  const keys = new SortedKeys();
  const all = Array.from({ length: 10_000 }, (_, i) => `/k/${(i * 7919) % 10_000}`);
  for (const k of all) keys.add(k);
  expect([...keys.scan("/k/")]).toEqual([...all].sort());
  for (const k of all) keys.delete(k);
  expect([...keys.scan("")]).toEqual([]);
});
