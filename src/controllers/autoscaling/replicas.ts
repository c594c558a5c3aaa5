/**
 * How many replicas a measurement asks for: as many as bring it to its target. Pods that are not measured or not ready
 * count so that they dampen the change, never so that they turn it around.
 * https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details
 */
import { type corev1, parseTime, quantityMilliValue } from "#api";
import { conditionOf } from "../kit/conditions.ts";
import { isReady } from "../kit/pods.ts";
import type { PodMetric, PodMetrics } from "./metrics.ts";

type Pod = Readonly<corev1.Pod>;

/** Ratios this close to 1 change nothing. */
export interface Tolerance {
  readonly up: number;
  readonly down: number;
}

export interface Proposal {
  readonly replicas: number;
  /** Thousandths: the average of a pod, or the value itself. */
  readonly value: number;
  readonly utilization?: number;
}

const cpuInitializationMs = 5 * 60_000;
const initialReadinessMs = 30_000;

export function isTolerated(ratio: number, { up, down }: Tolerance): boolean {
  return ratio >= 1 - down && ratio <= 1 + up;
}

interface Groups {
  readyCount: number;
  unready: string[];
  missing: string[];
  ignored: string[];
}

function groupPods(pods: readonly Pod[], metrics: PodMetrics, resource: string, nowMs: number): Groups {
  const groups: Groups = { readyCount: 0, unready: [], missing: [], ignored: [] };
  for (const pod of pods) {
    const { name, deletionTimestamp } = pod.metadata;
    const metric = metrics.get(name);
    if (deletionTimestamp || pod.status?.phase === "Failed") groups.ignored.push(name);
    else if (pod.status?.phase === "Pending") groups.unready.push(name);
    else if (!metric) groups.missing.push(name);
    else if (resource === "cpu" && isStartingUp(pod, metric, nowMs)) groups.unready.push(name);
    else groups.readyCount++;
  }
  return groups;
}

/** What a pod takes to start says nothing about what it takes to serve. */
function isStartingUp(pod: Pod, metric: PodMetric, nowMs: number): boolean {
  const ready = conditionOf(pod.status?.conditions, "Ready");
  const startedMs = parseTime(pod.status?.startTime ?? "");
  if (!ready || startedMs === undefined) return true;
  const changedMs = parseTime(ready.lastTransitionTime ?? "") ?? 0;
  if (startedMs + cpuInitializationMs > nowMs)
    return ready.status === "False" || metric.atMs < changedMs + metric.windowMs;
  return ready.status === "False" && startedMs + initialReadinessMs > changedMs;
}

/** What each pod asks of the resource. */
function requestsOf(
  pods: readonly Pod[],
  resource: string,
  container: string | undefined,
): Map<string, number> {
  const requests = new Map<string, number>();
  for (const { metadata, spec } of pods) {
    const sidecars = (spec.initContainers ?? []).filter((each) => each.restartPolicy === "Always");
    let sum = 0;
    for (const each of [...spec.containers, ...sidecars]) {
      if (container !== undefined && each.name !== container) continue;
      const request = each.resources?.requests?.[resource];
      if (request === undefined)
        throw new Error(`missing request for ${resource} in container ${each.name} of Pod ${metadata.name}`);
      sum += quantityMilliValue(request);
    }
    requests.set(metadata.name, sum);
  }
  return requests;
}

export interface Asked {
  readonly current: number;
  readonly pods: readonly Pod[];
  readonly metrics: PodMetrics;
  readonly resource: string;
  readonly tolerance: Tolerance;
  readonly nowMs: number;
}

interface Measure {
  ratio: number;
  value: number;
  utilization?: number;
}

