import { expect, test } from "vitest";
import type { corev1 } from "#api";
import type { PodContext } from "./pod-context.ts";
import { cgroupPathOf } from "./pod-resources.ts";
import { allocate, asAllocated, giveResources, newResizeMemory, resizeConditions } from "./resize.ts";
import { makeContainer, makePod, showContainer, showPod, showSandbox } from "./testing/pods.ts";

const allocatable = { cpu: "2", memory: "4Gi" };
const asking = (cpu: string, generation = 1, limits = false): corev1.Pod => {
  const requests = { cpu, memory: "64Mi" };
  const resources = limits ? { requests, limits: requests } : { requests };
  const pod = makePod({ containers: [makeContainer("main", { resources })] });
  return { ...pod, metadata: { ...pod.metadata, generation } };
};
const cpuOf = (pod: Readonly<corev1.Pod>) => pod.spec.containers[0]!.resources?.requests?.cpu;

test("what the node has is given; what it has not yet, or never has, waits", () => {
  const memory = newResizeMemory();
  const others = [asking("1")];
  const step = (pod: corev1.Pod) => cpuOf(allocate(pod, memory, () => others, allocatable));
  expect(step(asking("500m"))).toBe("500m");
  expect(memory.news).toEqual([]);
  expect(step(asking("1", 2))).toBe("1");
  expect(resizeConditions(memory)).toEqual([{ type: "PodResizeInProgress", status: "True" }]);
  expect(memory.news.splice(0)).toEqual([
    {
      kind: "Normal",
      reason: "ResizeStarted",
      message:
        'Pod resize started: {"containers":[{"name":"main","resources":{"requests":{"cpu":"1","memory":"64Mi"}}}],"generation":2}',
    },
  ]);
  memory.started = undefined;
  const later = "Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000";
  expect(step(asking("1500m", 3))).toBe("1");
  expect(step(asking("1500m", 3))).toBe("1");
  expect(resizeConditions(memory)).toEqual([
    { type: "PodResizePending", status: "True", reason: "Deferred", message: later },
  ]);
  expect(memory.news.splice(0).map(({ reason, message }) => [reason, message])).toEqual([
    [
      "ResizeDeferred",
      `Pod resize Deferred: {"containers":[{"name":"main","resources":{"requests":{"cpu":"1500m","memory":"64Mi"}}}],"generation":3,"error":"${later}"}`,
    ],
  ]);
  expect(step(asking("3", 4))).toBe("1");
  expect(memory.pending).toEqual({
    reason: "Infeasible",
    message: "Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000",
  });
});

test("processors of its own cannot become more", () => {
  const memory = newResizeMemory();
  const policies = { cpu: true, memory: true };
  const step = (pod: corev1.Pod) => allocate(pod, memory, () => [], allocatable, policies);
  step(asking("1", 1, true));
  step(asking("2", 2, true));
  expect(memory.pending).toEqual({
    reason: "Infeasible",
    message: 'Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"',
  });
});

const whole = (cpu: string, memory: string, generation = 1): corev1.Pod => {
  const limits = { cpu, memory };
  const pod = makePod({ resources: { requests: limits, limits }, containers: [makeContainer("main")] });
  return { ...pod, metadata: { ...pod.metadata, generation } };
};

test("what a pod asks for as a whole is allocated and refused as its containers' is", () => {
  const memory = newResizeMemory();
  const step = (pod: corev1.Pod) =>
    allocate(pod, memory, () => [asking("1")], allocatable).spec.resources?.requests?.cpu;
  expect(step(whole("500m", "64Mi"))).toBe("500m");
  expect(memory.started).toBeUndefined();
  expect(step(whole("1", "64Mi", 2))).toBe("1");
  expect(memory.started).toBe(2);
  expect(step(whole("1500m", "64Mi", 3))).toBe("1");
  expect(memory.pending?.reason).toBe("Deferred");
  expect(step(whole("3", "64Mi", 4))).toBe("1");
  expect(memory.pending?.reason).toBe("Infeasible");
});

/** A node whose groups use so many bytes. */
function nodeUsing(bytes: Readonly<Record<string, number>>) {
  const given: string[] = [];
  const context = {
    cgroupRoot: "/k",
    podPidsLimit: 0,
    cpus: { exclusive: () => [] },
    figures: {
      memoryBytes: 2 ** 32,
      hugePageSizes: [],
      swap: { bytes: 0, behavior: "NoSwap", isUnified: false },
    },
    cgroups: { ensure: async () => {}, memoryUsedBytes: async (path: string) => bytes[path] },
    runtime: { updateContainerResources: async (id: string) => void given.push(id) },
  } as unknown as PodContext;
  return { context, given };
}

test("a limit of memory below what is used is refused in upstream's words, and given once less is used", async () => {
  const own = (memory: string, generation = 1) => {
    const limits = { cpu: "1", memory };
    const pod = makePod({ containers: [makeContainer("main", { resources: { requests: limits, limits } })] });
    return { ...pod, metadata: { ...pod.metadata, generation } };
  };
  const memory = newResizeMemory();
  const group = cgroupPathOf("/k", own("200Mi"));
  const bytes: Record<string, number> = { [group]: 90 * 2 ** 20, [`${group}/main-0`]: 80 * 2 ** 20 };
  const { context, given } = nodeUsing(bytes);
  const state = showPod([showSandbox(0)], [showContainer({ spec: makeContainer("main") })]);
  const step = async (pod: corev1.Pod) =>
    giveResources(
      context,
      allocate(pod, memory, () => [], allocatable),
      state,
      memory,
    );
  await step(own("200Mi"));
  await step(own("60Mi", 2));
  expect(given).toEqual([]);
  expect(memory.error).toBe(
    `cannot decrease memory limits: [attempting to set pod memory limit (62914560) below current usage (94371840), attempting to set container "main" memory limit (62914560) below current usage (83886080)]`,
  );
  bytes[group] = 50 * 2 ** 20;
  await step(own("60Mi", 2));
  expect(memory.error).toBe(
    `cannot decrease memory limits: attempting to set container "main" memory limit (62914560) below current usage (83886080)`,
  );
  bytes[`${group}/main-0`] = 50 * 2 ** 20;
  await step(own("60Mi", 2));
  expect(given).toEqual(["main-0"]);
  expect(memory.error).toBeUndefined();
});

test("to others a pod is what it was promised, however much it asks for", () => {
  const memory = newResizeMemory();
  const before = asking("500m");
  allocate(before, memory, () => [], allocatable);
  expect(asAllocated(before, memory)).toBe(before);
  expect(cpuOf(asAllocated(asking("100", 2), memory))).toBe("500m");
  expect(memory.grants).toBe(0);
  allocate(asking("100", 2), memory, () => [], allocatable);
  expect(cpuOf(asAllocated(asking("100", 2), memory))).toBe("500m");
  allocate(asking("1", 3), memory, () => [], allocatable);
  expect(cpuOf(asAllocated(asking("1", 3), memory))).toBe("1");
  expect(memory.grants).toBe(1);
});
