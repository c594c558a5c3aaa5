/** The life of a pod on a simulated node: pure, from the pod as it is to the next thing that happens to it. */
import { type corev1, formatTime } from "#api";
import { controllerOf } from "#client";

type Pod = Readonly<corev1.Pod>;

export interface Stages {
  /** From being bound to running… */
  startMs: number;
  /** …and up to so much longer, each pod by its own luck. */
  startJitterMs: number;
  /** From being told to end to being gone. */
  stopMs: number;
  /** How long the pod of a Job runs that is not told otherwise. */
  jobRunMs: number;
  /** The share of pods, from 0 to 1, whose containers fail… */
  failureRate: number;
  /** …after so long. */
  failAfterMs: number;
}

export const defaultStages: Stages = {
  startMs: 100,
  startJitterMs: 0,
  stopMs: 50,
  jobRunMs: 1_000,
  failureRate: 0,
  failAfterMs: 1_000,
};

/** What people write on a pod to tell it how to live. */
export const annotations = {
  /** It starts so many seconds after it was bound. */
  startSeconds: "simulator.knarr.dev/start-seconds",
  /** Its containers end after so many seconds. */
  runSeconds: "simulator.knarr.dev/run-seconds",
  /** …with this exit code, 0 without. */
  exitCode: "simulator.knarr.dev/exit-code",
  /** `"false"`: it runs and never becomes ready. */
  ready: "simulator.knarr.dev/ready",
} as const;

const restartBaseMs = 10_000;
const restartMaxMs = 300_000;

export interface Place {
  hostIP: string;
  podIP: string;
  /** When the simulator first saw the pod on its node. */
  seenMs: number;
}

export type PodStep =
  | { kind: "wait"; ms: number }
  | { kind: "status"; status: corev1.PodStatus }
  /** The pod is to go: its node has nothing left of it. */
  | { kind: "remove" };

/** Undefined: nothing happens until somebody changes the pod. */
export function nextStep(pod: Pod, place: Place, stages: Stages, nowMs: number): PodStep | undefined {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  const phase = pod.status?.phase ?? "Pending";
  if (deletionTimestamp) {
    // Zero: the node has let go already; whoever holds a finalizer is next.
    if (deletionGracePeriodSeconds === 0) return undefined;
    return waitOr(stopMoment(pod, stages), nowMs, () => ({ kind: "remove" }));
  }
  if (phase === "Succeeded" || phase === "Failed") return undefined;
  if (phase === "Pending") {
    return waitOr(place.seenMs + startDelay(pod, stages), nowMs, () =>
      running(pod, place, nowMs, 0, undefined),
    );
  }
  return whileRunning(pod, place, stages, nowMs);
}

function waitOr(atMs: number, nowMs: number, then: () => PodStep): PodStep {
  return atMs > nowMs ? { kind: "wait", ms: atMs - nowMs } : then();
}

/** `deletionTimestamp` is when the grace ends, not when it begins. */
function stopMoment(pod: Pod, stages: Stages): number {
  const graceMs = (pod.metadata.deletionGracePeriodSeconds ?? 0) * 1000;
  const toldMs = Date.parse(pod.metadata.deletionTimestamp ?? "") - graceMs;
  return toldMs + Math.min(stages.stopMs, graceMs);
}

function whileRunning(pod: Pod, place: Place, stages: Stages, nowMs: number): PodStep | undefined {
  const [first] = pod.status?.containerStatuses ?? [];
  const restarts = first?.restartCount ?? 0;
  if (first?.state?.waiting) {
    const ended = Date.parse(first.lastState?.terminated?.finishedAt ?? "") || 0;
    const delayMs = Math.min(restartMaxMs, restartBaseMs * 2 ** Math.min(restarts, 10));
    return waitOr(ended + delayMs, nowMs, () => running(pod, place, nowMs, restarts + 1, first.lastState));
  }
  const startedAt = first?.state?.running?.startedAt;
  const lifeMs = lifetimeMs(pod, stages);
  if (lifeMs !== undefined) {
    const endMs = (Date.parse(startedAt ?? "") || 0) + lifeMs;
    if (endMs <= nowMs) return ended(pod, exitCodeOf(pod, stages), nowMs, startedAt);
    return readinessChange(pod, nowMs) ?? { kind: "wait", ms: endMs - nowMs };
  }
  return readinessChange(pod, nowMs);
}

function secondsOf(pod: Pod, annotation: string): number | undefined {
  const seconds = Number(pod.metadata.annotations?.[annotation] ?? Number.NaN);
  return seconds >= 0 ? seconds : undefined;
}

function startDelay(pod: Pod, stages: Stages): number {
  const told = secondsOf(pod, annotations.startSeconds);
  return told === undefined ? stages.startMs + luckOf(pod, 1) * stages.startJitterMs : told * 1000;
}

/** From 0 to 1, and for the same pod always the same: whoever looks again sees the same fate. */
function luckOf(pod: Pod, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (const letter of pod.metadata.uid ?? "") hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32;
}

function isToFail(pod: Pod, { failureRate }: Stages): boolean {
  return failureRate > 0 && luckOf(pod, 2) < failureRate;
}

/** How long the containers run; undefined: until they are told to end. */
function lifetimeMs(pod: Pod, stages: Stages): number | undefined {
  const seconds = secondsOf(pod, annotations.runSeconds);
  if (seconds !== undefined) return seconds * 1000;
  if (isToFail(pod, stages)) return stages.failAfterMs;
  return controllerOf(pod)?.kind === "Job" ? stages.jobRunMs : undefined;
}

