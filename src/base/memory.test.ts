import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { VirtualClock } from "./clock.ts";
import { releaseStartMemory } from "./memory.ts";

function garbage(): WeakRef<object> {
  return new WeakRef({ large: new Array(1000) });
}

test("what a start has left behind goes a while later, unless the process stops before", async () => {
  const clock = new VirtualClock();
  const called = releaseStartMemory(clock);
  await called.stop();
  releaseStartMemory(clock);
  const left = garbage();
  await setImmediate();
  expect(left.deref()).toBeDefined();
  await setImmediate();
  await clock.advance(10_000);
  await setImmediate();
  expect(left.deref()).toBeUndefined();
});
