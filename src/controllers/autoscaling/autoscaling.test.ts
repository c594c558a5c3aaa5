import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type autoscalingv2,
  type corev1,
  deployments,
  events,
  formatTime,
  horizontalPodAutoscalers,
  type KubernetesObject,
  pods,
  type ResourceType,
} from "#api";
import { deploymentDraft, testWorld } from "../kit/world.fixture.ts";
import { horizontalPodAutoscalerController } from "./controller.ts";
import { limit, newHistory, rememberChange } from "./limits.ts";
import type { PodMetric } from "./metrics.ts";
import { byAverage, byShare, byUtilization, byValue, isTolerated } from "./replicas.ts";

const nowMs = Date.UTC(2026, 0, 1);
const tolerance = { up: 0.1, down: 0.1 };

function pod(name: string, cpu = "100m", status: corev1.PodStatus = {}): corev1.Pod {
  const long = formatTime(nowMs - 3_600_000);
  return {
    metadata: { name },
    spec: { containers: [{ name: "c", resources: { requests: { cpu } } }] },
    status: {
      phase: "Running",
      startTime: long,
      conditions: [{ type: "Ready", status: "True", lastTransitionTime: long }],
      ...status,
    },
  } as unknown as corev1.Pod;
}

const metric = (value: number): PodMetric => ({ value, atMs: nowMs, windowMs: 30_000 });
const asked = (pods: corev1.Pod[], values: Record<string, number>) => ({
  current: pods.length,
  pods,
  metrics: new Map(Object.entries(values).map(([name, value]) => [name, metric(value)])),
  resource: "cpu",
  tolerance,
  nowMs,
});

test("as many replicas as bring the utilization to its target, and none for a small difference", () => {
  const three = [pod("a"), pod("b"), pod("c")];
  expect(byUtilization(asked(three, { a: 90, b: 80, c: 100 }), 45)).toEqual({
    replicas: 6,
    value: 90,
    utilization: 90,
  });
  expect(byUtilization(asked(three, { a: 50, b: 52, c: 54 }), 50).replicas).toBe(3);
  expect(byUtilization(asked(three, { a: 10, b: 10, c: 10 }), 50).replicas).toBe(1);
  expect(byAverage(asked(three, { a: 300, b: 300, c: 300 }), 100).replicas).toBe(9);
});

test("pods without measurements dampen: full where fewer, nothing where more", () => {
  const four = [pod("a"), pod("b"), pod("c"), pod("d")];
  expect(byUtilization(asked(four, { a: 10, b: 10, c: 10 }), 50).replicas).toBe(3);
  expect(byUtilization(asked(four, { a: 100, b: 100, c: 100 }), 50).replicas).toBe(6);
  const starting = [pod("a"), pod("b", "100m", { phase: "Pending" })];
  expect(byUtilization(asked(starting, { a: 120 }), 50).replicas).toBe(3);
});

test("what cannot be computed says why", () => {
  expect(() => byUtilization(asked([], {}), 50)).toThrow(
    "no pods returned by selector while calculating replica count",
  );
  expect(() => byUtilization(asked([pod("a")], {}), 50)).toThrow(
    "did not receive metrics for any ready pods",
  );
  const without = { ...pod("a"), spec: { containers: [{ name: "c" }] } } as corev1.Pod;
  expect(() => byUtilization(asked([without], { a: 1 }), 50)).toThrow(
    "missing request for cpu in container c of Pod a",
  );
});

test("one value for all: shared, or as a ratio, from zero too", () => {
  expect(byShare(2, tolerance, 900, 300)).toEqual({ replicas: 3, value: 450 });
  expect(byValue({ current: 0, pods: [], tolerance, nowMs }, 2500, 1000).replicas).toBe(3);
  expect(byValue({ current: 2, pods: [pod("a"), pod("b")], tolerance, nowMs }, 2000, 1000).replicas).toBe(4);
});

