import { describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import type { ObservedPod } from "./pod-state.ts";
import { type PodStatusInput, podStatusOf } from "./pod-status.ts";
import { makeContainer, makePod, showContainer, showPod, showSandbox } from "./testing/pods.ts";

const nowMs = Date.UTC(2026, 10, 22);
const main = makeContainer("main");
const ready = [showSandbox(0)];

function statusFor(
  pod: corev1.Pod,
  state: ObservedPod,
  more: Partial<PodStatusInput> = {},
): corev1.PodStatus {
  return podStatusOf({
    pod,
    state,
    waiting: new Map(),
    probes: { isStarted: () => true, isReady: () => true },
    runtimeName: "containerd",
    terminationMessages: new Map(),
    nowMs,
    nodeAddresses: ["192.168.0.1"],
    old: pod.status ?? {},
    ending: false,
    ...more,
  });
}

const conditionOf = (status: corev1.PodStatus, type: string) =>
  status.conditions?.find((c) => c.type === type);
const exited = (exitCode: number, more: object = {}) =>
  showContainer({ spec: main, state: "CONTAINER_EXITED", exitCode, ...more });

describe("the phase", () => {
  test.each([
    ["nothing yet", {}, showPod([], []), "Pending"],
    ["a sandbox only", {}, showPod(ready, []), "Pending"],
    ["running", {}, showPod(ready, [showContainer({ spec: main })]), "Running"],
    ["exited but restarting", { restartPolicy: "Always" }, showPod(ready, [exited(1)]), "Running"],
    ["failed, to be repeated", { restartPolicy: "OnFailure" }, showPod(ready, [exited(1)]), "Running"],
    ["done", { restartPolicy: "OnFailure" }, showPod(ready, [exited(0)]), "Succeeded"],
    ["failed for good", { restartPolicy: "Never" }, showPod(ready, [exited(2)]), "Failed"],
  ] as const)("of a pod that is %s", (_what, spec, state, phase) => {
    expect(statusFor(makePod(spec as Partial<corev1.PodSpec>), state).phase).toBe(phase);
  });

  test("waits for init containers, and fails with them under Never", () => {
    const init = makeContainer("init");
    const failed = showContainer({ spec: init, state: "CONTAINER_EXITED", exitCode: 1 });
    const pod = (restartPolicy: "Always" | "Never") => makePod({ restartPolicy, initContainers: [init] });
    expect(statusFor(pod("Always"), showPod(ready, [showContainer({ spec: init })])).phase).toBe("Pending");
    expect(statusFor(pod("Always"), showPod(ready, [failed])).phase).toBe("Pending");
    expect(statusFor(pod("Never"), showPod(ready, [failed])).phase).toBe("Failed");
  });

  test("never goes back once it is final", () => {
    const pod = makePod({ restartPolicy: "Never" }, { phase: "Succeeded" });
    expect(statusFor(pod, showPod([], [])).phase).toBe("Succeeded");
  });

  test("of an ended pod says how its containers ended", () => {
    expect(statusFor(makePod(), showPod(ready, [exited(0)]), { ending: true }).phase).toBe("Succeeded");
    expect(statusFor(makePod(), showPod(ready, [exited(137)]), { ending: true }).phase).toBe("Failed");
  });

  test("is Failed with the kubelet's own reason where it ended the pod", () => {
    const failure = { reason: "DeadlineExceeded", message: "too long" };
    const status = statusFor(makePod(), showPod(ready, [exited(137)]), { failure });
    expect(status).toMatchObject({ phase: "Failed", ...failure });
    const running = statusFor(
      makePod({}, { phase: "Running" }),
      showPod(ready, [showContainer({ spec: main })]),
      { failure },
    );
    expect(running.phase).toBe("Running");
  });
});

test("a pod that was refused says why, to a later kubelet too, and tells of no containers", () => {
  const failure = { reason: "OutOfcpu", message: "Pod was rejected: ..." };
  const refused = statusFor(makePod(), showPod([], []), { failure });
  const later = statusFor(makePod({}, refused), showPod([], []));
  expect(later.phase).toBe("Failed");
  expect(later).toMatchObject(failure);
  expect(later.containerStatuses).toBeUndefined();
});

test("what asks for nothing has nothing, and says so", () => {
  const status = statusFor(makePod(), showPod(ready, [showContainer({ spec: main })]));
  expect(status.containerStatuses?.[0]?.resources).toEqual({});
});

test("what the pod has as a whole stands beside what it is promised", () => {
  const resources = { requests: { cpu: "1" }, limits: { cpu: "2" } };
  const wholeResources = { requests: { cpu: "500m" }, limits: { cpu: "2" } };
  const status = statusFor(makePod({ resources }), showPod(ready, []), { wholeResources });
  expect(status.allocatedResources).toEqual({ cpu: "1" });
  expect(status.resources).toEqual(wholeResources);
  expect(statusFor(makePod(), showPod(ready, [])).resources).toBeUndefined();
});

describe("conditions", () => {
  test("of a pod that is ready, with addresses", () => {
    const status = statusFor(makePod(), showPod(ready, [showContainer({ spec: main })]));
    expect(status.conditions?.map((c) => [c.type, c.status])).toEqual([
      ["PodReadyToStartContainers", "True"],
      ["Initialized", "True"],
      ["Ready", "True"],
      ["ContainersReady", "True"],
      ["PodScheduled", "True"],
    ]);
    expect(status).toMatchObject({ podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }], hostIP: "192.168.0.1" });
  });

  test("name the containers that are not ready", () => {
    const probes = { isStarted: () => true, isReady: () => false };
    const status = statusFor(makePod(), showPod(ready, [showContainer({ spec: main })]), { probes });
    expect(conditionOf(status, "Ready")).toMatchObject({
      status: "False",
      reason: "ContainersNotReady",
      message: "containers with unready status: [main]",
    });
  });

  test("wait for readiness gates", () => {
    const pod = makePod({ readinessGates: [{ conditionType: "example.com/ok" }] });
    const state = showPod(ready, [showContainer({ spec: main })]);
    const gate = (status: string) => ({ conditions: [{ type: "example.com/ok", status }] });
    expect(conditionOf(statusFor(pod, state), "Ready")?.reason).toBe("ReadinessGatesNotReady");
    expect(conditionOf(statusFor(pod, state, { old: gate("False") }), "Ready")?.message).toContain(
      'is not "True", but False',
    );
    const passed = statusFor(pod, state, { old: gate("True") });
    expect(conditionOf(passed, "Ready")?.status).toBe("True");
    expect(conditionOf(passed, "example.com/ok")?.status).toBe("True");
  });

  test("keep the time of their last transition", () => {
    const state = showPod(ready, [showContainer({ spec: main })]);
    const first = statusFor(makePod(), state);
    const second = statusFor(makePod(), state, { old: first, nowMs: nowMs + 60_000 });
    expect(second).toEqual(first);
    const probes = { isStarted: () => true, isReady: () => false };
    const third = statusFor(makePod(), state, { old: first, nowMs: nowMs + 60_000, probes });
    expect(conditionOf(third, "Ready")?.lastTransitionTime).toBe("2026-11-22T00:01:00Z");
    expect(conditionOf(third, "Initialized")?.lastTransitionTime).toBe("2026-11-22T00:00:00Z");
  });
});

