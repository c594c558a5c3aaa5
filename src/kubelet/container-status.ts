/**
 * The status of each container, from what the runtime shows, what the probes say and what last went wrong.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states
 */
import { type corev1, formatTime } from "#api";
import { isRestartableInit, shouldRestart } from "./compute-actions.ts";
import { ephemeralContainersOf } from "./pod-containers.ts";
import { latestContainer, type ObservedContainer, type ObservedPod } from "./pod-state.ts";
import { restartsAfter } from "./restart-policy.ts";

/** Why a container waits. */
export interface WaitingReason {
  reason: string;
  message: string;
}

interface ProbeResults {
  /** The startup probe has succeeded, or there is none. */
  isStarted(containerId: string): boolean;
  isReady(containerId: string): boolean;
}

export interface StatusInput {
  pod: Readonly<corev1.Pod>;
  state: ObservedPod;
  /** By container name. */
  waiting: ReadonlyMap<string, WaitingReason>;
  probes: ProbeResults;
  runtimeName: string;
  /** What running containers have, by container id; what the specification says without. */
  resources?: ReadonlyMap<string, Readonly<corev1.ResourceRequirements>>;
  /** What each image volume shows, by the name of the volume. */
  volumeImages?: ReadonlyMap<string, string>;
  /** How the devices of a container are. */
  deviceHealth?(container: Readonly<corev1.Container>): corev1.ResourceStatus[];
  /** What containers left at their termination message path, by container id. */
  terminationMessages: ReadonlyMap<string, string>;
}

const timeOf = (nanoseconds: number) => formatTime(nanoseconds > 0 ? nanoseconds / 1e6 : 0);

/** What `kubectl describe` shows of an exit. */
function terminatedState(
  container: ObservedContainer,
  runtimeName: string,
  terminationMessage: string | undefined,
): corev1.ContainerStateTerminated {
  const reason = container.reason || (container.exitCode === 0 ? "Completed" : "Error");
  const message = [container.message, terminationMessage].filter(Boolean).join(": ");
  return {
    containerID: `${runtimeName}://${container.id}`,
    exitCode: container.exitCode,
    finishedAt: timeOf(container.finishedAt),
    ...(message ? { message } : {}),
    reason,
    startedAt: timeOf(container.startedAt),
  };
}

function stateOf(input: StatusInput, container: ObservedContainer): corev1.ContainerState {
  if (container.state === "CONTAINER_RUNNING") return { running: { startedAt: timeOf(container.startedAt) } };
  if (container.state === "CONTAINER_EXITED") {
    const message = input.terminationMessages.get(container.id);
    return { terminated: terminatedState(container, input.runtimeName, message) };
  }
  return { waiting: { reason: "ContainerCreating" } };
}

function volumeMountsOf(
  container: Readonly<corev1.Container>,
  latest: ObservedContainer,
  images: ReadonlyMap<string, string> | undefined,
): corev1.VolumeMountStatus[] | undefined {
  const recursive = new Set(
    latest.mounts.filter((m) => m.recursiveReadOnly).map(({ containerPath }) => containerPath),
  );
  const mounts = (container.volumeMounts ?? []).map((m) => {
    const imageRef = images?.get(m.name);
    return {
      mountPath: m.mountPath,
      name: m.name,
      ...(m.readOnly
        ? { readOnly: true, recursiveReadOnly: recursive.has(m.mountPath) ? "Enabled" : "Disabled" }
        : {}),
      ...(imageRef ? { volumeStatus: { image: { imageRef } } } : {}),
    };
  });
  return mounts.length > 0 ? mounts : undefined;
}

/** What it is promised, and what it has at this moment. */
function resourcesOf(
  container: Readonly<corev1.Container>,
  has: Readonly<corev1.ResourceRequirements> | undefined,
): Partial<corev1.ContainerStatus> {
  const { requests, limits } = has ?? container.resources ?? {};
  const allocated = container.resources?.requests;
  return {
    ...(allocated ? { allocatedResources: allocated } : {}),
    resources: { ...(limits ? { limits } : {}), ...(requests ? { requests } : {}) },
  };
}

