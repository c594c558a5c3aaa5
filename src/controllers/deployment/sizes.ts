/**
 * The arithmetic of rollouts: how far the new set may grow and the old ones shrink, so that never fewer pods are
 * available and never more exist than the strategy allows. Pure numbers over sets as they are.
 * https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-update-deployment
 */
import { scaledValue } from "#api";
import { createdMs } from "../kit/pods.ts";
import {
  byCreation,
  type Deployment,
  desiredAnnotation,
  maxAnnotation,
  type ReplicaSet,
  replicasOf,
  totalReplicas,
} from "./replica-sets.ts";

/** New sizes by the name of the set; a set that is not in it stays as it is. */
export type Sizes = Map<string, number>;

export interface Bounds {
  maxSurge: number;
  maxUnavailable: number;
}

/** Percentages of the size: surge rounded up, unavailable down; both zero would never move. */
export function boundsOf(deployment: Deployment): Bounds {
  const { strategy } = deployment.spec;
  const replicas = replicasOf(deployment);
  if (strategy?.type === "Recreate") return { maxSurge: 0, maxUnavailable: 0 };
  const maxSurge = scaledValue(strategy?.rollingUpdate?.maxSurge ?? "25%", replicas, true) ?? 0;
  const unavailable = scaledValue(strategy?.rollingUpdate?.maxUnavailable ?? "25%", replicas, false) ?? 0;
  const maxUnavailable = maxSurge === 0 && unavailable === 0 ? 1 : unavailable;
  return { maxSurge, maxUnavailable: Math.min(maxUnavailable, replicas) };
}

/** How large the new set should be now. */
export function newSetSize(deployment: Deployment, all: readonly ReplicaSet[], newSize: number): number {
  const wanted = replicasOf(deployment);
  if (deployment.spec.strategy?.type === "Recreate" || newSize > wanted) return wanted;
  const room = wanted + boundsOf(deployment).maxSurge - totalReplicas(all);
  return room <= 0 ? newSize : newSize + Math.min(room, wanted - newSize);
}

/** Shrinks the old sets: first pods that do not serve anyway, then as many others as may be missing. */
export function shrinkOldSets(deployment: Deployment, newSet: ReplicaSet, old: readonly ReplicaSet[]): Sizes {
  const sizes: Sizes = new Map();
  const all = [...old, newSet];
  const minAvailable = replicasOf(deployment) - boundsOf(deployment).maxUnavailable;
  const newUnavailable = replicasOf(newSet) - servingOf(newSet);
  const mayGo = totalReplicas(all) - minAvailable - newUnavailable;
  if (mayGo <= 0) return sizes;
  const ordered = old.filter((set) => replicasOf(set) > 0).sort(byCreation);
  takeUnhealthy(ordered, mayGo, sizes);
  const serving = all.reduce((sum, set) => sum + servingOf(set), 0);
  takeServing(ordered, serving - minAvailable, sizes);
  return sizes;
}

/**
 * Pods that serve and stay. While a set's controller has not seen its newest size, its status may count pods that are
 * about to go.
 */
function servingOf(set: ReplicaSet): number {
  const { status, metadata } = set;
  if ((status?.observedGeneration ?? 0) < (metadata.generation ?? 0)) return 0;
  return Math.min(replicasOf(set), status?.availableReplicas ?? 0);
}

function takeUnhealthy(ordered: readonly ReplicaSet[], most: number, sizes: Sizes): void {
  let left = most;
  for (const set of ordered) {
    const unhealthy = Math.min(left, replicasOf(set) - (set.status?.availableReplicas ?? 0));
    if (unhealthy <= 0) continue;
    sizes.set(set.metadata.name, replicasOf(set) - unhealthy);
    left -= unhealthy;
  }
}

function takeServing(ordered: readonly ReplicaSet[], most: number, sizes: Sizes): void {
  let left = most;
  for (const set of ordered) {
    const size = sizes.get(set.metadata.name) ?? replicasOf(set);
    const taken = Math.min(left, size);
    if (taken <= 0) continue;
    sizes.set(set.metadata.name, size - taken);
    left -= taken;
  }
}

/** A Deployment whose size changed in the middle of a rollout: the change is shared out in proportion. */
export function isScaling(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  return sets.some((set) => {
    const desired = set.metadata.annotations?.[desiredAnnotation];
    return replicasOf(set) > 0 && desired !== undefined && Number(desired) !== replicasOf(deployment);
  });
}

export function scaleInProportion(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): Sizes {
  const wanted = replicasOf(deployment);
  const all = newSet ? [...old, newSet] : [...old];
  const active = all.filter((set) => replicasOf(set) > 0);
  if (active.length <= 1) {
    const only = active[0] ?? newSet ?? [...old].sort(byCreation).at(-1);
    return new Map(only ? [[only.metadata.name, wanted]] : []);
  }
  if (newSet && isSaturated(deployment, newSet)) {
    return new Map(old.filter((set) => replicasOf(set) > 0).map((set) => [set.metadata.name, 0]));
  }
  if (deployment.spec.strategy?.type === "Recreate") return new Map();
  return shareOut(deployment, active);
}

function isSaturated(deployment: Deployment, newSet: ReplicaSet): boolean {
  const wanted = replicasOf(deployment);
  return (
    replicasOf(newSet) === wanted &&
    Number(newSet.metadata.annotations?.[desiredAnnotation]) === wanted &&
    newSet.status?.availableReplicas === wanted
  );
}

function shareOut(deployment: Deployment, active: readonly ReplicaSet[]): Sizes {
  const wanted = replicasOf(deployment);
  const allowed = wanted > 0 ? wanted + boundsOf(deployment).maxSurge : 0;
  const change = allowed - totalReplicas(active);
  const ordered = [...active].sort((a, b) => {
    const age = createdMs(a) - createdMs(b);
    return replicasOf(b) - replicasOf(a) || (change > 0 ? -age : age);
  });
  const sizes: Sizes = new Map();
  let given = 0;
  for (const set of ordered) {
    const share = shareOf(deployment, set, allowed);
    const part = change > 0 ? Math.min(share, change - given) : Math.max(share, change - given);
    const bounded = change > 0 ? Math.max(0, part) : Math.min(0, part);
    sizes.set(set.metadata.name, replicasOf(set) + bounded);
    given += bounded;
  }
  const [first] = ordered;
  if (first && given !== change) {
    sizes.set(first.metadata.name, Math.max(0, sizes.get(first.metadata.name)! + change - given));
  }
  return sizes;
}

function shareOf(deployment: Deployment, set: ReplicaSet, allowed: number): number {
  if (replicasOf(deployment) === 0) return -replicasOf(set);
  const before = Number(set.metadata.annotations?.[maxAnnotation]) || deployment.status?.replicas || allowed;
  return Math.round((replicasOf(set) * allowed) / before) - replicasOf(set);
}
