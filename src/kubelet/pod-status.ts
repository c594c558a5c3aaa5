/**
 * The status of a pod: phase, conditions, addresses. Pure.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
 */
import { type corev1, formatTime, podAmounts, qosClassOf } from "#api";
import { isRestartableInit } from "./compute-actions.ts";
import { containerStatuses, ephemeralStatuses, type StatusInput } from "./container-status.ts";
import { podIpsOf, readySandbox } from "./pod-state.ts";
import { couldRestartAll, isRestartingAll, restartsAfter } from "./restart-policy.ts";

type Phase = NonNullable<corev1.PodStatus["phase"]>;

export interface PodStatusInput extends StatusInput {
  nowMs: number;
  nodeAddresses: readonly string[];
  /** Why the kubelet ended the pod: its phase is Failed, whatever the containers say. */
  failure?: { reason: string; message: string } | undefined;
  /** What says that the kubelet ended it. */
  disruption?: corev1.PodCondition | undefined;
  /** What the pod has as a whole; what its specification says without. */
  wholeResources?: Readonly<corev1.ResourceRequirements> | undefined;
  /** Of a resize that is not done. */
  resize?: readonly corev1.PodCondition[];
  /** The phase before: an ended pod stays ended. */
  old: Readonly<corev1.PodStatus>;
  /** Nothing of the pod will run again. */
  ending: boolean;
}

interface Tally {
  unknown: number;
  running: number;
  stopped: number;
  succeeded: number;
  waiting: number;
}

function tallyOf(statuses: readonly corev1.ContainerStatus[], names: readonly string[]): Tally {
  const tally: Tally = { unknown: 0, running: 0, stopped: 0, succeeded: 0, waiting: 0 };
  for (const name of names) {
    const status = statuses.find((s) => s.name === name);
    if (!status) tally.unknown++;
    else if (status.state?.running) tally.running++;
    else if (status.state?.terminated) {
      tally.stopped++;
      if (status.state.terminated.exitCode === 0) tally.succeeded++;
    } else if (status.lastState?.terminated) tally.stopped++;
    else tally.waiting++;
  }
  return tally;
}

/** What the init containers hold the pod back by. */
function initProgress(pod: Readonly<corev1.Pod>, statuses: readonly corev1.ContainerStatus[]) {
  let pending = 0;
  let pendingSidecars = 0;
  let failed = 0;
  let failedForGood = 0;
  for (const spec of pod.spec.initContainers ?? []) {
    const status = statuses.find((s) => s.name === spec.name);
    if (isRestartableInit(spec)) {
      if (!status?.started) pendingSidecars++;
      continue;
    }
    const ended =
      status?.state?.terminated ?? (status?.state?.waiting ? status.lastState?.terminated : undefined);
    if (!ended) pending++;
    else if (ended.exitCode !== 0) {
      failed++;
      if (!restartsAfter(pod, spec, ended.exitCode)) failedForGood++;
    }
  }
  return { pending, pendingSidecars, failed, failedForGood };
}

/** A container that has ended, and not for good. */
function runsAgain(
  pod: Readonly<corev1.Pod>,
  spec: Readonly<corev1.Container>,
  statuses: readonly corev1.ContainerStatus[],
): boolean {
  const status = statuses.find(({ name }) => name === spec.name);
  const ended = status?.state?.terminated ?? status?.lastState?.terminated;
  return ended !== undefined && restartsAfter(pod, spec, ended.exitCode);
}

function phaseOf(
  pod: Readonly<corev1.Pod>,
  inits: readonly corev1.ContainerStatus[],
  mains: readonly corev1.ContainerStatus[],
  ending: boolean,
): Phase {
  const init = initProgress(pod, inits);
  const main = tallyOf(
    mains,
    pod.spec.containers.map((c) => c.name),
  );
  const begun = main.running + main.stopped > 0;
  if (init.failedForGood > 0) return "Failed";
  if (init.failed > 0 && !begun) return ending ? "Failed" : "Pending";
  if (init.pending > 0 || (init.pendingSidecars > 0 && !begun))
    return ending && !begun ? "Failed" : "Pending";
  if (main.waiting > 0) return ending ? "Failed" : "Pending";
  if (main.running > 0 && main.unknown === 0) return "Running";
  if (main.running === 0 && main.stopped > 0 && main.unknown === 0) {
    const wellDone = main.stopped === main.succeeded;
    if (ending) return wellDone ? "Succeeded" : "Failed";
    if (pod.spec.containers.some((spec) => runsAgain(pod, spec, mains))) return "Running";
    return wellDone ? "Succeeded" : "Failed";
  }
  return "Pending";
}

