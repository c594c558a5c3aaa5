import fc from "fast-check";
import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { podsToPreempt, requestOf } from "./preemption.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

const pod = (name: string, requests: Record<string, string>, more: Partial<corev1.PodSpec> = {}) => {
  const made = makePod({
    containers: [
      makeContainer("main", { resources: { requests, ...(more.os ? { limits: requests } : {}) } }),
    ],
    priority: 0,
    ...more,
  });
  return { ...made, metadata: { ...made.metadata, name, uid: name } };
};
const critical = pod("critical", { cpu: "1" }, { priority: 2_000_000_000 });
const names = (pods: readonly Readonly<corev1.Pod>[]) => pods.map(({ metadata }) => metadata.name);
const cpu = (amount: number) => [{ name: "cpu", amount }];

test("as few pods as can be go, guaranteed ones last", () => {
  const small = pod("small", { cpu: "100m" });
  const large = pod("large", { cpu: "500m" });
  const promised = pod("promised", { cpu: "1", memory: "1Mi" }, { os: { name: "linux" } });
  expect(names(podsToPreempt(critical, [small, large, promised], cpu(400)))).toEqual(["large"]);
  expect(names(podsToPreempt(critical, [small, large, promised], cpu(100)))).toEqual(["small"]);
  expect(names(podsToPreempt(critical, [small, large, promised], cpu(700)))).toEqual(["promised"]);
  expect(names(podsToPreempt(critical, [pod("idle", {}), small], [{ name: "pods", amount: 1 }]))).toEqual([
    "idle",
  ]);
});

test("nobody of the same standing goes, and what cannot be had is told", () => {
  const other = pod("other", { cpu: "2" }, { priority: 2_000_000_000 });
  expect(() => podsToPreempt(critical, [other], cpu(300))).toThrow(
    "no set of running pods found to reclaim resources: [(res: cpu, q: 300), ]",
  );
});

test("what goes is enough, and nothing more would do without one of them", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 8 }), (amounts) => {
      const pods = amounts.map((milli, i) => pod(`p${i}`, { cpu: `${milli}m` }));
      const total = amounts.reduce((sum, milli) => sum + milli, 0);
      const needed = Math.ceil(total / 2);
      const chosen = podsToPreempt(critical, pods, cpu(needed));
      const freed = chosen.reduce((sum, each) => sum + requestOf(each, "cpu"), 0);
      expect(freed).toBeGreaterThanOrEqual(needed);
      expect(freed - requestOf(chosen.at(-1)!, "cpu")).toBeLessThan(needed);
    }),
  );
});
