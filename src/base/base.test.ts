import fc from "fast-check";
import { expect, test } from "vitest";
import {
  assert,
  BugError,
  Channel,
  codeOf,
  createWorld,
  enableFailpoint,
  failpoint,
  Metrics,
  messageOf,
  run,
  runOk,
  seededRandom,
  silentLogger,
  systemClock,
  systemRandom,
  VirtualClock,
} from "./index.ts";

test("virtual time stands still until it is moved, and fires timers in order", async () => {
  const clock = new VirtualClock(1000);
  const fired: string[] = [];
  clock.after(20, () => fired.push("b"));
  clock.after(10, () => fired.push("a"));
  clock.after(20, () => fired.push("c"));
  const every = clock.every(15, () => fired.push("tick"));
  expect(fired).toEqual([]);
  await clock.advance(30);
  expect(fired).toEqual(["a", "tick", "b", "c", "tick"]);
  expect(clock.now()).toBe(1030);
  every.cancel();
  await clock.advance(100);
  expect(fired).toHaveLength(5);
});

test("a sleep ends early, and without an error, when it is aborted", async () => {
  const clock = new VirtualClock();
  const controller = new AbortController();
  const slept = clock.sleep(1000, controller.signal);
  controller.abort();
  await slept;
  await clock.sleep(1000, controller.signal);
  expect(clock.now()).toBe(Date.UTC(2026, 0, 1));
});

test("timers longer than Node allows do not fire at once", async () => {
  let fired = false;
  const timer = systemClock.after(2 ** 40, () => {
    fired = true;
  });
  await systemClock.sleep(20);
  timer.cancel();
  expect(fired).toBe(false);
});

test("property: seeded randomness repeats itself and stays in bounds", () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer({ min: 1, max: 1000 }), (seed, bound) => {
      const [a, b] = [seededRandom(seed), seededRandom(seed)];
      const numbers = Array.from({ length: 10 }, () => a.int(bound));
      expect(numbers).toEqual(Array.from({ length: 10 }, () => b.int(bound)));
      expect(numbers.every((n) => Number.isInteger(n) && n >= 0 && n < bound)).toBe(true);
    }),
  );
});

test("random names and ids look as Kubernetes' do", () => {
  expect(systemRandom.suffix(5)).toMatch(/^[bcdfghjklmnpqrstvwxz2456789]{5}$/);
  expect(systemRandom.uuid()).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  expect(new Set(Array.from({ length: 5000 }, () => systemRandom.uuid())).size).toBe(5000);
});

test("a channel delivers in order, refuses when full, and ends after what it holds", async () => {
  const channel = new Channel<number>(2);
  expect([channel.push(1), channel.push(2), channel.push(3)]).toEqual([true, true, false]);
  channel.close();
  const seen: number[] = [];
  for await (const item of channel) seen.push(item);
  expect(seen).toEqual([1, 2]);
  expect(channel.push(4)).toBe(false);
});

test("a channel wakes its reader, and throws what it was closed with", async () => {
  const channel = new Channel<number>(10);
  const seen: number[] = [];
  const reading = (async () => {
    for await (const item of channel) seen.push(item);
  })();
  await Promise.resolve();
  channel.push(1);
  channel.close(new Error("broken"));
  await expect(reading).rejects.toThrow("broken");
  expect(seen).toEqual([1]);
});

test("property: a channel loses and reorders nothing", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer(), { maxLength: 3000 }), async (items) => {
      const channel = new Channel<number>(3000);
      for (const item of items) channel.push(item);
      channel.close();
      const seen: number[] = [];
      for await (const item of channel) seen.push(item);
      expect(seen).toEqual(items);
    }),
    { numRuns: 20 },
  );
});

test("programs run without a shell", async () => {
  expect(await runOk("cat", [], { input: "$HOME `id`" })).toBe("$HOME `id`");
  expect(await run("sh", ["-c", "echo out; echo err >&2; exit 3"])).toEqual({
    code: 3,
    stdout: "out\n",
    stderr: "err\n",
  });
  await expect(runOk("sh", ["-c", "echo why >&2; exit 1"])).rejects.toThrow("why");
  const missing = await run("/no/such/program", []).catch((error: unknown) => error);
  expect(codeOf(missing)).toBe("ENOENT");
});

test("failpoints fail only where they are switched on", () => {
  failpoint("base/test");
  const disable = enableFailpoint("base/test", "throw");
  expect(() => failpoint("base/test")).toThrow("failpoint base/test");
  expect(() => failpoint("base/other")).not.toThrow();
  disable();
  failpoint("base/test");
});

test("assertions say what is broken", () => {
  expect(() => assert(false, "two heads")).toThrow(BugError);
  expect(messageOf("text")).toBe("text");
});

test("two worlds keep their metrics apart", async () => {
  const [a, b] = [createWorld({ log: silentLogger }), createWorld({ log: silentLogger })];
  a.metrics.counter("things_total", "Things.").inc();
  b.metrics.counter("things_total", "Things.").inc(5);
  expect(await a.metrics.text()).toContain("things_total 1");
  expect(await b.metrics.text()).toContain("things_total 5");
  expect(new Metrics().contentType).toContain("text/plain");
});