export function isFinal(phase: string | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

type Condition = corev1.PodCondition;

function condition(type: string, status: boolean, reason?: string, message?: string): Condition {
  return {
    ...(message ? { message } : {}),
    ...(reason ? { reason } : {}),
    status: status ? "True" : "False",
    type,
  };
}

function unreadyMessage(
  names: readonly string[],
  statuses: readonly corev1.ContainerStatus[],
  what: string,
  ok: (s: corev1.ContainerStatus) => boolean,
): string {
  const unknown = names.filter((n) => !statuses.some((s) => s.name === n));
  const bad = statuses.filter((s) => !ok(s)).map((s) => s.name);
  const parts: string[] = [];
  if (unknown.length > 0) parts.push(`containers with unknown status: [${unknown.join(" ")}]`);
  if (bad.length > 0) parts.push(`containers with ${what} status: [${bad.join(" ")}]`);
  return parts.join(", ");
}

function initializedCondition(
  pod: Readonly<corev1.Pod>,
  phase: Phase,
  inits: readonly corev1.ContainerStatus[],
  begun: boolean,
): Condition {
  const specs = pod.spec.initContainers ?? [];
  if (phase === "Succeeded") return condition("Initialized", true, "PodCompleted");
  if (begun) return condition("Initialized", true);
  const ok = (s: corev1.ContainerStatus) => {
    const spec = specs.find((c) => c.name === s.name);
    return spec && isRestartableInit(spec) ? s.started === true : s.ready;
  };
  const message = unreadyMessage(
    specs.map((c) => c.name),
    inits,
    "incomplete",
    ok,
  );
  if (!message) return condition("Initialized", true);
  return condition("Initialized", false, "ContainersNotInitialized", message);
}

function containersReadyCondition(
  pod: Readonly<corev1.Pod>,
  phase: Phase,
  inits: readonly corev1.ContainerStatus[],
  mains: readonly corev1.ContainerStatus[],
): Condition {
  if (phase === "Succeeded") return condition("ContainersReady", false, "PodCompleted");
  if (phase === "Failed") return condition("ContainersReady", false, "PodFailed");
  const sidecars = (pod.spec.initContainers ?? []).filter(isRestartableInit).map((c) => c.name);
  const names = [...sidecars, ...pod.spec.containers.map((c) => c.name)];
  const statuses = [...inits.filter((s) => sidecars.includes(s.name)), ...mains];
  const message = unreadyMessage(names, statuses, "unready", (s) => s.ready);
  return message
    ? condition("ContainersReady", false, "ContainersNotReady", message)
    : condition("ContainersReady", true);
}

/** https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-readiness-gate */
function readyCondition(
  pod: Readonly<corev1.Pod>,
  containersReady: Condition,
  others: readonly Condition[],
): Condition {
  if (containersReady.status !== "True") return { ...containersReady, type: "Ready" };
  const messages: string[] = [];
  for (const gate of pod.spec.readinessGates ?? []) {
    const found = others.find((c) => c.type === gate.conditionType);
    if (!found)
      messages.push(`corresponding condition of pod readiness gate "${gate.conditionType}" does not exist.`);
    else if (found.status !== "True") {
      messages.push(
        `the status of pod readiness gate "${gate.conditionType}" is not "True", but ${found.status}`,
      );
    }
  }
  return messages.length > 0
    ? condition("Ready", false, "ReadinessGatesNotReady", messages.join(", "))
    : condition("Ready", true);
}

/** The conditions the kubelet owns; the others are left to whoever wrote them. */
const ownConditions = [
  "PodReadyToStartContainers",
  "Initialized",
  "Ready",
  "ContainersReady",
  "PodScheduled",
  "PodResizePending",
  "PodResizeInProgress",
  "AllContainersRestarting",
];

/** Others say too that a pod is disturbed; the kubelet's own word has its own reason. */
export const disruptedByKubelet = { type: "DisruptionTarget", reason: "TerminationByKubelet" };

export function isOwnCondition({ type, reason }: Readonly<Condition>): boolean {
  return (
    ownConditions.includes(type) || (type === disruptedByKubelet.type && reason === disruptedByKubelet.reason)
  );
}

/** Keeps the time of the last transition where the status has not changed. */
function stamped(
  next: Condition,
  old: readonly Condition[],
  generation: number | undefined,
  nowMs: number,
): Condition {
  const before = old.find((c) => c.type === next.type);
  const since = before && before.status === next.status ? before.lastTransitionTime : undefined;
  return {
    ...next,
    lastTransitionTime: since ?? formatTime(nowMs),
    ...(generation ? { observedGeneration: generation } : {}),
  };
}

/** What the pod is promised as a whole, and what it has. */
function wholeResources(
  pod: Readonly<corev1.Pod>,
  has: Readonly<corev1.ResourceRequirements> | undefined,
): Pick<corev1.PodStatus, "allocatedResources" | "resources"> {
  if (!pod.spec.resources) return {};
  const { requests, limits } = has ?? pod.spec.resources;
  return {
    allocatedResources: podAmounts(pod, "requests"),
    resources: { ...(limits ? { limits } : {}), ...(requests ? { requests } : {}) },
  };
}

export function podStatusOf(input: PodStatusInput): corev1.PodStatus {
  const { pod, state, old, nowMs } = input;
  const initSpecs = pod.spec.initContainers ?? [];
  const defaultWaiting = initSpecs.length > 0 ? "PodInitializing" : "ContainerCreating";
  const inits = containerStatuses(input, initSpecs, old.initContainerStatuses ?? [], "PodInitializing");
  const mains = containerStatuses(input, pod.spec.containers, old.containerStatuses ?? [], defaultWaiting);
  const ephemerals = ephemeralStatuses(input, old.ephemeralContainerStatuses ?? []);
  const ended = isFinal(old.phase);
  const reached = input.failure ? "Failed" : ended ? old.phase! : phaseOf(pod, inits, mains, input.ending);
  // What is final is said only when nothing runs any more: others take it for leave to act.
  const running = [...inits, ...mains].some((c) => c.state?.running);
  const phase = running && isFinal(reached) && !ended ? (old.phase ?? "Pending") : reached;
  const begun = mains.some((s) => s.state?.running || s.state?.terminated || s.lastState?.terminated);
  const containersReady = containersReadyCondition(pod, phase, inits, mains);
  const others = (old.conditions ?? []).filter(
    ({ type }) => !ownConditions.includes(type) && type !== input.disruption?.type,
  );
  const hasSandbox =
    readySandbox(state) !== undefined && (pod.spec.hostNetwork === true || podIpsOf(state).length > 0);
  const conditions = [
    condition("PodReadyToStartContainers", hasSandbox),
    initializedCondition(pod, phase, inits, begun),
    readyCondition(pod, containersReady, others),
    containersReady,
    condition("PodScheduled", true),
    ...(input.resize ?? []),
    ...(input.disruption ? [input.disruption] : []),
    ...(couldRestartAll(pod) ? [condition("AllContainersRestarting", isRestartingAll(pod, state))] : []),
  ].map((c) => stamped(c, old.conditions ?? [], pod.metadata.generation, nowMs));
  const ips = pod.spec.hostNetwork && (hasSandbox || old.podIP) ? [...input.nodeAddresses] : podIpsOf(state);
  // The addresses of a pod stay on its record after its sandbox has gone.
  const podIPs = ips.length > 0 ? ips.map((ip) => ({ ip })) : (old.podIPs ?? []);
  const failure =
    input.failure ?? (ended && old.reason ? { reason: old.reason, message: old.message ?? "" } : undefined);
  const hasFailed = input.failure !== undefined || (ended && old.reason !== undefined);
  const isRefused = hasFailed && state.containers.length === 0 && !old.containerStatuses?.length;
  return {
    ...wholeResources(pod, input.wholeResources),
    conditions: [...conditions, ...others],
    // Of a pod that was never taken there is nothing to tell but why.
    ...(isRefused ? {} : { containerStatuses: mains }),
    ...(ephemerals.length > 0 ? { ephemeralContainerStatuses: ephemerals } : {}),
    hostIP: input.nodeAddresses[0] ?? "",
    hostIPs: input.nodeAddresses.map((ip) => ({ ip })),
    ...(inits.length > 0 && !isRefused ? { initContainerStatuses: inits } : {}),
    ...(failure?.message ? { message: failure.message } : {}),
    ...(pod.metadata.generation ? { observedGeneration: pod.metadata.generation } : {}),
    phase,
    ...(podIPs.length > 0 ? { podIP: podIPs[0]!.ip, podIPs } : {}),
    qosClass: old.qosClass ?? qosClassOf(pod.spec),
    ...(failure?.reason ? { reason: failure.reason } : {}),
    startTime: old.startTime ?? formatTime(nowMs),
  };
}

/** What was last reported, with the conditions of others that the API has beside it. */
function mergedConditions(
  known: corev1.PodStatus,
  api: Readonly<corev1.PodStatus> | undefined,
): corev1.PodCondition[] {
  const own = known.conditions ?? [];
  const foreign = (api?.conditions ?? []).filter((c) => !own.some((o) => o.type === c.type));
  return [...own, ...foreign];
}

/** What was last told of the pod, as others have changed it since: their conditions, and that it has ended. */
export function lastTold(
  told: Readonly<corev1.PodStatus>,
  api: Readonly<corev1.PodStatus> | undefined,
): corev1.PodStatus {
  const ended = isFinal(api?.phase) && !isFinal(told.phase);
  return { ...told, ...(ended ? { phase: api!.phase! } : {}), conditions: mergedConditions(told, api) };
}
