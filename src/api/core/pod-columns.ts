/**
 * What `kubectl get pods` shows. The STATUS column tells more than the phase: the first container that holds the pod up.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
 */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, nameColumn } from "../meta/define-resource.ts";
import type { Column } from "../meta/definition.ts";
import { formatAge, parseTime } from "../meta/time.ts";

type Pod = Readonly<corev1.Pod>;
type Status = Readonly<corev1.ContainerStatus>;

interface Summary {
  ready: string;
  reason: string;
  restarts: string;
}

interface Count {
  restarts: number;
  lastRestartMs: number;
}

const none = "<none>";

function hasCondition(pod: Pod, type: string): boolean {
  return (pod.status?.conditions ?? []).some((c) => c.type === type && c.status === "True");
}

function addRestarts(count: Count, status: Status): void {
  count.restarts += status.restartCount ?? 0;
  const finished = status.lastState?.terminated?.finishedAt;
  if (finished) count.lastRestartMs = Math.max(count.lastRestartMs, parseTime(finished) ?? 0);
}

/** Why a container ended, where the runtime gave no reason. */
function exitReason(terminated: Readonly<corev1.ContainerStateTerminated>): string {
  if (terminated.reason) return terminated.reason;
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`;
}

/** The first init container that is not done; undefined when all are. */
function initReason(status: Status, index: number, total: number): string {
  if (status.state?.terminated) return `Init:${exitReason(status.state.terminated)}`;
  const waiting = status.state?.waiting?.reason;
  if (waiting && waiting !== "PodInitializing") return `Init:${waiting}`;
  return `Init:${index}/${total}`;
}

interface InitSummary {
  reason: string | undefined;
  ready: number;
  all: Count;
  sidecars: Count;
}

function summarizeInit(pod: Pod, sidecarNames: ReadonlySet<string>): InitSummary {
  const all: Count = { restarts: 0, lastRestartMs: 0 };
  const sidecars: Count = { restarts: 0, lastRestartMs: 0 };
  let ready = 0;
  for (const [i, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    addRestarts(all, status);
    const isSidecar = sidecarNames.has(status.name);
    if (isSidecar) addRestarts(sidecars, status);
    if (status.state?.terminated && (status.state.terminated.exitCode ?? 0) === 0) continue;
    if (isSidecar && status.started) {
      if (status.ready) ready++;
      continue;
    }
    return { reason: initReason(status, i, pod.spec.initContainers?.length ?? 0), ready, all, sidecars };
  }
  return { reason: undefined, ready, all, sidecars };
}

/** READY, STATUS and RESTARTS. */
export function summarizePod(pod: Pod, nowMs: number): Summary {
  const sidecarNames = new Set(
    (pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always").map((c) => c.name),
  );
  const phase = pod.status?.phase ?? "";
  let reason: string = pod.status?.reason || phase;
  const isGated = (c: corev1.PodCondition) => c.type === "PodScheduled" && c.reason === "SchedulingGated";
  if ((pod.status?.conditions ?? []).some(isGated)) reason = "SchedulingGated";
  const init = summarizeInit(pod, sidecarNames);
  let { ready } = init;
  let count = init.all;
  if (init.reason !== undefined) reason = init.reason;
  if (init.reason === undefined || hasCondition(pod, "Initialized")) {
    count = init.sidecars;
    const main = summarizeContainers(pod, reason, count);
    reason = main.reason;
    ready += main.ready;
  }
  if (pod.metadata.deletionTimestamp) {
    if (pod.status?.reason === "NodeLost") reason = "Unknown";
    else if (phase !== "Succeeded" && phase !== "Failed") reason = "Terminating";
  }
  const total = (pod.spec.containers?.length ?? 0) + sidecarNames.size;
  const ago =
    count.restarts > 0 && count.lastRestartMs > 0 ? ` (${formatAge(nowMs - count.lastRestartMs)} ago)` : "";
  return { ready: `${ready}/${total}`, reason, restarts: `${count.restarts}${ago}` };
}

function summarizeContainers(pod: Pod, given: string, count: Count): { reason: string; ready: number } {
  let reason = given;
  let ready = 0;
  let hasRunning = false;
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    addRestarts(count, status);
    if (status.state?.waiting?.reason) reason = status.state.waiting.reason;
    else if (status.state?.terminated) reason = exitReason(status.state.terminated);
    else if (status.ready && status.state?.running) {
      hasRunning = true;
      ready++;
    }
  }
  if (reason === "Completed" && hasRunning) reason = hasCondition(pod, "Ready") ? "Running" : "NotReady";
  return { reason, ready };
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec.readinessGates ?? [];
  if (gates.length === 0) return none;
  const passed = gates.filter((gate) => hasCondition(pod, gate.conditionType)).length;
  return `${passed}/${gates.length}`;
}

export const podColumns: readonly Column<corev1.Pod>[] = [
  nameColumn(),
  column(
    "Ready",
    "string",
    "The aggregate readiness state of this pod for accepting traffic.",
    (p, now) => summarizePod(p, now).ready,
  ),
  column(
    "Status",
    "string",
    "The aggregate status of the containers in this pod.",
    (p, now) => summarizePod(p, now).reason,
  ),
  column(
    "Restarts",
    "string",
    "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
    (p, now) => summarizePod(p, now).restarts,
  ),
  ageColumn(),
  column(
    "IP",
    "string",
    "podIP address allocated to the pod.",
    (p) => p.status?.podIPs?.[0]?.ip || p.status?.podIP || none,
    1,
  ),
  column("Node", "string", "The node the pod runs on.", (p) => p.spec.nodeName || none, 1),
  column(
    "Nominated Node",
    "string",
    "The node a preempting pod waits for.",
    (p) => p.status?.nominatedNodeName || none,
    1,
  ),
  column("Readiness Gates", "string", "The readiness gates that are met, of all.", readinessGates, 1),
];
