import fc from "fast-check";
import { expect, test } from "vitest";
import { newStandIn, stamped, unstamped } from "./stamp.ts";

test("a value speaks of the revision it got, wherever it does", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string(), { minLength: 1, maxLength: 5 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.nat(),
      (texts, random, revision) => {
        const standIn = newStandIn(() => random);
        fc.pre(texts.every((text) => !text.includes(String(standIn))));
        const at = (number: number) => Buffer.from(texts.join(`"${number}"`));
        expect(unstamped(stamped(at(standIn), standIn), revision)).toEqual(at(revision));
      },
    ),
  );
});

test("what was never stored is told apart, whatever it is", () => {
  expect(unstamped(Buffer.alloc(0), 1)).toBeUndefined();
  expect(unstamped(Buffer.from([9]), 1)).toBeUndefined();
  expect(unstamped(Buffer.from([255, 255, 255, 255, 1]), 1)).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const value = unstamped(bytes, 1);
      expect(value === undefined || Buffer.isBuffer(value)).toBe(true);
    }),
  );
});
