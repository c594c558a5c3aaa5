/**
 * The next step of a Deployment. One round makes one step; the events of what it changes bring the next.
 * https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
 */
import { type appsv1, type Draft, sameJson } from "#api";
import type { Claims } from "../kit/claims.ts";
import { conditionOf, withCondition } from "../kit/conditions.ts";
import {
  annotationsFor,
  byCreation,
  type Deployment,
  findNewReplicaSet,
  newReplicaSet,
  type ReplicaSet,
  replicasOf,
  revisionOf,
  sizeAnnotations,
  totalReplicas,
} from "./replica-sets.ts";
import { boundsOf, isScaling, newSetSize, type Sizes, scaleInProportion, shrinkOldSets } from "./sizes.ts";
import {
  countedStatus,
  deploymentCondition,
  hasProgressDeadline,
  isComplete,
  msUntilStuck,
  rolloutStatus,
} from "./status.ts";

export interface DeploymentState {
  deployment: Deployment;
  sets: Claims<appsv1.ReplicaSet>;
  /** Names of the sets that still have pods which have not ended, terminating ones included. */
  running: ReadonlySet<string>;
}

export interface DeploymentPlan {
  claims: Pick<Claims<appsv1.ReplicaSet>, "adopt" | "release">;
  create: Draft<appsv1.ReplicaSet> | undefined;
  update: readonly { from: ReplicaSet; to: ReplicaSet }[];
  remove: readonly ReplicaSet[];
  /** The Deployment's own revision annotation, where it is to change. */
  revision: string | undefined;
  status: appsv1.DeploymentStatus;
  afterMs: number | undefined;
}

type Conditions = readonly appsv1.DeploymentCondition[];

/** The sets as the steps below leave them. */
interface Step {
  create?: Draft<appsv1.ReplicaSet>;
  sizes: Sizes;
}

export function decideDeployment(state: Readonly<DeploymentState>, nowMs: number): DeploymentPlan {
  const { deployment } = state;
  const sets = [...state.sets.claimed].sort(byCreation);
  const newSet = findNewReplicaSet(deployment, sets);
  const old = sets.filter((set) => set !== newSet);
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  const paused = deployment.spec.paused === true;
  const deleting = deployment.metadata.deletionTimestamp !== undefined;
  const scaling = paused || isScaling(deployment, sets);
  const step: Step = deleting ? { sizes: new Map() } : nextStep(state, newSet, old, revision, scaling);
  const update = deleting ? [] : changedSets(deployment, sets, newSet, revision, step.sizes, scaling);
  const after = sets.map((set) => update.find((change) => change.from === set)?.to ?? set);
  const conditions = pauseConditions(deployment, conditionsOf(deployment, newSet, step, nowMs), nowMs);
  const fresh = newSet && after[sets.indexOf(newSet)];
  const status =
    scaling || deleting
      ? countedStatus(deployment, fresh, after, conditions, nowMs)
      : rolloutStatus(deployment, fresh, after, conditions, nowMs);
  const idle = update.length === 0 && !step.create;
  const finished = idle && (isComplete(deployment, status) || paused);
  return {
    claims: state.sets,
    create: step.create,
    update,
    remove: finished && !deleting ? surplusHistory(deployment, old) : [],
    revision: deleting ? undefined : revisionChange(deployment, fresh, step, revision),
    status,
    afterMs: msUntilStuck(deployment, status, nowMs),
  };
}

function nextStep(
  state: Readonly<DeploymentState>,
  newSet: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  revision: number,
  scaling: boolean,
): Step {
  const { deployment } = state;
  if (scaling) return { sizes: scaleInProportion(deployment, newSet, old) };
  if (deployment.spec.strategy?.type === "Recreate") return recreateStep(state, newSet, old, revision);
  if (!newSet) return { create: firstSet(deployment, old, revision), sizes: new Map() };
  const wanted = replicasOf(newSet);
  const size = newSetSize(deployment, [...old, newSet], wanted);
  if (size !== wanted) return { sizes: new Map([[newSet.metadata.name, size]]) };
  return { sizes: shrinkOldSets(deployment, newSet, old) };
}

/** All old pods must have ended before the first new one is made. */
function recreateStep(
  { deployment, running }: Readonly<DeploymentState>,
  newSet: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  revision: number,
): Step {
  const active = old.filter((set) => replicasOf(set) > 0);
  if (active.length > 0) return { sizes: new Map(active.map((set) => [set.metadata.name, 0])) };
  if (old.some((set) => running.has(set.metadata.name))) return { sizes: new Map() };
  if (!newSet) return { create: firstSet(deployment, old, revision), sizes: new Map() };
  return { sizes: new Map([[newSet.metadata.name, replicasOf(deployment)]]) };
}