function exitCodeOf(pod: Pod, stages: Stages): number {
  const told = pod.metadata.annotations?.[annotations.exitCode];
  const code = Number(told ?? (isToFail(pod, stages) ? 1 : 0));
  return Number.isInteger(code) && code >= 0 && code <= 255 ? code : 1;
}

function wantsReady(pod: Pod): boolean {
  return pod.metadata.annotations?.[annotations.ready] !== "false";
}

/** Somebody changed the annotation of a running pod. */
function readinessChange(pod: Pod, nowMs: number): PodStep | undefined {
  const ready = wantsReady(pod);
  const current = pod.status?.conditions?.find((condition) => condition.type === "Ready")?.status === "True";
  if (current === ready) return undefined;
  const containerStatuses = pod.status?.containerStatuses?.map((status) => ({ ...status, ready })) ?? [];
  const conditions = conditionsOf(pod, ready ? "ready" : "unready", nowMs);
  return { kind: "status", status: { ...pod.status, conditions, containerStatuses } };
}

function running(
  pod: Pod,
  place: Place,
  nowMs: number,
  restartCount: number,
  lastState: corev1.ContainerState | undefined,
): PodStep {
  const time = formatTime(nowMs);
  const ready = wantsReady(pod);
  const container = (each: Readonly<corev1.Container>): corev1.ContainerStatus => ({
    ...identityOf(pod, each),
    ready,
    started: true,
    restartCount,
    state: { running: { startedAt: time } },
    ...(lastState ? { lastState } : {}),
  });
  const init = (each: Readonly<corev1.Container>): corev1.ContainerStatus =>
    each.restartPolicy === "Always"
      ? container(each)
      : {
          ...identityOf(pod, each),
          ready: true,
          restartCount: 0,
          state: { terminated: { exitCode: 0, reason: "Completed", startedAt: time, finishedAt: time } },
        };
  const status: corev1.PodStatus = {
    ...pod.status,
    phase: "Running",
    hostIP: place.hostIP,
    hostIPs: [{ ip: place.hostIP }],
    podIP: place.podIP,
    podIPs: [{ ip: place.podIP }],
    startTime: pod.status?.startTime ?? formatTime(place.seenMs),
    conditions: conditionsOf(pod, ready ? "ready" : "unready", nowMs),
    containerStatuses: pod.spec.containers.map(container),
    ...(pod.spec.initContainers?.length ? { initContainerStatuses: pod.spec.initContainers.map(init) } : {}),
  };
  return { kind: "status", status };
}

function identityOf(pod: Pod, container: Readonly<corev1.Container>) {
  const image = container.image ?? "";
  const id = `${pod.metadata.uid}-${container.name}`;
  return { name: container.name, image, imageID: `simulated/${image}`, containerID: `simulator://${id}` };
}

/** The containers have run their time: the pod ends, or they begin again. */
function ended(pod: Pod, exitCode: number, nowMs: number, startedAt: string | undefined): PodStep {
  const policy = pod.spec.restartPolicy ?? "Always";
  const again = policy === "Always" || (policy === "OnFailure" && exitCode !== 0);
  const terminated: corev1.ContainerStateTerminated = {
    exitCode,
    reason: exitCode === 0 ? "Completed" : "Error",
    ...(startedAt ? { startedAt } : {}),
    finishedAt: formatTime(nowMs),
  };
  const waiting = { reason: "CrashLoopBackOff", message: "back-off restarting failed container" };
  const containerStatuses = (pod.status?.containerStatuses ?? []).map((status) => ({
    ...status,
    ready: false,
    started: false,
    ...(again ? { state: { waiting }, lastState: { terminated } } : { state: { terminated } }),
  }));
  const failed = exitCode !== 0;
  const conditions = conditionsOf(pod, again ? "unready" : failed ? "failed" : "succeeded", nowMs);
  const phase = again ? "Running" : failed ? "Failed" : "Succeeded";
  return { kind: "status", status: { ...pod.status, phase, conditions, containerStatuses } };
}

type Health = "ready" | "unready" | "succeeded" | "failed";

/** As the kubelet sets them; those of others stay. */
function conditionsOf(pod: Pod, health: Health, nowMs: number): corev1.PodCondition[] {
  const reasons = {
    ready: "",
    unready: "ContainersNotReady",
    succeeded: "PodCompleted",
    failed: "PodFailed",
  };
  const names = pod.spec.containers.map((container) => container.name).join(" ");
  const bad = {
    status: "False",
    reason: reasons[health],
    ...(health === "unready" ? { message: `containers with unready status: [${names}]` } : {}),
  };
  const wanted: Omit<corev1.PodCondition, "lastTransitionTime">[] = [
    {
      type: "PodReadyToStartContainers",
      status: health === "ready" || health === "unready" ? "True" : "False",
    },
    { type: "Initialized", status: "True", ...(health === "succeeded" ? { reason: "PodCompleted" } : {}) },
    { type: "Ready", ...(health === "ready" ? { status: "True" } : bad) },
    { type: "ContainersReady", ...(health === "ready" ? { status: "True" } : bad) },
  ];
  const current = pod.status?.conditions ?? [];
  const own = wanted.map((next) => {
    const known = current.find((condition) => condition.type === next.type);
    const time = known?.status === next.status ? known.lastTransitionTime : formatTime(nowMs);
    return { ...next, ...(time ? { lastTransitionTime: time } : {}) };
  });
  const scheduled = current.some((condition) => condition.type === "PodScheduled");
  const time = formatTime(nowMs);
  return [
    ...current.filter((condition) => !own.some((each) => each.type === condition.type)),
    ...own,
    ...(scheduled ? [] : [{ type: "PodScheduled", status: "True", lastTransitionTime: time }]),
  ];
}
