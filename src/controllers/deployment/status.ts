/**
 * The status of a Deployment: counts, and whether it is available, moving, done or stuck.
 * https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
 */
import { type appsv1, formatTime } from "#api";
import { conditionOf, withCondition, withoutCondition } from "../kit/conditions.ts";
import {
  type Deployment,
  type ReplicaSet,
  replicasOf,
  totalAvailable,
  totalReplicas,
} from "./replica-sets.ts";
import { boundsOf } from "./sizes.ts";

type Status = appsv1.DeploymentStatus;
type Condition = appsv1.DeploymentCondition;

/** "No deadline", as kubectl writes it. */
const noDeadline = 2 ** 31 - 1;

export function hasProgressDeadline(deployment: Deployment): boolean {
  const { progressDeadlineSeconds } = deployment.spec;
  return progressDeadlineSeconds !== undefined && progressDeadlineSeconds !== noDeadline;
}

export function deploymentCondition(
  type: string,
  status: "True" | "False" | "Unknown",
  reason: string,
  message: string,
  nowMs: number,
): Condition {
  const time = formatTime(nowMs);
  return { type, status, reason, message, lastUpdateTime: time, lastTransitionTime: time };
}

function sum(
  sets: readonly ReplicaSet[],
  count: (status: appsv1.ReplicaSetStatus) => number | undefined,
): number {
  return sets.reduce((total, set) => total + ((set.status && count(set.status)) ?? 0), 0);
}

/** Counts and the condition Available. */
export function countedStatus(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  all: readonly ReplicaSet[],
  conditions: readonly Condition[],
  nowMs: number,
): Status {
  const available = totalAvailable(all);
  const enough = available >= replicasOf(deployment) - boundsOf(deployment).maxUnavailable;
  const condition = enough
    ? deploymentCondition(
        "Available",
        "True",
        "MinimumReplicasAvailable",
        "Deployment has minimum availability.",
        nowMs,
      )
    : deploymentCondition(
        "Available",
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
        nowMs,
      );
  const { collisionCount } = deployment.status ?? {};
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(all, (status) => status.replicas),
    updatedReplicas: newSet?.status?.replicas ?? 0,
    readyReplicas: sum(all, (status) => status.readyReplicas),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, totalReplicas(all) - available),
    terminatingReplicas: sum(all, (status) => status.terminatingReplicas),
    ...(collisionCount === undefined ? {} : { collisionCount }),
    conditions: withCondition(conditions, condition),
  };
}

export function isComplete(deployment: Deployment, status: Readonly<Status>): boolean {
  const wanted = replicasOf(deployment);
  return (
    status.updatedReplicas === wanted &&
    status.replicas === wanted &&
    status.availableReplicas === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

function isProgressing(old: Readonly<Status> | undefined, next: Readonly<Status>): boolean {
  const outdated = (s: Readonly<Status> | undefined) => (s?.replicas ?? 0) - (s?.updatedReplicas ?? 0);
  return (
    (next.updatedReplicas ?? 0) > (old?.updatedReplicas ?? 0) ||
    outdated(next) < outdated(old) ||
    (next.readyReplicas ?? 0) > (old?.readyReplicas ?? 0) ||
    (next.availableReplicas ?? 0) > (old?.availableReplicas ?? 0)
  );
}

/** When the rollout counts as stuck; undefined where it cannot be. */
function deadlineMs(deployment: Deployment, condition: Condition | undefined): number | undefined {
  if (!condition || condition.reason === "NewReplicaSetAvailable") return undefined;
  const fromMs = Date.parse(condition.lastUpdateTime ?? "") || 0;
  return fromMs + (deployment.spec.progressDeadlineSeconds ?? 0) * 1000;
}

/** The status of a rollout under way: Progressing follows what happened since the last status. */
export function rolloutStatus(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  all: readonly ReplicaSet[],
  before: readonly Condition[],
  nowMs: number,
): Status {
  const kept = hasProgressDeadline(deployment) ? before : withoutCondition(before, "Progressing");
  const status = countedStatus(deployment, newSet, all, kept, nowMs);
  let { conditions = [] } = status;
  const current = conditionOf(conditions, "Progressing");
  const settled = status.replicas === status.updatedReplicas && current?.reason === "NewReplicaSetAvailable";
  if (hasProgressDeadline(deployment) && !settled) {
    conditions = withProgress(deployment, newSet, status, conditions, nowMs);
  }
  const failure = all.map((set) => conditionOf(set.status?.conditions, "ReplicaFailure")).find(Boolean);
  conditions = failure
    ? withCondition(conditions, {
        ...deploymentCondition("ReplicaFailure", "True", failure.reason ?? "", failure.message ?? "", nowMs),
        lastTransitionTime: failure.lastTransitionTime ?? formatTime(nowMs),
      })
    : withoutCondition(conditions, "ReplicaFailure");
  return { ...status, conditions };
}

function withProgress(
  deployment: Deployment,
  newSet: ReplicaSet | undefined,
  status: Status,
  conditions: readonly Condition[],
  nowMs: number,
): Condition[] {
  const subject = newSet
    ? `ReplicaSet "${newSet.metadata.name}"`
    : `Deployment "${deployment.metadata.name}"`;
  const current = conditionOf(conditions, "Progressing");
  const progress = (value: "True" | "False", reason: string, message: string) =>
    deploymentCondition("Progressing", value, reason, message, nowMs);
  if (isComplete(deployment, status)) {
    const message = `${subject} has successfully progressed.`;
    return withCondition(conditions, progress("True", "NewReplicaSetAvailable", message));
  }
  if (isProgressing(deployment.status, status)) {
    const next = progress("True", "ReplicaSetUpdated", `${subject} is progressing.`);
    // The time of the last progress is what the deadline counts from: it moves even where nothing else does.
    if (current?.status === "True" && current.lastTransitionTime) {
      next.lastTransitionTime = current.lastTransitionTime;
    }
    return [...withoutCondition(conditions, "Progressing"), next];
  }
  const deadline = deadlineMs(deployment, current);
  if (deadline !== undefined && nowMs > deadline && current?.reason !== "ProgressDeadlineExceeded") {
    const message = `${subject} has timed out progressing.`;
    return withCondition(conditions, progress("False", "ProgressDeadlineExceeded", message));
  }
  return [...conditions];
}

/** How long until a rollout that does not move must be called stuck. */
export function msUntilStuck(
  deployment: Deployment,
  status: Readonly<Status>,
  nowMs: number,
): number | undefined {
  const current = conditionOf(status.conditions, "Progressing");
  if (!hasProgressDeadline(deployment) || isComplete(deployment, status)) return undefined;
  if (current?.reason === "ProgressDeadlineExceeded" || deployment.spec.paused) return undefined;
  const deadline = deadlineMs(deployment, current);
  return deadline === undefined ? undefined : Math.max(0, deadline - nowMs) + 1000;
}
