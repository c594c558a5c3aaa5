import { expect, test } from "vitest";
import { sharesToWeight } from "./cgroups.ts";
import { figuresFor } from "./pod-context.ts";
import {
  cgroupPathOf,
  containerResources,
  cpuQuota,
  cpuShares,
  oomScoreAdj,
  pageSizeName,
  podCgroup,
  swapBytesFor,
} from "./pod-resources.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

const limits = { cpu: "500m", memory: "64Mi" };
const guaranteed = makePod({
  containers: [makeContainer("main", { resources: { limits, requests: limits } })],
});
const burstable = makePod({
  containers: [makeContainer("main", { resources: { requests: { cpu: "250m", memory: "1Gi" } } })],
});

const node = {
  memoryBytes: 8 * 2 ** 30,
  hugePageSizes: [],
  swap: { bytes: 0, behavior: "NoSwap", isUnified: true },
  oomGroup: false,
  cfsPeriodUs: 100_000,
};

test("CPU becomes shares and quota as upstream's", () => {
  expect([0, 1, 1000, 1_000_000].map(cpuShares)).toEqual([2, 2, 1024, 262_144]);
  expect([0, 1, 500, 2000].map((milli) => cpuQuota(milli))).toEqual([0, 1000, 50_000, 200_000]);
  expect([2, 1024, 262_144].map(sharesToWeight)).toEqual([1, 39, 10_000]);
});

test("containers get their limits, and the kernel's order of killing", () => {
  expect(containerResources(guaranteed, guaranteed.spec.containers[0]!, node)).toEqual({
    cpuShares: 512,
    cpuPeriod: 100_000,
    cpuQuota: 50_000,
    memoryLimitInBytes: 64 * 2 ** 20,
    oomScoreAdj: -997,
  });
  expect(oomScoreAdj(burstable, burstable.spec.containers[0]!, 4 * 2 ** 30)).toBe(750);
  expect(oomScoreAdj(makePod(), makePod().spec.containers[0]!, 2 ** 30)).toBe(1000);
});

test("limits of CPU hold in the period that is set, or not at all", () => {
  const main = guaranteed.spec.containers[0]!;
  const slow = { ...node, cfsPeriodUs: 10_000 };
  expect(containerResources(guaranteed, main, slow)).toMatchObject({ cpuPeriod: 10_000, cpuQuota: 5000 });
  expect(podCgroup(guaranteed, 0, slow)).toMatchObject({ cpuPeriodUs: 10_000, cpuQuotaUs: 5000 });
  const free = { ...node, cfsPeriodUs: 0 };
  expect(containerResources(guaranteed, main, free)).not.toHaveProperty("cpuQuota");
  expect(containerResources(guaranteed, main, free)).not.toHaveProperty("cpuPeriod");
  expect(podCgroup(guaranteed, 0, free)).toMatchObject({ cpuPeriodUs: 100_000, cpuQuotaUs: 0 });
});

test("who has processors to himself is not held to a share of their time", () => {
  const two = makePod({ containers: [makeContainer("main"), makeContainer("other")] });
  const cpus = { exclusive: (_: string, name: string) => (name === "main" ? [2] : []) };
  const of = (...names: string[]) => figuresFor({ figures: node, cpus }, two, ...names).cfsPeriodUs;
  expect([of("main"), of("other"), of()]).toEqual([0, 100_000, 0]);
  const shared = { figures: node, cpus: { exclusive: () => [] } };
  expect(figuresFor(shared, two)).toBe(node);
});

