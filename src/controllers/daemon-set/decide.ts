/**
 * The next step of a DaemonSet: first every node gets the pods it should have, then old pods make way for new ones.
 * https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/
 */
import type { appsv1, corev1 } from "#api";
import type { Claims } from "../kit/claims.ts";
import { createdMs, isReady, isTerminating, msUntilAvailable } from "../kit/pods.ts";
import {
  planRevisions,
  type Revision,
  type RevisionPlan,
  revisionHashLabel,
  surplusRevisions,
} from "../kit/revisions.ts";
import { type DaemonSet, type Node, nodeJudge, type Pod, targetNode } from "./placement.ts";
import { type Berth, isSurging, isUpdated, type Rules, replaceOldPods } from "./rolling-update.ts";

/** So many pods at most are made or deleted in one round. */
const burstPods = 250;

export interface DaemonSetState {
  set: DaemonSet;
  pods: Claims<corev1.Pod>;
  revisions: Claims<appsv1.ControllerRevision>;
  nodes: readonly Node[];
  /** When the failed pod of a node may be replaced: failures in a row wait longer and longer. */
  retryAtMs(nodeName: string): number;
}

export interface DaemonSetPlan {
  claims: Pick<Claims<corev1.Pod>, "adopt" | "release">;
  revisionClaims: Pick<Claims<appsv1.ControllerRevision>, "adopt" | "release">;
  revisions: RevisionPlan;
  surplus: readonly Revision[];
  /** Names of the nodes that get a pod. */
  create: readonly string[];
  delete: readonly Pod[];
  /** Among those deleted: pods that ended by themselves. */
  ended: ReadonlyMap<Pod, string>;
  status: appsv1.DaemonSetStatus;
  afterMs: number | undefined;
}

interface Steps {
  create: string[];
  delete: Pod[];
  ended: Map<Pod, string>;
  waitsMs: number[];
}

export function decideDaemonSet(state: Readonly<DaemonSetState>, nowMs: number): DaemonSetPlan | undefined {
  const { set } = state;
  if (set.metadata.deletionTimestamp) return undefined;
  const revisions = planRevisions(set, state.revisions.claimed, set.status?.collisionCount ?? 0);
  const minReady = set.spec.minReadySeconds ?? 0;
  const until = (pod: Pod) => msUntilAvailable(pod, minReady, nowMs);
  const rules: Rules = {
    set,
    hash: revisions.hash,
    available: (pod) => (until(pod) ?? Number.POSITIVE_INFINITY) <= 0,
  };
  const { berths, strays } = berthsOf(state);
  const steps = fillBerths(berths, rules, state, nowMs);
  steps.delete.push(...strays);
  const settled = steps.create.length + steps.delete.length === 0;
  const replaced = settled ? replaceOldPods(berths, rules) : steps;
  const waits = state.pods.claimed.map(until).filter((ms) => ms !== undefined && ms > 0) as number[];
  const afterMs = Math.min(...waits, ...steps.waitsMs);
  const running = new Set(state.pods.claimed.map((pod) => pod.metadata.labels?.[revisionHashLabel]));
  return {
    claims: state.pods,
    revisionClaims: state.revisions,
    revisions,
    surplus: surplusRevisions(revisions.old, set.spec.revisionHistoryLimit, (revision) =>
      running.has(revision.metadata.labels?.[revisionHashLabel]),
    ),
    create: replaced.create.slice(0, burstPods),
    delete: replaced.delete.slice(0, burstPods),
    ended: steps.ended,
    status: statusOf(berths, rules),
    afterMs: Number.isFinite(afterMs) ? afterMs : undefined,
  };
}

