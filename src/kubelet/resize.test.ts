import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { allocate, newResizeMemory, resizeConditions } from "./resize.ts";
import { makeContainer, makePod } from "./testing/pods.ts";

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
  const step = (pod: corev1.Pod) => cpuOf(allocate(pod, memory, others, allocatable));
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
  const step = (pod: corev1.Pod) => allocate(pod, memory, [], allocatable, policies);
  step(asking("1", 1, true));
  step(asking("2", 2, true));
  expect(memory.pending).toEqual({
    reason: "Infeasible",
    message: 'Resize is infeasible for Guaranteed Pods alongside CPU Manager policy "static"',
  });
});
