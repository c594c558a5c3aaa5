/**
 * What has to be done to a pod's sandbox and containers now: pure, from the specification and what was observed.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions)
 */
import type { corev1 } from "#api";
import { containerHash } from "./labels.ts";
import { ephemeralContainersOf } from "./pod-containers.ts";
import { isRunning, latestContainer, type ObservedContainer, type ObservedPod } from "./pod-state.ts";
import { couldRestart, restartedAllAt, restartsAfter } from "./restart-policy.ts";

interface KillAction {
  container: ObservedContainer;
  /** The event's message after `Stopping container`. */
  message: string;
  /** `RestartAll`: abruptly, without hooks. */
  reason: "Unhealthy" | "StartupProbe" | "Changed" | "Unknown" | "RestartAll";
}

export interface PodActions {
  /** Everything of the pod is stopped (before a new sandbox, or because the pod has ended). */
  killPod: boolean;
  createSandbox: boolean;
  /** Of the new sandbox. */
  attempt: number;
  sandboxId: string | undefined;
  /** Init containers first; started one after another. */
  start: string[];
  kill: KillAction[];
}

/** What the probes found wrong, or a resize that needs a restart, by container id. */
export type Condemned = "liveness" | "startup" | "resize";
export type Unhealthy = ReadonlyMap<string, Condemned>;

export function isRestartableInit(container: Readonly<corev1.Container>): boolean {
  return container.restartPolicy === "Always";
}

/** https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy */
export function shouldRestart(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  latest: ObservedContainer | undefined,
): boolean {
  if (!latest) return true;
  if (isRunning(latest)) return false;
  if (latest.state !== "CONTAINER_EXITED") return true;
  return restartsAfter(pod, container, latest.exitCode);
}

/** Whether the sandbox has to be made (again), and with which attempt. */
function sandboxChange(
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
): { changed: boolean; attempt: number; id?: string } {
  const newest = state.sandboxes[0];
  if (!newest) return { changed: true, attempt: 0 };
  const attempt = newest.metadata.attempt + 1;
  const ready = state.sandboxes.filter((s) => s.state === "SANDBOX_READY");
  if (ready.length > 1 || newest.state !== "SANDBOX_READY") return { changed: true, attempt, id: newest.id };
  if (!pod.spec.hostNetwork && !newest.network?.ip) return { changed: true, attempt, id: newest.id };
  return { changed: false, attempt: newest.metadata.attempt, id: newest.id };
}

export function computePodActions(
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  unhealthy: Unhealthy,
  isStarted: (container: ObservedContainer) => boolean,
): PodActions {
  const { changed, attempt, id } = sandboxChange(pod, state);
  if (changed) return withNewSandbox(pod, state, attempt, id);
  const restartAt = restartedAllAt(pod, state);
  if (restartAt === 0) return actionsInSandbox(pod, state, { attempt, id: id! }, unhealthy, isStarted);
  const own = new Set([...(pod.spec.initContainers ?? []), ...pod.spec.containers].map(({ name }) => name));
  const isOld = (each: ObservedContainer) => each.createdAt < restartAt;
  const anew = {
    ...state,
    containers: state.containers.filter((each) => !isOld(each) || !own.has(each.name)),
  };
  const actions = actionsInSandbox(pod, anew, { attempt, id: id! }, unhealthy, isStarted);
  const kill = state.containers
    .filter((each) => isOld(each) && isRunning(each) && own.has(each.name))
    .map(killOld);
  return { ...actions, kill: [...kill, ...actions.kill] };
}

/** Ephemeral containers look on: they stay. */
function killOld(container: ObservedContainer): KillAction {
  return { container, message: `Stopping container ${container.name}`, reason: "RestartAll" };
}

/**
 * Whether there is something to do at once, right after what was to be done: what could not be made is tried again in
 * its time, and so is a container that waits.
 */
export function asksForMore(
  { createSandbox, killPod, kill, start }: PodActions,
  waiting: ReadonlyMap<string, unknown>,
): boolean {
  if (createSandbox) return false;
  return killPod || kill.length > 0 || start.some((name) => !waiting.has(name));
}