test("property: the proposal never goes against the measurement", () => {
  const values = fc.array(fc.option(fc.integer({ min: 0, max: 400 })), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(values, fc.integer({ min: 10, max: 100 }), (all, target) => {
      const present = all.map((_, i) => pod(`p${i}`));
      const measured = Object.fromEntries(
        all.flatMap((value, i) => (value === null ? [] : [[`p${i}`, value]])),
      );
      if (Object.keys(measured).length === 0) return;
      const { replicas, utilization = 0 } = byUtilization(asked(present, measured), target);
      if (utilization > target) expect(replicas).toBeGreaterThanOrEqual(present.length);
      if (utilization < target) expect(replicas).toBeLessThanOrEqual(present.length);
      if (isTolerated(utilization / target, tolerance)) expect(replicas).toBe(present.length);
    }),
  );
});

function autoscaler(spec: Partial<autoscalingv2.HorizontalPodAutoscalerSpec> = {}) {
  return {
    metadata: { namespace: "default", name: "web" },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
      maxReplicas: 20,
      ...spec,
    },
    status: { desiredReplicas: 0 },
  } as autoscalingv2.HorizontalPodAutoscaler;
}

test("without rules: at most doubled, and no fewer than anybody wished in five minutes", () => {
  const history = newHistory();
  expect(limit(autoscaler(), history, 3, 100, nowMs)).toMatchObject({
    replicas: 6,
    able: { reason: "ReadyForNewScale" },
    limited: { status: "True", reason: "ScaleUpLimit" },
  });
  expect(limit(autoscaler({ maxReplicas: 5 }), newHistory(), 3, 100, nowMs).limited.reason).toBe(
    "TooManyReplicas",
  );
  const soon = limit(autoscaler(), history, 6, 1, nowMs + 60_000);
  expect([soon.replicas, soon.able.reason]).toEqual([12, "ScaleDownStabilized"]);
  const later = limit(autoscaler(), history, 6, 1, nowMs + 400_000);
  expect([later.replicas, later.able.reason]).toEqual([1, "ReadyForNewScale"]);
});

const rules = (parts: Partial<autoscalingv2.HPAScalingRules>): autoscalingv2.HPAScalingRules => ({
  stabilizationWindowSeconds: 0,
  selectPolicy: "Max",
  policies: [{ type: "Percent", value: 100, periodSeconds: 15 }],
  ...parts,
});

test("rules bound the change in each period, in either direction, or forbid it", () => {
  const perMinute = rules({ policies: [{ type: "Pods", value: 2, periodSeconds: 60 }] });
  const slow = autoscaler({ behavior: { scaleUp: perMinute, scaleDown: perMinute } });
  const history = newHistory();
  expect(limit(slow, history, 4, 20, nowMs).replicas).toBe(6);
  rememberChange(history, 2, nowMs);
  expect(limit(slow, history, 6, 20, nowMs + 15_000)).toMatchObject({
    replicas: 6,
    limited: { reason: "ScaleUpLimit" },
  });
  expect(limit(slow, history, 6, 20, nowMs + 61_000).replicas).toBe(8);
  expect(limit(slow, newHistory(), 9, 1, nowMs).limited.reason).toBe("ScaleDownLimit");
  const never = autoscaler({
    behavior: { scaleUp: rules({}), scaleDown: rules({ selectPolicy: "Disabled" }) },
  });
  expect(limit(never, newHistory(), 9, 1, nowMs).replicas).toBe(9);
});

test("property: whatever was wished, the bounds hold and a step never goes the other way", () => {
  const wishes = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 40 });
  fc.assert(
    fc.property(wishes, fc.boolean(), fc.integer({ min: 1, max: 5 }), (all, ruled, min) => {
      const behavior = ruled
        ? { scaleUp: rules({}), scaleDown: rules({ stabilizationWindowSeconds: 60 }) }
        : undefined;
      const spec = autoscaler({ minReplicas: min, maxReplicas: 30, ...(behavior && { behavior }) });
      const history = newHistory();
      let current = min;
      for (const [i, wanted] of all.entries()) {
        const atMs = nowMs + i * 15_000;
        const { replicas } = limit(spec, history, current, wanted, atMs);
        expect(replicas).toBeGreaterThanOrEqual(min);
        expect(replicas).toBeLessThanOrEqual(30);
        if (wanted > current) expect(replicas).toBeGreaterThanOrEqual(current);
        if (replicas !== current) rememberChange(history, replicas - current, atMs);
        current = replicas;
      }
    }),
  );
});

