import { expect, test } from "vitest";
import type { corev1 } from "#api";
import { podInfoOf } from "./pod-info.ts";
import { asHeld, isHeldAlike } from "./resizing.ts";
import { podOf } from "./scheduler.fixture.ts";

/** Asks for `wanted`, was promised `promised` and has `has`. */
function resizing(wanted: string, promised: string, has: string, reason?: string): corev1.Pod {
  const draft = podOf("web", { cpu: wanted });
  const name = draft.spec.containers[0]!.name;
  const pending = { type: "PodResizePending", status: "True", ...(reason ? { reason } : {}) } as const;
  const status: corev1.PodStatus = {
    conditions: reason ? [pending] : [],
    containerStatuses: [
      {
        name,
        image: "",
        imageID: "",
        ready: true,
        restartCount: 0,
        allocatedResources: { cpu: promised },
        resources: { requests: { cpu: has } },
      },
    ],
  };
  return { ...draft, status } as unknown as corev1.Pod;
}
const milliCpuOf = (pod: corev1.Pod) => podInfoOf(pod).request.milliCpu;

test("a pod takes the largest of what it asks for, was promised and has", () => {
  expect(milliCpuOf(resizing("1", "1", "1"))).toBe(1000);
  expect(milliCpuOf(resizing("2", "1", "1", "Deferred"))).toBe(2000);
  expect(milliCpuOf(resizing("1", "1", "2"))).toBe(2000);
  expect(milliCpuOf(resizing("1", "2", "1"))).toBe(2000);
});

test("what its node can never give takes nothing from others", () => {
  expect(milliCpuOf(resizing("100", "1", "1", "Infeasible"))).toBe(1000);
  const whole = resizing("1", "1", "1", "Infeasible");
  whole.spec.resources = { requests: { cpu: "100" } };
  whole.status = { ...whole.status, resources: { requests: { cpu: "2" } }, allocatedResources: { cpu: "2" } };
  expect(milliCpuOf(whole)).toBe(2000);
});

test("a pod at rest is as it is written, and its status is no news", () => {
  const pod = resizing("1", "1", "1");
  expect(asHeld(pod)).toBe(pod);
  expect(isHeldAlike(pod, { ...pod, status: {} })).toBe(true);
  expect(isHeldAlike(resizing("2", "1", "1", "Deferred"), resizing("2", "1", "1", "Infeasible"))).toBe(false);
});