/** Of a percentage of what the pods request. */
export function byUtilization(asked: Asked, target: number, container?: string): Proposal {
  let requests = new Map<string, number>();
  const measure = (values: ReadonlyMap<string, number>): Measure => {
    let used = 0;
    let requested = 0;
    let count = 0;
    for (const [name, value] of values) {
      const request = requests.get(name);
      if (request === undefined) continue;
      used += value;
      requested += request;
      count++;
    }
    if (requested === 0) throw new Error("no metrics returned matched known pods");
    const utilization = Math.trunc((used * 100) / requested);
    return { ratio: utilization / target, value: Math.trunc(used / count), utilization };
  };
  const prepare = () => {
    requests = requestsOf(asked.pods, asked.resource, container);
  };
  return propose(asked, { measure, prepare, full: (name) => requests.get(name) ?? 0, keepsDirection: true });
}

/** Of an average of the pods. */
export function byAverage(asked: Asked, target: number): Proposal {
  const measure = (values: ReadonlyMap<string, number>): Measure => {
    const total = [...values.values()].reduce((sum, value) => sum + value, 0);
    const average = Math.trunc(total / values.size);
    return { ratio: average / target, value: average };
  };
  return propose(asked, { measure, prepare: () => {}, full: () => target, keepsDirection: true });
}

interface Rules {
  measure(values: ReadonlyMap<string, number>): Measure;
  prepare(): void;
  /** What a pod that is not measured is taken to use where the others use little. */
  full(pod: string): number;
  keepsDirection: boolean;
}

function propose(asked: Asked, rules: Rules): Proposal {
  const { current, pods, metrics, resource, tolerance, nowMs } = asked;
  if (pods.length === 0) throw new Error("no pods returned by selector while calculating replica count");
  const { readyCount, unready, missing, ignored } = groupPods(pods, metrics, resource, nowMs);
  const values = new Map([...metrics].map(([name, { value }]) => [name, value]));
  for (const name of [...ignored, ...unready]) values.delete(name);
  rules.prepare();
  if (values.size === 0) throw new Error("did not receive metrics for any ready pods");
  const first = rules.measure(values);
  const told = {
    value: first.value,
    ...(first.utilization === undefined ? {} : { utilization: first.utilization }),
  };
  const stays = { replicas: current, ...told };
  const dampened = unready.length > 0 && first.ratio > 1;
  if (!dampened && missing.length === 0) {
    if (isTolerated(first.ratio, tolerance)) return stays;
    return { replicas: Math.ceil(first.ratio * readyCount), ...told };
  }
  for (const name of missing) {
    if (first.ratio < 1) values.set(name, Math.max(rules.full(name), 0));
    else if (first.ratio > 1) values.set(name, 0);
  }
  if (dampened) for (const name of unready) values.set(name, 0);
  const second = rules.measure(values);
  const turns = (first.ratio < 1 && second.ratio > 1) || (first.ratio > 1 && second.ratio < 1);
  if (isTolerated(second.ratio, tolerance) || turns) return stays;
  const replicas = Math.ceil(second.ratio * values.size);
  const contradicts = (second.ratio < 1 && replicas > current) || (second.ratio > 1 && replicas < current);
  return rules.keepsDirection && contradicts ? stays : { replicas, ...told };
}

/** Of one value for all pods together. From nothing, the value alone tells how many. */
export function byValue(asked: Omit<Asked, "metrics" | "resource">, value: number, target: number): Proposal {
  const { current, pods, tolerance } = asked;
  const ratio = value / target;
  if (current === 0) return { replicas: Math.ceil(ratio), value };
  if (isTolerated(ratio, tolerance)) return { replicas: current, value };
  if (pods.length === 0)
    throw new Error(
      "unable to calculate ready pods: no pods returned by selector while calculating replica count",
    );
  const ready = pods.filter((pod) => pod.status?.phase === "Running" && isReady(pod)).length;
  return { replicas: Math.ceil(ratio * ready), value };
}

/** Of one value that the pods share: so much for each. */
export function byShare(replicas: number, tolerance: Tolerance, value: number, target: number): Proposal {
  const wanted = isTolerated(value / (target * replicas), tolerance) ? replicas : Math.ceil(value / target);
  return { replicas: wanted, value: replicas === 0 ? value : Math.ceil(value / replicas) };
}