function actionsInSandbox(
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  { attempt, id }: { attempt: number; id: string },
  unhealthy: Unhealthy,
  isStarted: (container: ObservedContainer) => boolean,
): PodActions {
  const actions: PodActions = {
    killPod: false,
    createSandbox: false,
    attempt,
    sandboxId: id,
    start: [],
    kill: [],
  };
  for (const { name } of ephemeralContainersOf(pod)) {
    // Each runs once; what it found is in its logs.
    if (!latestContainer(state, name)) actions.start.push(name);
  }
  const init = initActions(pod, state, id, unhealthy, isStarted, actions);
  if (init === "failed") return { ...actions, killPod: true, start: [], kill: [] };
  if (init === "waiting") return actions;
  let kept = 0;
  for (const container of pod.spec.containers) {
    const latest = latestContainer(state, container.name);
    if (!latest || !isRunning(latest)) {
      if (!shouldRestart(pod, container, latest)) continue;
      if (latest?.state === "CONTAINER_UNKNOWN") {
        const message = "Container is in unknown state, try killing it before restart";
        actions.kill.push({ container: latest, message, reason: "Unknown" });
      }
      actions.start.push(container.name);
      continue;
    }
    const kill = killReason(container, latest, unhealthy);
    if (!kill) {
      kept++;
      continue;
    }
    actions.kill.push(kill);
    if (kill.reason === "Changed" || couldRestart(pod, container)) actions.start.push(container.name);
  }
  if (kept === 0 && !pod.spec.containers.some((c) => actions.start.includes(c.name))) {
    return { ...actions, killPod: true, start: [], kill: [] };
  }
  return actions;
}

function killReason(
  container: Readonly<corev1.Container>,
  latest: ObservedContainer,
  unhealthy: Unhealthy,
): KillAction | undefined {
  if (latest.hash !== containerHash(container)) {
    return {
      container: latest,
      message: `Container ${container.name} definition changed`,
      reason: "Changed",
    };
  }
  const failed = unhealthy.get(latest.id);
  if (!failed) return undefined;
  if (failed === "resize") {
    const message = `Container ${container.name} resize requires restart`;
    return { container: latest, message, reason: "Changed" };
  }
  return {
    container: latest,
    message: `Container ${container.name} failed ${failed} probe`,
    reason: failed === "liveness" ? "Unhealthy" : "StartupProbe",
  };
}

function withNewSandbox(
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  attempt: number,
  id: string | undefined,
): PodActions {
  const none: PodActions = {
    killPod: true,
    createSandbox: false,
    attempt,
    sandboxId: id,
    start: [],
    kill: [],
  };
  // A pod that never restarts has ended with its sandbox; nothing that ran runs twice.
  const couldRun = pod.spec.containers.some((each) => couldRestart(pod, each));
  if (!couldRun && attempt !== 0 && state.containers.length > 0) return none;
  const mains = pod.spec.containers.filter((c) => {
    const latest = latestContainer(state, c.name);
    return latest?.state !== "CONTAINER_EXITED" || restartsAfter(pod, c, latest.exitCode);
  });
  if (mains.length === 0) return none;
  const first = pod.spec.initContainers?.[0];
  const start = first ? [first.name] : mains.map((c) => c.name);
  return { ...none, createSandbox: true, start };
}

/** Decides about init containers; "done" when the others may start. */
function initActions(
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  sandboxId: string,
  unhealthy: Unhealthy,
  isStarted: (container: ObservedContainer) => boolean,
  actions: PodActions,
): "done" | "waiting" | "failed" {
  const inits = pod.spec.initContainers ?? [];
  const here = { ...state, containers: state.containers.filter((c) => c.podSandboxId === sandboxId) };
  const initialized = pod.spec.containers.some((c) => latestContainer(here, c.name));
  for (const container of inits) {
    const latest = latestContainer(here, container.name);
    if (isRestartableInit(container)) {
      const next = sidecarStep(container, latest, unhealthy, isStarted, actions);
      if (next === "wait" && !initialized) return "waiting";
      continue;
    }
    if (initialized) continue;
    if (!latest || latest.state === "CONTAINER_CREATED" || latest.state === "CONTAINER_UNKNOWN") {
      actions.start.push(container.name);
      return "waiting";
    }
    if (isRunning(latest)) return "waiting";
    if (latest.exitCode === 0) continue;
    if (!restartsAfter(pod, container, latest.exitCode)) return "failed";
    actions.start.push(container.name);
    return "waiting";
  }
  return "done";
}

/** A restartable init container runs until the pod ends; the next may start once it has started. */
function sidecarStep(
  container: Readonly<corev1.Container>,
  latest: ObservedContainer | undefined,
  unhealthy: Unhealthy,
  isStarted: (container: ObservedContainer) => boolean,
  actions: PodActions,
): "go" | "wait" {
  if (!latest || !isRunning(latest)) {
    actions.start.push(container.name);
    return "wait";
  }
  const kill = killReason(container, latest, unhealthy);
  if (kill) {
    actions.kill.push(kill);
    actions.start.push(container.name);
    return "wait";
  }
  return isStarted(latest) ? "go" : "wait";
}
