import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { createWorld, silentLogger } from "#base";
import { defaultConfig } from "../config/settings.ts";
import type { Eviction } from "../pod-sync.ts";
import { makePod } from "../testing/pods.ts";
import { graceOf, shutdownGroups, shutdownPeriods } from "./groups.ts";
import { type Logind, shutdownNews } from "./logind.ts";
import { createShutdownManager } from "./manager.ts";

const critical = 2_000_000_000;
const pod = (uid: string, priority: number, terminationGracePeriodSeconds = 30): corev1.Pod => {
  const made = makePod({ priority, terminationGracePeriodSeconds });
  return { ...made, metadata: { ...made.metadata, name: uid, uid } };
};
const periods = shutdownPeriods({
  ...defaultConfig,
  shutdownGraceMs: 30_000,
  shutdownGraceCriticalMs: 10_000,
});

test("what is critical has its part of the whole time, after the others", () => {
  expect(periods).toEqual([
    { priority: 0, shutdownGracePeriodSeconds: 20 },
    { priority: critical, shutdownGracePeriodSeconds: 10 },
  ]);
  expect(shutdownPeriods(defaultConfig)).toEqual([]);
  const groups = shutdownGroups(periods, [pod("dns", critical), pod("web", 5), pod("low", -5)]);
  expect(groups.map(({ pods }) => pods.map(({ metadata }) => metadata.uid))).toEqual([
    ["web", "low"],
    ["dns"],
  ]);
  expect(graceOf(periods[0]!, pod("web", 0, 300))).toBe(20);
  expect(graceOf(periods[0]!, pod("web", 0, 3))).toBe(3);
});

test("each pod is in one group, whose priority is the highest that is not above its own", () => {
  const priorities = fc.integer({ min: -100, max: 100 });
  fc.assert(
    fc.property(fc.uniqueArray(priorities, { minLength: 1 }), fc.array(priorities), (levels, pods) => {
      const sorted = shutdownPeriods({
        ...defaultConfig,
        shutdownGraceByPriority: levels.map((priority) => ({ priority, shutdownGracePeriodSeconds: 1 })),
      });
      const groups = shutdownGroups(
        sorted,
        pods.map((priority, i) => pod(`p${i}`, priority)),
      );
      expect(groups.flatMap((group) => group.pods)).toHaveLength(pods.length);
      for (const group of groups)
        for (const { spec } of group.pods) {
          const below = levels.filter((level) => level <= spec.priority!);
          expect(group.priority).toBe(below.length > 0 ? Math.max(...below) : Math.min(...levels));
        }
    }),
  );
});

test("the login manager's signal is read, and nothing else", () => {
  const line = (member: string, data: unknown) =>
    JSON.stringify({ type: "signal", member, payload: { data: [data] } });
  expect(shutdownNews(line("PrepareForShutdown", true))).toBe(true);
  expect(shutdownNews(line("PrepareForShutdown", false))).toBe(false);
  expect(shutdownNews(line("PrepareForSleep", true))).toBeUndefined();
  expect(shutdownNews(line("PrepareForShutdown", "yes"))).toBeUndefined();
  expect(shutdownNews("Monitoring bus message stream.")).toBeUndefined();
});

test("the machine waits until the pods have ended, the important ones last", async () => {
  const pods = [pod("dns", critical), pod("web", 0)];
  const order: string[] = [];
  const ended = new Map<string, () => void>();
  const ending = new AbortController();
  const released = Promise.withResolvers<void>();
  let delayMs = 5_000;
  let tell: (isNow: boolean) => void = () => {};
  const logind: Logind = {
    delayMs: async () => delayMs,
    setDelayMs: async (ms) => {
      delayMs = ms ?? 5_000;
    },
    inhibit: () => released.resolve,
    watch: (onShutdown, signal) => {
      tell = onShutdown;
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    },
  };
  const said: string[] = [];
  const manager = createShutdownManager({
    world: createWorld({ log: silentLogger }),
    periods,
    logind,
    say: (message) => said.push(message),
    changed: () => {},
    workers: {
      list: () => pods,
      isActive: () => true,
      evict(uid: string, { reason, graceSeconds }: Eviction) {
        order.push(`${uid} ${reason} ${graceSeconds}`);
        setTimeout(() => ended.get(uid)?.(), 5);
        return true;
      },
      ended: (uid) => new Promise((resolve) => ended.set(uid, resolve)),
    },
  });
  const running = manager.run(ending.signal);
  await expect.poll(() => tell.length).toBe(1);
  expect(delayMs).toBe(30_000);
  tell(true);
  expect(manager.isShuttingDown).toBe(true);
  await released.promise;
  expect(order).toEqual(["web Terminated 20", "dns Terminated 10"]);
  expect(said).toEqual(["Shutdown manager detected shutdown event"]);
  ending.abort();
  await running;
  expect(delayMs).toBe(5_000);
});
