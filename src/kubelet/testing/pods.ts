/** Pods and what a runtime would show of them, for unit tests. */
import type { corev1 } from "#api";
import type { PodSandboxStatus } from "#contracts";
import { containerHash } from "../labels.ts";
import type { ObservedContainer, ObservedPod } from "../pod-state.ts";

export function makePod(spec: Partial<corev1.PodSpec> = {}, status: corev1.PodStatus = {}): corev1.Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "web",
      namespace: "default",
      uid: "uid-1",
      resourceVersion: "1",
      generation: 1,
      creationTimestamp: "2026-01-01T00:00:00Z",
    },
    spec: { restartPolicy: "Always", containers: [makeContainer("main")], ...spec },
    status,
  };
}

export function makeContainer(name: string, more: Partial<corev1.Container> = {}): corev1.Container {
  return { name, image: "web:1", ...more };
}

export interface Shown {
  spec: corev1.Container;
  state?: ObservedContainer["state"];
  exitCode?: number;
  restartCount?: number;
  sandbox?: string;
  /** Larger is newer. */
  age?: number;
}

export function showContainer(shown: Shown): ObservedContainer {
  const {
    spec,
    state = "CONTAINER_RUNNING",
    exitCode = 0,
    restartCount = 0,
    sandbox = "s0",
    age = restartCount,
  } = shown;
  const ended = state === "CONTAINER_EXITED";
  return {
    id: `${spec.name}-${restartCount}`,
    name: spec.name,
    podSandboxId: sandbox,
    metadata: { name: spec.name, attempt: restartCount },
    restartCount,
    hash: containerHash(spec),
    state,
    createdAt: 1e18 + age * 1e9,
    startedAt: state === "CONTAINER_CREATED" ? 0 : 1e18,
    finishedAt: ended ? 2e18 : 0,
    exitCode,
    image: { image: spec.image ?? "" },
    imageRef: "sha256:1",
    reason: ended ? (exitCode === 0 ? "Completed" : "Error") : "",
    message: "",
    labels: {},
    annotations: {},
    mounts: [],
    logPath: "",
  };
}

export function showSandbox(
  attempt: number,
  state: PodSandboxStatus["state"] = "SANDBOX_READY",
  ip = "10.0.0.1",
): PodSandboxStatus {
  return {
    id: `s${attempt}`,
    metadata: { name: "web", uid: "uid-1", namespace: "default", attempt },
    state,
    createdAt: attempt,
    labels: {},
    annotations: {},
    network: { ip, additionalIps: [] },
  };
}

/** The newest first, whatever the order of the arguments. */
export function showPod(
  sandboxes: readonly PodSandboxStatus[],
  containers: readonly ObservedContainer[],
): ObservedPod {
  return {
    uid: "uid-1",
    sandboxes: [...sandboxes].sort((a, b) => b.createdAt - a.createdAt),
    containers: [...containers].sort((a, b) => b.createdAt - a.createdAt),
  };
}