const podMetrics: ResourceType = {
  group: "metrics.k8s.io",
  version: "v1beta1",
  resource: "pods",
  kind: "PodMetrics",
  namespaced: true,
};

async function autoscaledWorld(metrics: boolean) {
  const world = testWorld();
  await world.create(deployments, deploymentDraft({ replicas: 2 }));
  const requests = { cpu: "100m" };
  for (const name of ["web-1", "web-2"]) {
    const labels = { app: "web" };
    const spec = { containers: [{ name: "c", resources: { requests } }] };
    await world.create(pods, { metadata: { namespace: "default", name, labels }, spec });
    const usage = { cpu: "150m" };
    const timestamp = formatTime(world.clock.now());
    const measured = {
      metadata: { namespace: "default", name, labels },
      timestamp,
      containers: [{ name: "c", usage }],
    };
    if (metrics) await world.create(podMetrics, measured as unknown as KubernetesObject);
  }
  await world.startPods();
  const old = formatTime(world.clock.now() - 3_600_000);
  for (const { metadata } of await world.podsOf()) {
    const conditions = [{ type: "Ready", status: "True", lastTransitionTime: old }];
    const status = { startTime: old, conditions };
    await world.client.patch(pods, metadata, "merge", { status }, { subresource: "status" });
  }
  const target = { type: "Utilization", averageUtilization: 50 };
  await world.create(horizontalPodAutoscalers, {
    ...autoscaler({ metrics: [{ type: "Resource", resource: { name: "cpu", target } }] }),
  });
  const running = await world.run(horizontalPodAutoscalerController.name);
  await world.clock.advance(20_000);
  const found = await world.client.get(horizontalPodAutoscalers, { namespace: "default", name: "web" });
  const deployment = await world.client.get(deployments, { namespace: "default", name: "web" });
  await running.stop();
  const told = (await world.client.list(events, { namespace: "default" })).items;
  const conditions = found.status.conditions?.map(({ type, status, reason }) => [type, status, reason]);
  return { found, deployment, conditions, told: told.map(({ reason, message }) => [reason, message]) };
}

test("a busy Deployment grows, and the status tells why", async () => {
  const { found, deployment, conditions, told } = await autoscaledWorld(true);
  expect(deployment.spec.replicas).toBe(6);
  expect(conditions).toEqual(
    expect.arrayContaining([
      ["AbleToScale", "True", "SucceededRescale"],
      ["ScalingActive", "True", "ValidMetricFound"],
    ]),
  );
  const current = { averageUtilization: 150, averageValue: "150m" };
  expect(found.status.currentMetrics).toEqual([{ type: "Resource", resource: { name: "cpu", current } }]);
  expect(told).toContainEqual([
    "SuccessfulRescale",
    "New size: 4; reason: cpu resource utilization (percentage of request) above target",
  ]);
});

test("without a metrics API nothing is scaled, and conditions and events say so", async () => {
  const { found, deployment, conditions, told } = await autoscaledWorld(false);
  expect(deployment.spec.replicas).toBe(2);
  expect(conditions).toEqual([
    ["AbleToScale", "True", "SucceededGetScale"],
    ["ScalingActive", "False", "FailedGetResourceMetric"],
  ]);
  const why =
    "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API";
  expect(found.status.conditions?.[1]?.message).toBe(
    `the HPA was unable to compute the replica count: ${why}`,
  );
  expect(told).toEqual(
    expect.arrayContaining([
      ["FailedGetResourceMetric", why],
      [
        "FailedComputeMetricsReplicas",
        `invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: ${why}`,
      ],
    ]),
  );
});