describe("containers", () => {
  test("show why they wait, with how they last ended", () => {
    const waiting = new Map([["main", { reason: "CrashLoopBackOff", message: "back-off" }]]);
    const messages = new Map([["main-0", "oops"]]);
    const status = statusFor(makePod(), showPod(ready, [exited(3)]), {
      waiting,
      terminationMessages: messages,
    });
    expect(status.containerStatuses?.[0]).toMatchObject({
      ready: false,
      restartCount: 0,
      state: { waiting: { reason: "CrashLoopBackOff", message: "back-off" } },
      lastState: { terminated: { exitCode: 3, reason: "Error", message: "oops" } },
    });
  });

  test("that were replaced show the one before", () => {
    const state = showPod(ready, [exited(1), showContainer({ spec: main, restartCount: 1 })]);
    expect(statusFor(makePod(), state).containerStatuses?.[0]).toMatchObject({
      containerID: "containerd://main-1",
      restartCount: 1,
      ready: true,
      lastState: { terminated: { exitCode: 1, containerID: "containerd://main-0" } },
    });
  });

  test("that vanished count as lost, and are counted", () => {
    const old = {
      containerStatuses: [
        {
          name: "main",
          image: "web:1",
          imageID: "",
          ready: true,
          restartCount: 2,
          containerID: "containerd://x",
          state: { running: {} },
        },
      ],
    };
    const status = statusFor(makePod({}, old), showPod([], []));
    expect(status.containerStatuses?.[0]).toMatchObject({
      restartCount: 3,
      state: { waiting: { reason: "ContainerCreating" } },
      lastState: { terminated: { exitCode: 137, reason: "ContainerStatusUnknown" } },
    });
  });
});

test("an ephemeral container is shown, never ready, and does not touch the phase", () => {
  const look = { name: "look", image: "tools:1" };
  const pod = makePod({ ephemeralContainers: [look] });
  const ended = showContainer({ spec: look, state: "CONTAINER_EXITED", exitCode: 3 });
  const status = statusFor(pod, showPod(ready, [showContainer({ spec: main }), ended]), {
    waiting: new Map([["look", { reason: "RunContainerError", message: "x" }]]),
  });
  expect(status.phase).toBe("Running");
  expect(status.ephemeralContainerStatuses).toMatchObject([
    { name: "look", ready: false, state: { terminated: { exitCode: 3 } } },
  ]);
});

test("a pod that was never taken has no containers to tell of: its reason is what is seen", () => {
  const failure = { reason: "OutOfcpu", message: "Pod was rejected: …" };
  const status = statusFor(makePod(), showPod([], []), { failure });
  expect(status).toMatchObject({ phase: "Failed", reason: "OutOfcpu" });
  expect(status.containerStatuses).toBeUndefined();
});

test("a container's user, its devices and what its image volumes show are told", () => {
  const spec = makeContainer("main", {
    volumeMounts: [
      { name: "pictures", mountPath: "/pictures" },
      { name: "data", mountPath: "/data", readOnly: true, recursiveReadOnly: "IfPossible" },
    ],
  });
  const shown = showContainer({ spec });
  const user = { linux: { uid: 1000, gid: 0, supplementalGroups: [0, 7] } };
  const mounts = [
    {
      containerPath: "/data",
      hostPath: "/d",
      readonly: true,
      recursiveReadOnly: true,
      propagation: "PROPAGATION_PRIVATE" as const,
    },
  ];
  const health = [{ name: "example.com/gpu", resources: [{ resourceID: "g0", health: "Unhealthy" }] }];
  const status = statusFor(makePod({ containers: [spec] }), showPod(ready, [{ ...shown, user, mounts }]), {
    volumeImages: new Map([["pictures", "web@sha256:1"]]),
    deviceHealth: () => health,
  });
  expect(status.containerStatuses?.[0]).toMatchObject({
    user,
    allocatedResourcesStatus: health,
    volumeMounts: [
      { name: "pictures", mountPath: "/pictures", volumeStatus: { image: { imageRef: "web@sha256:1" } } },
      { name: "data", mountPath: "/data", readOnly: true, recursiveReadOnly: "Enabled" },
    ],
  });
});
