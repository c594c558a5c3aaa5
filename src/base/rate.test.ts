import fc from "fast-check";
import { expect, test } from "vitest";
import { VirtualClock } from "./clock.ts";
import { Rate } from "./rate.ts";

test("never more than the burst and what has come since", async () => {
  const steps = fc.array(fc.integer({ min: 0, max: 2000 }), { maxLength: 50 });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1, max: 20 }),
      steps,
      async (perSecond, burst, pauses) => {
        const clock = new VirtualClock();
        const rate = new Rate(clock, perSecond, burst);
        let passedMs = 0;
        let taken = 0;
        for (const pauseMs of pauses) {
          await clock.advance(pauseMs);
          passedMs += pauseMs;
          while (rate.tryTake()) taken++;
          expect(taken).toBeLessThanOrEqual(burst + (passedMs / 1000) * perSecond + 1e-6);
        }
      },
    ),
  );
});

test("who waits has the next token, in turn", async () => {
  const clock = new VirtualClock();
  const rate = new Rate(clock, 2, 1);
  const had: number[] = [];
  for (const each of [1, 2, 3]) void rate.take().then(() => had.push(each));
  await clock.advance(0);
  expect(had).toEqual([1]);
  await clock.advance(499);
  expect(had).toEqual([1]);
  await clock.advance(1);
  expect(had).toEqual([1, 2]);
  await clock.advance(500);
  expect(had).toEqual([1, 2, 3]);
});

test("without a number there is no limit", () => {
  const rate = new Rate(new VirtualClock(), 0, 1);
  for (let i = 0; i < 1000; i++) expect(rate.tryTake()).toBe(true);
});
