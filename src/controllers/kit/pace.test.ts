import fc from "fast-check";
import { expect, test } from "vitest";
import { VirtualClock } from "#base";
import { Pace, restAfter } from "./pace.ts";

test("one key takes a tenth of the time, all together a quarter, as long as nobody waits for more than five seconds", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0, max: 200, noNaN: true }),
      fc.integer({ min: 0, max: 1_000 }),
      (costMs, waiting) => {
        const restMs = restAfter(costMs, waiting);
        expect(restMs).toBeGreaterThanOrEqual(20);
        expect(restMs).toBeLessThanOrEqual(5_000);
        if (restMs < 5_000) {
          expect(costMs).toBeLessThanOrEqual(restMs / 10 + 1e-9);
          expect(costMs * waiting).toBeLessThanOrEqual(restMs / 4 + 1e-9);
        }
      },
    ),
  );
});

test("a key waits out its rest, others do not", async () => {
  const clock = new VirtualClock();
  const pace = new Pace(clock);
  pace.rest("a", 100);
  expect([pace.waitMs("a"), pace.waitMs("b")]).toEqual([100, 0]);
  await clock.advance(70);
  expect(pace.waitMs("a")).toBe(30);
  await clock.advance(70);
  expect(pace.waitMs("a")).toBe(0);
});