/** A container the runtime has nothing of: it has not been made yet, or it has been lost. */
function absentStatus(
  input: StatusInput,
  spec: Readonly<corev1.Container>,
  old: Readonly<corev1.ContainerStatus> | undefined,
  defaultWaiting: string,
): corev1.ContainerStatus {
  const base = { name: spec.name, image: spec.image ?? "", imageID: "", ready: false, started: false };
  if (old?.state?.terminated && !shouldRun(input.pod, spec, old.state.terminated)) {
    return {
      ...base,
      ...old,
      ready: isInit(input.pod, spec.name) && old.state.terminated.exitCode === 0,
      started: false,
    };
  }
  const waiting = input.waiting.get(spec.name);
  const state = { waiting: waiting ? waitingState(waiting) : { reason: defaultWaiting } };
  if (!old?.state?.running) {
    const last = old?.lastState?.terminated ? { lastState: old.lastState } : { lastState: {} };
    return { ...base, restartCount: old?.restartCount ?? 0, state, ...last };
  }
  const lost = {
    exitCode: 137,
    reason: "ContainerStatusUnknown",
    message: "The container could not be located when the pod was deleted.  The container used to be Running",
  };
  if (input.pod.metadata.deletionTimestamp) {
    return { ...base, restartCount: old.restartCount, state: { terminated: lost }, lastState: {} };
  }
  return { ...base, restartCount: old.restartCount + 1, state, lastState: { terminated: lost } };
}

function shouldRun(
  pod: Readonly<corev1.Pod>,
  spec: Readonly<corev1.Container>,
  terminated: corev1.ContainerStateTerminated,
): boolean {
  if (pod.metadata.deletionTimestamp || pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed")
    return false;
  return restartsAfter(pod, spec, terminated.exitCode);
}

function isInit(pod: Readonly<corev1.Pod>, name: string): boolean {
  return (pod.spec.initContainers ?? []).some((c) => c.name === name);
}

const isEphemeral = (pod: Readonly<corev1.Pod>, name: string) =>
  ephemeralContainersOf(pod).some((c) => c.name === name);

function waitingState(waiting: WaitingReason): corev1.ContainerStateWaiting {
  return { ...(waiting.message ? { message: waiting.message } : {}), reason: waiting.reason };
}

function presentStatus(
  input: StatusInput,
  spec: Readonly<corev1.Container>,
  latest: ObservedContainer,
  terminal: boolean,
): corev1.ContainerStatus {
  const previous = input.state.containers.find(
    (c) => c.name === spec.name && c.id !== latest.id && c.state === "CONTAINER_EXITED",
  );
  const lastState = previous ? stateOf(input, previous) : {};
  const started = latest.state === "CONTAINER_RUNNING" && input.probes.isStarted(latest.id);
  const status: corev1.ContainerStatus = {
    ...resourcesOf(spec, input.resources?.get(latest.id)),
    containerID: `${input.runtimeName}://${latest.id}`,
    image: latest.image.image || spec.image || "",
    imageID: latest.imageRef,
    lastState,
    name: spec.name,
    ready: started && input.probes.isReady(latest.id),
    restartCount: latest.restartCount,
    started,
    state: stateOf(input, latest),
    ...(spec.lifecycle?.stopSignal ? { stopSignal: spec.lifecycle.stopSignal } : {}),
  };
  const volumeMounts = volumeMountsOf(spec, latest, input.volumeImages);
  if (volumeMounts) status.volumeMounts = volumeMounts;
  const health = input.deviceHealth?.(spec) ?? [];
  if (health.length > 0) status.allocatedResourcesStatus = health;
  const user = latest.user?.linux;
  if (user) {
    const { uid, gid, supplementalGroups: groups } = user;
    status.user = { linux: { uid, gid, ...(groups.length > 0 ? { supplementalGroups: groups } : {}) } };
  }
  const waiting = input.waiting.get(spec.name);
  if (waiting && !terminal && !isEphemeral(input.pod, spec.name) && shouldRestart(input.pod, spec, latest)) {
    if (status.state?.terminated) status.lastState = status.state;
    status.state = { waiting: waitingState(waiting) };
  }
  return status;
}

/** Statuses of `containers` in their order; `defaultWaiting` is the reason while nothing is known. */
export function containerStatuses(
  input: StatusInput,
  containers: readonly Readonly<corev1.Container>[],
  old: readonly Readonly<corev1.ContainerStatus>[],
  defaultWaiting: string,
): corev1.ContainerStatus[] {
  const terminal = input.pod.metadata.deletionTimestamp !== undefined;
  return containers.map((spec) => {
    const latest = latestContainer(input.state, spec.name);
    const before = old.find((s) => s.name === spec.name);
    const status = latest
      ? presentStatus(input, spec, latest, terminal)
      : absentStatus(input, spec, before, defaultWaiting);
    // An init container that has done its work counts as ready.
    if (isInit(input.pod, spec.name) && !isRestartableInit(spec)) {
      status.ready = status.state?.terminated?.exitCode === 0;
    }
    return status;
  });
}

/** Nobody waits for an ephemeral container to be ready. */
export function ephemeralStatuses(
  input: StatusInput,
  old: readonly Readonly<corev1.ContainerStatus>[],
): corev1.ContainerStatus[] {
  return containerStatuses(input, ephemeralContainersOf(input.pod), old, "ContainerCreating").map(
    ({ started, ...status }) => ({ ...status, ready: false }),
  );
}
