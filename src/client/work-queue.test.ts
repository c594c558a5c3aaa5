import fc from "fast-check";
import { expect, test } from "vitest";
import { Metrics, VirtualClock } from "#base";
import { WorkQueue } from "./work-queue.ts";

test("an item added twice is taken once", async () => {
  const queue = new WorkQueue<string>({ clock: new VirtualClock() });
  queue.add("a");
  queue.add("a");
  expect(await queue.take()).toBe("a");
  expect(queue.length).toBe(0);
});

test("an item added while it is worked on comes back after done, not before", async () => {
  const queue = new WorkQueue<string>({ clock: new VirtualClock() });
  queue.add("a");
  await queue.take();
  queue.add("a");
  expect(queue.length).toBe(0);
  queue.done("a");
  expect(await queue.take()).toBe("a");
});

test("failures double the delay up to the bound, and forget starts again", async () => {
  const clock = new VirtualClock();
  const queue = new WorkQueue<string>({ clock, baseDelayMs: 5, maxDelayMs: 12 });
  for (const delayMs of [5, 10, 12, 12]) {
    queue.addRateLimited("a");
    await clock.advance(delayMs - 1);
    expect(queue.length).toBe(0);
    await clock.advance(1);
    expect(queue.length).toBe(1);
    await queue.take();
    queue.done("a");
  }
  queue.forget("a");
  expect(queue.failures("a")).toBe(0);
});

test("of two delays the shorter holds", async () => {
  const clock = new VirtualClock();
  const queue = new WorkQueue<string>({ clock });
  queue.addAfter("a", 100);
  queue.addAfter("a", 10);
  queue.addAfter("a", 50);
  await clock.advance(10);
  expect(queue.length).toBe(1);
  await queue.take();
  queue.done("a");
  await clock.advance(1000);
  expect(queue.idle).toBe(true);
});

test("stopping wakes whoever waits, and nothing comes after", async () => {
  const clock = new VirtualClock();
  const queue = new WorkQueue<string>({ clock });
  const taken = queue.take();
  queue.addAfter("a", 10);
  queue.stop();
  expect(await taken).toBeUndefined();
  await clock.advance(100);
  expect(await queue.take()).toBeUndefined();
});

test("two queues of one world share their metrics", async () => {
  const clock = new VirtualClock();
  const metrics = new Metrics();
  new WorkQueue<string>({ clock, metrics, name: "a" }).add("x");
  new WorkQueue<string>({ clock, metrics, name: "b" }).add("x");
  expect(await metrics.text()).toContain('workqueue_adds_total{name="b"} 1');
});

test("whatever happens, no item is lost, doubled or worked on by two", async () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("add" as const), item: fc.integer({ min: 0, max: 4 }) }),
    fc.record({ do: fc.constant("take" as const), item: fc.constant(0) }),
    fc.record({ do: fc.constant("done" as const), item: fc.integer({ min: 0, max: 4 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const queue = new WorkQueue<number>({ clock: new VirtualClock() });
      const owed = new Set<number>();
      const working = new Set<number>();
      for (const { do: action, item } of steps) {
        if (action === "add") {
          queue.add(item);
          owed.add(item);
        } else if (action === "take" && queue.length > 0) {
          const taken = (await queue.take())!;
          expect(working.has(taken)).toBe(false);
          expect(owed.delete(taken)).toBe(true);
          working.add(taken);
        } else if (action === "done" && working.delete(item)) {
          queue.done(item);
        }
      }
      for (const item of working) queue.done(item);
      const rest = new Set<number>();
      while (queue.length > 0) rest.add((await queue.take())!);
      expect(rest).toEqual(owed);
    }),
  );
});