function berthsOf(state: Readonly<DaemonSetState>): { berths: Berth[]; strays: Pod[] } {
  const judge = nodeJudge(state.set);
  const byNode = new Map<string, Pod[]>(state.nodes.map((node) => [node.metadata.name, []]));
  for (const pod of state.pods.claimed) {
    const gone = isTerminating(pod) && hasEnded(pod);
    if (!gone) byNode.get(targetNode(pod) ?? "")?.push(pod);
  }
  const names = new Set(state.nodes.map((node) => node.metadata.name));
  // Made for a node that has gone, and never bound: nobody else removes them.
  const strays = state.pods.claimed.filter(
    (pod) => !pod.spec.nodeName && !isTerminating(pod) && !names.has(targetNode(pod) ?? ""),
  );
  const berths = state.nodes.map((node) => ({
    name: node.metadata.name,
    verdict: judge(node),
    pods: (byNode.get(node.metadata.name) ?? []).sort(byAge),
  }));
  return { berths: berths.sort((a, b) => (a.name < b.name ? -1 : 1)), strays };
}

/** Bound pods before others, then the older. */
function byAge(a: Pod, b: Pod): number {
  return (
    Number(Boolean(b.spec.nodeName)) - Number(Boolean(a.spec.nodeName)) ||
    createdMs(a) - createdMs(b) ||
    (a.metadata.name < b.metadata.name ? -1 : 1)
  );
}

function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

function fillBerths(
  berths: readonly Berth[],
  rules: Rules,
  state: Readonly<DaemonSetState>,
  nowMs: number,
): Steps {
  const steps: Steps = { create: [], delete: [], ended: new Map(), waitsMs: [] };
  for (const berth of berths) {
    const { shouldRun, shouldContinue } = berth.verdict;
    if (!shouldContinue) steps.delete.push(...berth.pods.filter((pod) => !isTerminating(pod)));
    else if (berth.pods.length > 0) tidyBerth(berth, rules, steps, state.retryAtMs(berth.name) - nowMs);
    else if (shouldRun) steps.create.push(berth.name);
  }
  return steps;
}

/** Pods that ended go; of the others one stays, or two while one takes over from the other. */
function tidyBerth(berth: Berth, rules: Rules, steps: Steps, retryInMs: number): void {
  const running: Pod[] = [];
  for (const pod of berth.pods) {
    if (isTerminating(pod)) continue;
    if (!hasEnded(pod)) running.push(pod);
    else if (pod.status?.phase === "Failed" && retryInMs > 0) steps.waitsMs.push(retryInMs);
    else {
      steps.delete.push(pod);
      steps.ended.set(pod, berth.name);
    }
  }
  if (!isSurging(rules.set)) {
    steps.delete.push(...running.slice(1));
    return;
  }
  if (running.length === 0 && berth.verdict.shouldRun && berth.pods.every(isTerminating)) {
    steps.create.push(berth.name);
    return;
  }
  const fresh = running.filter((pod) => isUpdated(pod, rules));
  const old = running.filter((pod) => !isUpdated(pod, rules));
  steps.delete.push(...fresh.slice(1), ...old.slice(1));
  const [newest, oldest] = [fresh[0], old[0]];
  if (newest && oldest && (!isReady(oldest) || rules.available(newest))) steps.delete.push(oldest);
}

function statusOf(berths: readonly Berth[], rules: Rules): appsv1.DaemonSetStatus {
  const wanted = berths.filter((berth) => berth.verdict.shouldRun);
  // Of two the one that carries the load: the older.
  const pods = wanted.map((berth) => berth.pods[0]).filter((pod) => pod !== undefined);
  const available = pods.filter((pod) => isReady(pod) && rules.available(pod)).length;
  const { conditions, collisionCount } = rules.set.status ?? {};
  const updated = pods.filter((pod) => isUpdated(pod, rules)).length;
  return {
    currentNumberScheduled: pods.length,
    numberMisscheduled: berths.filter((berth) => !berth.verdict.shouldRun && berth.pods.length > 0).length,
    desiredNumberScheduled: wanted.length,
    numberReady: pods.filter(isReady).length,
    observedGeneration: rules.set.metadata.generation ?? 0,
    ...(updated > 0 ? { updatedNumberScheduled: updated } : {}),
    ...(available > 0 ? { numberAvailable: available } : {}),
    ...(wanted.length > available ? { numberUnavailable: wanted.length - available } : {}),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    ...(conditions ? { conditions } : {}),
  };
}