test("a pod's group lies by its class, limited only when every container is", () => {
  expect(cgroupPathOf("/kubepods", guaranteed)).toBe("/kubepods/poduid-1");
  expect(cgroupPathOf("/kubepods", burstable)).toBe("/kubepods/burstable/poduid-1");
  expect(cgroupPathOf("/kubepods", makePod())).toBe("/kubepods/besteffort/poduid-1");
  expect(podCgroup(guaranteed)).toEqual({
    cpuShares: 512,
    cpuQuotaUs: 50_000,
    cpuPeriodUs: 100_000,
    memoryLimitBytes: 64 * 2 ** 20,
    pidsLimit: 0,
  });
  const overhead = { cpu: "250m", memory: "16Mi" };
  expect(podCgroup({ ...guaranteed, spec: { ...guaranteed.spec, overhead } })).toMatchObject({
    cpuShares: 768,
    cpuQuotaUs: 75_000,
    memoryLimitBytes: 80 * 2 ** 20,
  });
  const mixed = makePod({ containers: [...guaranteed.spec.containers, makeContainer("free")] });
  expect(podCgroup(mixed)).toMatchObject({ cpuQuotaUs: 0, memoryLimitBytes: 0 });
});

test("init containers and sidecars count by the largest sum there is at one time", () => {
  const part = (name: string, cpu: string, more: object = {}) =>
    makeContainer(name, { resources: { requests: { cpu }, limits: { cpu, memory: "1Mi" } }, ...more });
  const pod = makePod({
    initContainers: [part("proxy", "100m", { restartPolicy: "Always" }), part("init", "900m")],
    containers: [part("main", "200m")],
  });
  expect(podCgroup(pod).cpuQuotaUs).toBe(100_000);
});

test("huge pages that nobody asked for are not had, where the kernel can limit them", () => {
  expect([65_536, 2 ** 21, 2 ** 30].map(pageSizeName)).toEqual(["64KB", "2MB", "1GB"]);
  const pages = { limits: { "hugepages-2Mi": "4Mi", memory: "1Gi" } };
  const pod = makePod({ containers: [makeContainer("main", { resources: pages }), makeContainer("other")] });
  const able = { ...node, hugePageSizes: [2 ** 21, 2 ** 30] };
  expect(containerResources(pod, pod.spec.containers[0]!, able).hugepageLimits).toEqual([
    { pageSize: "2MB", limit: 4 * 2 ** 20 },
    { pageSize: "1GB", limit: 0 },
  ]);
  expect(podCgroup(pod, 0, able).hugePages).toEqual({ "2MB": 4 * 2 ** 20, "1GB": 0 });
  expect(podCgroup(pod).hugePages).toBeUndefined();
});

test("swap is for burstable pods, by what they ask for, and for nobody where it is not limited", () => {
  const swapping = { ...node, swap: { bytes: 4 * 2 ** 30, behavior: "LimitedSwap", isUnified: true } };
  const of = (pod: typeof burstable, figures = swapping) =>
    swapBytesFor(pod, pod.spec.containers[0]!, figures);
  expect(of(burstable)).toBe(2 ** 29);
  expect(of(guaranteed)).toBe(0);
  expect(of(makePod())).toBe(0);
  expect(of({ ...burstable, spec: { ...burstable.spec, priority: 2_000_000_000 } })).toBe(0);
  expect(of(burstable, { ...swapping, swap: { ...swapping.swap, isUnified: false } })).toBe(0);
  const main = burstable.spec.containers[0]!;
  expect(containerResources(burstable, main, swapping).unified).toEqual({ "memory.swap.max": "536870912" });
  const none = { ...swapping, swap: { ...swapping.swap, behavior: "NoSwap" } };
  expect(containerResources(burstable, main, none).unified).toEqual({ "memory.swap.max": "0" });
  const old = { ...none, swap: { ...none.swap, isUnified: false } };
  expect(containerResources(guaranteed, guaranteed.spec.containers[0]!, old)).toMatchObject({
    memorySwapLimitInBytes: 64 * 2 ** 20,
  });
  expect(containerResources(burstable, main, node).unified).toBeUndefined();
});

test("with cgroups v2 the kernel ends a whole container that has no memory left", () => {
  const main = burstable.spec.containers[0]!;
  const { unified } = containerResources(burstable, main, { ...node, oomGroup: true });
  expect(unified).toEqual({ "memory.oom.group": "1" });
});
