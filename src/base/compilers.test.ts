import { expect, test } from "vitest";
import { VirtualClock } from "./clock.ts";
import { optimizeAfterLastingWork } from "./compilers.ts";

/** A process that is told how much it works. */
function told() {
  const self = { share: 0, usedMs: 0, optimized: 0 };
  const clock = new VirtualClock();
  clock.every(1000, () => {
    self.usedMs += self.share * 1000;
  });
  const work = optimizeAfterLastingWork(clock, {
    cpuMs: () => self.usedMs,
    optimize: () => void self.optimized++,
  });
  return { self, clock, work };
}

test("code is optimized once there was work for half a minute without a pause, and once", async () => {
  const { self, clock } = told();
  for (let i = 0; i < 10; i++) {
    self.share = 0.9;
    await clock.advance(20_000);
    self.share = 0.01;
    await clock.advance(20_000);
  }
  expect(self.optimized).toBe(0);
  self.share = 0.15;
  await clock.advance(200_000);
  expect(self.optimized).toBe(1);
});

test("nothing is done after the end", async () => {
  const { self, clock, work } = told();
  self.share = 1;
  await work.stop();
  await clock.advance(200_000);
  expect(self.optimized).toBe(0);
});
