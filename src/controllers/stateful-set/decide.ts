/**
 * The next step of a StatefulSet: make or mend its pods from the first to the last, then remove those beyond the last,
 * then replace old ones from the last to the first.
 * https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
 */
import { type appsv1, type corev1, scaledValue } from "#api";
import type { Claims } from "../kit/claims.ts";
import { isFinished, isReady, isTerminating, msUntilAvailable } from "../kit/pods.ts";
import {
  planRevisions,
  type Revision,
  type RevisionPlan,
  surplusRevisions,
  templateOf,
} from "../kit/revisions.ts";
import { firstOrdinal, hasIdentity, ordinalOf, type Pod, revisionOf, type StatefulSet } from "./identity.ts";
import { type Claim, hasStaleClaims, planVolumeClaims, type VolumeClaimPlan } from "./volume-claims.ts";

/** So many pods at most are made or deleted in one round. */
const burstPods = 250;

export interface StatefulSetState {
  set: StatefulSet;
  pods: Claims<corev1.Pod>;
  revisions: Claims<appsv1.ControllerRevision>;
  /** Of the set's pods, past and present, by name. */
  volumeClaims: ReadonlyMap<string, Claim>;
}

export interface NewPod {
  ordinal: number;
  revision: string;
  template: Readonly<corev1.PodTemplateSpec>;
}

export interface StatefulSetPlan {
  claims: Pick<Claims<corev1.Pod>, "adopt" | "release">;
  revisionClaims: Pick<Claims<appsv1.ControllerRevision>, "adopt" | "release">;
  revisions: RevisionPlan;
  surplus: readonly Revision[];
  create: readonly NewPod[];
  delete: readonly Pod[];
  /** Pods whose identity labels somebody took away. */
  relabel: readonly { pod: Pod; ordinal: number }[];
  volumeClaims: VolumeClaimPlan;
  status: appsv1.StatefulSetStatus;
  afterMs: number | undefined;
}

interface Revisions {
  plan: RevisionPlan;
  /** What pods below the partition run. */
  current: { name: string; template: Readonly<corev1.PodTemplateSpec> };
}

interface Steps {
  create: NewPod[];
  delete: Pod[];
  relabel: { pod: Pod; ordinal: number }[];
}

/** What is asked of every pod, now. */
interface Health {
  /** Running and ready for long enough. */
  available(pod: Pod): boolean;
  running(pod: Pod): boolean;
}

export function decideStatefulSet(state: Readonly<StatefulSetState>, nowMs: number): StatefulSetPlan {
  const { set } = state;
  const plan = planRevisions(set, state.revisions.claimed, set.status?.collisionCount ?? 0);
  const revisions = { plan, current: currentRevision(state, plan) };
  const minReady = set.spec.minReadySeconds ?? 0;
  const until = (pod: Pod) => (isRunning(pod) ? msUntilAvailable(pod, minReady, nowMs) : undefined);
  const health: Health = {
    running: (pod) => isRunning(pod) && isReady(pod),
    available: (pod) => (until(pod) ?? Number.POSITIVE_INFINITY) <= 0,
  };
  const steps: Steps = { create: [], delete: [], relabel: [] };
  if (!set.metadata.deletionTimestamp) nextSteps(state, revisions, health, steps);
  const waits = state.pods.claimed.map(until).filter((ms) => ms !== undefined && ms > 0) as number[];
  const live = new Set([...state.pods.claimed.map(revisionOf), revisions.current.name]);
  return {
    claims: state.pods,
    revisionClaims: state.revisions,
    revisions: plan,
    surplus: surplusRevisions(plan.old, set.spec.revisionHistoryLimit, (r) => live.has(r.metadata.name)),
    create: steps.create.slice(0, burstPods),
    delete: steps.delete.slice(0, burstPods),
    relabel: steps.relabel,
    volumeClaims: planVolumeClaims(set, state.pods.claimed, state.volumeClaims),
    status: statusOf(state, revisions, health),
    afterMs: waits.length > 0 ? Math.min(...waits) : undefined,
  };
}

function isRunning(pod: Pod): boolean {
  return pod.status?.phase === "Running";
}

/** The revision that the status remembers; the newest where there is none. */
function currentRevision(
  { set, revisions }: Readonly<StatefulSetState>,
  plan: RevisionPlan,
): Revisions["current"] {
  const name = set.status?.currentRevision;
  const stored = revisions.claimed.find((revision) => revision.metadata.name === name);
  const template = stored && templateOf(stored);
  return stored && template
    ? { name: stored.metadata.name, template }
    : { name: plan.name, template: set.spec.template };
}

function nextSteps(
  state: Readonly<StatefulSetState>,
  revisions: Revisions,
  health: Health,
  steps: Steps,
): void {
  const { set } = state;
  const first = firstOrdinal(set);
  const replicas: (Pod | undefined)[] = Array(set.spec.replicas ?? 1).fill(undefined);
  const condemned: { ordinal: number; pod: Pod }[] = [];
  for (const pod of state.pods.claimed) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    if (ordinal >= first && ordinal < first + replicas.length) replicas[ordinal - first] = pod;
    else condemned.push({ ordinal, pod });
  }
  condemned.sort((a, b) => b.ordinal - a.ordinal);
  const inOrder = set.spec.podManagementPolicy !== "Parallel";
  if (!fillReplicas(state, replicas, revisions, health, steps, inOrder)) return;
  const leaving = condemned.map(({ pod }) => pod);
  if (!removeCondemned(leaving, health, steps, inOrder)) return;
  if (set.spec.updateStrategy?.type !== "OnDelete") replaceOld(set, replicas, revisions, health, steps);
}

