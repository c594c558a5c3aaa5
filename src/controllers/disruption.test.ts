import fc from "fast-check";
import { expect, test } from "vitest";
import { type corev1, formatTime, type policyv1 } from "#api";
import { type DisruptionState, decideDisruption } from "./disruption.ts";

const nowMs = Date.UTC(2026, 0, 1);

function budget(
  spec: policyv1.PodDisruptionBudgetSpec,
  status: policyv1.PodDisruptionBudgetStatus = {},
): policyv1.PodDisruptionBudget {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { namespace: "default", name: "web", generation: 3 },
    spec,
    status,
  } as policyv1.PodDisruptionBudget;
}

const pod = (name: string, ready = true) =>
  ({
    metadata: { namespace: "default", name },
    status: { phase: "Running", conditions: ready ? [{ type: "Ready", status: "True" }] : [] },
  }) as unknown as corev1.Pod;

const fleet = (count: number, ready = count) =>
  Array.from({ length: count }, (_, i) => pod(`p${i}`, i < ready));

function decide(
  spec: policyv1.PodDisruptionBudgetSpec,
  pods: corev1.Pod[],
  replicas: number,
  parts: Partial<DisruptionState> = {},
) {
  const scaleOf = () => ({ uid: "set", replicas });
  return decideDisruption({ budget: budget(spec), pods, scaleOf, ...parts }, nowMs);
}

test("numbers and percentages, of what there should be", () => {
  const counts = (plan: ReturnType<typeof decide>) => {
    const { expectedPods, desiredHealthy, currentHealthy, disruptionsAllowed } = plan.status;
    return [expectedPods, desiredHealthy, currentHealthy, disruptionsAllowed];
  };
  expect(counts(decide({ minAvailable: 2 }, fleet(3), 3))).toEqual([3, 2, 3, 1]);
  expect(counts(decide({ minAvailable: "50%" }, fleet(3, 2), 3))).toEqual([3, 2, 2, 0]);
  expect(counts(decide({ maxUnavailable: 1 }, fleet(3), 5))).toEqual([5, 4, 3, 0]);
  expect(counts(decide({ maxUnavailable: "30%" }, fleet(4), 4))).toEqual([4, 2, 4, 2]);
  expect(counts(decide({ minAvailable: 0 }, [], 0))).toEqual([0, 0, 0, 0]);
});

test("the condition says whether any may go", () => {
  const conditionOf = (plan: ReturnType<typeof decide>) => plan.status.conditions;
  expect(conditionOf(decide({ minAvailable: 1 }, fleet(2), 2))).toMatchObject([
    { type: "DisruptionAllowed", status: "True", reason: "SufficientPods", observedGeneration: 3 },
  ]);
  expect(conditionOf(decide({ minAvailable: 2 }, fleet(2), 2))).toMatchObject([
    { status: "False", reason: "InsufficientPods" },
  ]);
});

test("while it is not known how many there should be nothing may go", () => {
  const plan = decide({ maxUnavailable: 1 }, fleet(3), 3, { scaleOf: () => "found no controllers for pod" });
  expect(plan.status).toMatchObject({
    disruptionsAllowed: 0,
    conditions: [{ status: "False", reason: "SyncFailed" }],
  });
  expect(plan.events.map((event) => event.reason)).toEqual(["CalculateExpectedPodCountFailed"]);
  const unmanaged = decide({ maxUnavailable: 1 }, fleet(3), 3, { scaleOf: () => undefined });
  expect(unmanaged.events.map((event) => event.reason)).toEqual(["UnmanagedPods"]);
});

test("an evicted pod counts as gone for two minutes", () => {
  const at = formatTime(nowMs - 60_000);
  const late = formatTime(nowMs - 121_000);
  const evicted = budget({ minAvailable: 1 }, { disruptedPods: { p0: at, p1: late, other: at } });
  const plan = decideDisruption({ budget: evicted, pods: fleet(3), scaleOf: () => undefined }, nowMs);
  expect(plan.status).toMatchObject({ currentHealthy: 2, disruptionsAllowed: 1, disruptedPods: { p0: at } });
  expect(Object.keys(plan.status.disruptedPods ?? {})).toEqual(["p0"]);
  expect(plan.afterMs).toBe(60_000);
});

test("property: what is allowed never brings the healthy below what is desired", () => {
  const size = fc.integer({ min: 0, max: 20 });
  const bound = fc.oneof(
    size,
    fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
  );
  fc.assert(
    fc.property(size, size, size, bound, fc.boolean(), (count, ready, replicas, value, isMin) => {
      const spec = isMin ? { minAvailable: value } : { maxUnavailable: value };
      const { status } = decide(spec, fleet(count, Math.min(ready, count)), replicas);
      const allowed = status.disruptionsAllowed ?? 0;
      expect(allowed).toBeGreaterThanOrEqual(0);
      if (allowed > 0)
        expect((status.currentHealthy ?? 0) - allowed).toBeGreaterThanOrEqual(status.desiredHealthy ?? 0);
    }),
  );
});
