import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { VirtualClock } from "./clock.ts";
import { releaseMemoryAfterWork } from "./memory.ts";

function garbage(): WeakRef<object> {
  return new WeakRef({ large: new Array(1000) });
}

/** A process that is told how much it works. */
function told() {
  const self = { share: 0, usedMs: 0, heap: 1, released: 0 };
  const clock = new VirtualClock();
  clock.every(1000, () => {
    self.usedMs += self.share * 1000;
  });
  const work = releaseMemoryAfterWork(clock, {
    cpuMs: () => self.usedMs,
    heapBytes: () => self.heap,
    release: () => void self.released++,
  });
  return { self, clock, work };
}

test("memory is released when the start is over, after work, and now and then while idle", async () => {
  const { self, clock } = told();
  self.share = 0.9;
  await clock.advance(30_000);
  expect(self.released).toBe(0);
  self.share = 0.01;
  await clock.advance(20_000);
  expect(self.released).toBe(1);
  await clock.advance(250_000);
  expect(self.released).toBe(1);
  await clock.advance(60_000);
  expect(self.released).toBe(2);
  self.share = 0.5;
  await clock.advance(600_000);
  expect(self.released).toBe(2);
  self.share = 0.01;
  await clock.advance(20_000);
  expect(self.released).toBe(3);
});

test("work that comes and goes does not make a release each time", async () => {
  const { self, clock } = told();
  for (let i = 0; i < 30; i++) {
    self.share = i % 2;
    await clock.advance(10_000);
  }
  expect(self.released).toBeGreaterThan(5);
  expect(self.released).toBeLessThanOrEqual(10);
});

test("a large heap is left to V8, and nothing is released after the end", async () => {
  const { self, clock, work } = told();
  self.heap = 1024 ** 3;
  await clock.advance(60_000);
  expect(self.released).toBe(0);
  self.heap = 1;
  self.share = 1;
  await clock.advance(30_000);
  self.share = 0;
  await work.stop();
  await clock.advance(60_000);
  expect(self.released).toBe(0);
});

test("this process gives back what it left behind", async () => {
  const clock = new VirtualClock();
  // On the virtual clock hours pass in which this process has done nothing.
  const work = releaseMemoryAfterWork(clock);
  const left = garbage();
  await setImmediate();
  await clock.advance(3_600_000);
  await setImmediate();
  await work.stop();
  expect(left.deref()).toBeUndefined();
});