function firstSet(
  deployment: Deployment,
  old: readonly ReplicaSet[],
  revision: number,
): Draft<appsv1.ReplicaSet> {
  const max = replicasOf(deployment) + boundsOf(deployment).maxSurge;
  const size = newSetSize(deployment, old, 0);
  return newReplicaSet(deployment, revision, size, max);
}

/** Every set that differs from what it should be: size, size annotations, and for the new set all that is copied. */
function changedSets(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
  newSet: ReplicaSet | undefined,
  revision: number,
  sizes: Sizes,
  scaling: boolean,
): { from: ReplicaSet; to: ReplicaSet }[] {
  const sized = sizeAnnotations(
    replicasOf(deployment),
    replicasOf(deployment) + boundsOf(deployment).maxSurge,
  );
  const changes = sets.map((set) => {
    const replicas = sizes.get(set.metadata.name) ?? replicasOf(set);
    const isNew = set === newSet;
    const copied = isNew ? annotationsFor(deployment, set, revision) : set.metadata.annotations;
    const rescaled =
      replicas !== replicasOf(set) || (scaling && (sizes.has(set.metadata.name) || replicas > 0));
    const annotations = rescaled || (isNew && replicas > 0) ? { ...copied, ...sized } : copied;
    const minReady = isNew ? deployment.spec.minReadySeconds : set.spec.minReadySeconds;
    const to: ReplicaSet = {
      ...set,
      metadata: { ...set.metadata, ...(annotations ? { annotations } : {}) },
      spec: { ...set.spec, replicas, ...(minReady === undefined ? {} : { minReadySeconds: minReady }) },
    };
    return { from: set, to };
  });
  return changes.filter(({ from, to }) => !sameJson(plain(from), plain(to)));
}

function plain(set: ReplicaSet): unknown {
  const { replicas, minReadySeconds } = set.spec;
  return [set.metadata.annotations ?? {}, replicas ?? 1, minReadySeconds ?? 0];
}

function conditionsOf(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  step: Step,
  nowMs: number,
): Conditions {
  const conditions = deployment.status?.conditions ?? [];
  if (!hasProgressDeadline(deployment)) return conditions;
  const name = step.create?.metadata?.name;
  if (name) {
    const message = `Created new replica set "${name}"`;
    return withCondition(
      conditions,
      deploymentCondition("Progressing", "True", "NewReplicaSetCreated", message, nowMs),
    );
  }
  if (!newSet || conditionOf(conditions, "Progressing")) return conditions;
  const message = `Found new replica set "${newSet.metadata.name}"`;
  return withCondition(
    conditions,
    deploymentCondition("Progressing", "True", "FoundNewReplicaSet", message, nowMs),
  );
}

/** Pausing stops the clock of the deadline, resuming starts it anew. */
function pauseConditions(deployment: Deployment, conditions: Conditions, nowMs: number): Conditions {
  if (!hasProgressDeadline(deployment)) return conditions;
  const current = conditionOf(conditions, "Progressing");
  if (current?.reason === "ProgressDeadlineExceeded") return conditions;
  const pausedBefore = current?.reason === "DeploymentPaused";
  const unknown = (reason: string, message: string) =>
    withCondition(conditions, deploymentCondition("Progressing", "Unknown", reason, message, nowMs));
  if (deployment.spec.paused && !pausedBefore) return unknown("DeploymentPaused", "Deployment is paused");
  if (!deployment.spec.paused && pausedBefore) return unknown("DeploymentResumed", "Deployment is resumed");
  return conditions;
}

/** Old sets beyond the history limit that nothing is left of. */
function surplusHistory(deployment: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const limit = deployment.spec.revisionHistoryLimit;
  if (limit === undefined) return [];
  const alive = old.filter((set) => !set.metadata.deletionTimestamp);
  const surplus = Math.max(0, alive.length - limit);
  const ordered = [...alive].sort((a, b) => revisionOf(a) - revisionOf(b) || byCreation(a, b));
  return ordered.slice(0, surplus).filter((set) => {
    const { replicas = 0, observedGeneration = 0 } = set.status ?? {};
    const seen = (set.metadata.generation ?? 0) <= observedGeneration;
    return totalReplicas([set]) === 0 && replicas === 0 && seen;
  });
}

function revisionChange(
  deployment: Deployment,
  fresh: ReplicaSet | undefined,
  step: Step,
  revision: number,
): string | undefined {
  const wanted = step.create ? revision : fresh ? revisionOf(fresh) : 0;
  return wanted > 0 && wanted !== revisionOf(deployment) ? String(wanted) : undefined;
}