/** Answers whether the round may go on. In order, one pod that is not available holds up all that follow. */
function fillReplicas(
  { set, volumeClaims }: Readonly<StatefulSetState>,
  replicas: readonly (Pod | undefined)[],
  revisions: Revisions,
  health: Health,
  steps: Steps,
  inOrder: boolean,
): boolean {
  let proceeds = true;
  for (const [i, pod] of replicas.entries()) {
    const ordinal = firstOrdinal(set) + i;
    if (!pod && hasStaleClaims(set, ordinal, volumeClaims)) return false;
    if (!pod) steps.create.push(newPod(set, ordinal, revisions));
    else if (isFinished(pod)) {
      if (!isTerminating(pod)) steps.delete.push(pod);
      proceeds = false;
    } else if (!hasIdentity(set, pod, ordinal) && !isTerminating(pod)) steps.relabel.push({ pod, ordinal });
    const holdsUp = !pod || isFinished(pod) || isTerminating(pod) || !health.available(pod);
    if (inOrder && holdsUp) return false;
  }
  return proceeds;
}

/** Below the partition pods keep the revision they had. */
function newPod(set: StatefulSet, ordinal: number, { plan, current }: Revisions): NewPod {
  const { type, rollingUpdate } = set.spec.updateStrategy ?? {};
  const kept = rollingUpdate ? (rollingUpdate.partition ?? 0) : (set.status?.currentReplicas ?? 0);
  if (type === "RollingUpdate" && ordinal < firstOrdinal(set) + kept)
    return { ordinal, revision: current.name, template: current.template };
  return { ordinal, revision: plan.name, template: set.spec.template };
}

/** From the highest ordinal down; in order, the next goes only when the one before has gone and all others are well. */
function removeCondemned(condemned: readonly Pod[], health: Health, steps: Steps, inOrder: boolean): boolean {
  const healthy = (pod: Pod) => health.running(pod) && !isTerminating(pod);
  const firstUnhealthy = condemned.findLast((pod) => !healthy(pod));
  for (const pod of condemned) {
    const waits = isTerminating(pod) || (!health.available(pod) && pod !== firstUnhealthy);
    if (inOrder && waits) return false;
    if (!isTerminating(pod)) steps.delete.push(pod);
    if (inOrder) return false;
  }
  return true;
}

/** From the last to the partition. Pods that serve nobody may always be replaced; of the others so many at a time. */
function replaceOld(
  set: StatefulSet,
  replicas: readonly (Pod | undefined)[],
  { plan }: Revisions,
  health: Health,
  steps: Steps,
): void {
  const { partition = 0, maxUnavailable } = set.spec.updateStrategy?.rollingUpdate ?? {};
  const serves = (pod: Pod | undefined) => pod !== undefined && !isTerminating(pod) && health.available(pod);
  const bound = Math.max(1, scaledValue(maxUnavailable, replicas.length, false) ?? 1);
  let budget = bound - replicas.filter((pod) => !serves(pod)).length;
  for (let i = replicas.length - 1; i >= partition; i--) {
    const pod = replicas[i];
    if (!pod || isTerminating(pod) || isFinished(pod) || revisionOf(pod) === plan.name) continue;
    if (!serves(pod)) steps.delete.push(pod);
    else if (budget > 0) {
      steps.delete.push(pod);
      budget--;
    }
  }
}

function statusOf(
  { set, pods }: Readonly<StatefulSetState>,
  { plan, current }: Revisions,
  health: Health,
): appsv1.StatefulSetStatus {
  const all = pods.claimed.filter((pod) => ordinalOf(set, pod) !== undefined);
  const staying = all.filter((pod) => !isTerminating(pod));
  const ofRevision = (name: string) => staying.filter((pod) => revisionOf(pod) === name).length;
  const ready = all.filter(health.running).length;
  const updated = ofRevision(plan.name);
  // Only then: below a partition a pod that is lost must come back as it was.
  const complete =
    set.spec.updateStrategy?.type === "RollingUpdate" &&
    [all.length, updated, ready].every((count) => count === (set.spec.replicas ?? 1));
  const { conditions, collisionCount = 0 } = set.status ?? {};
  const counts = {
    currentReplicas: complete ? updated : ofRevision(current.name),
    readyReplicas: ready,
    updatedReplicas: updated,
  };
  return {
    observedGeneration: set.metadata.generation ?? 0,
    replicas: all.length,
    availableReplicas: all.filter((pod) => health.running(pod) && health.available(pod)).length,
    ...nonZero(counts),
    currentRevision: complete ? plan.name : current.name,
    updateRevision: plan.name,
    collisionCount,
    ...(conditions ? { conditions } : {}),
  };
}

/** Absent means none. */
function nonZero<T extends Record<string, number>>(counts: T): Partial<T> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0)) as Partial<T>;
}
