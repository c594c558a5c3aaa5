/** What controllers ask of pods, and how they make them. */
import { type corev1, type Draft, isStatus, type KubernetesObject, type metav1, StatusError } from "#api";
import { conditionOf } from "./conditions.ts";

type Pod = Readonly<corev1.Pod>;

export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

export function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

/** It runs or will run. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && !isTerminating(pod);
}

export function isReady(pod: Pod): boolean {
  return conditionOf(pod.status?.conditions, "Ready")?.status === "True";
}

/** When it became ready; undefined while it is not. */
function readySinceMs(pod: Pod): number | undefined {
  const ready = conditionOf(pod.status?.conditions, "Ready");
  return ready?.status === "True" ? Date.parse(ready.lastTransitionTime ?? "") || 0 : undefined;
}

/** Milliseconds until a ready pod counts as available: 0 or less when it does, undefined while it is not ready. */
export function msUntilAvailable(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  if (minReadySeconds === 0) return isReady(pod) ? 0 : undefined;
  const sinceMs = readySinceMs(pod);
  return sinceMs === undefined ? undefined : sinceMs + minReadySeconds * 1000 - nowMs;
}

function restartsOf(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map((status) => status.restartCount));
}

export function createdMs(object: { metadata: metav1.ObjectMeta }): number {
  return Date.parse(object.metadata.creationTimestamp) || 0;
}

/** The reference by which a controller manages what it makes. */
export function controllerRef(owner: Readonly<KubernetesObject>): metav1.OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** A pod as its owner's template says. Names get a random end; over-long owners are cut so that it fits. */
export function podFromTemplate(
  template: Readonly<corev1.PodTemplateSpec>,
  owner: Readonly<KubernetesObject>,
): Draft<corev1.Pod> {
  const { labels, annotations, finalizers } = template.metadata ?? {};
  return {
    metadata: {
      namespace: owner.metadata.namespace ?? "default",
      generateName: `${owner.metadata.name}-`,
      ...(labels ? { labels } : {}),
      ...(annotations ? { annotations } : {}),
      ...(finalizers ? { finalizers } : {}),
      ownerReferences: [controllerRef(owner)],
    },
    spec: template.spec as corev1.PodSpec,
  };
}

/** Creating in a namespace that is going away cannot succeed and need not. */
export function isNamespaceTerminating(error: unknown): boolean {
  if (!isStatus(error, "Forbidden") || !(error instanceof StatusError)) return false;
  return error.status.details?.causes?.some((cause) => cause.reason === "NamespaceTerminating") ?? false;
}

function tailOf(pod: Pod): { rank: number; phase: number } {
  const phases: Record<string, number> = { Pending: 0, Unknown: 1, Running: 2 };
  return { rank: pod.spec.nodeName ? 1 : 0, phase: phases[pod.status?.phase ?? "Pending"] ?? 2 };
}

function deletionCost(pod: Pod): number {
  return Number(pod.metadata.annotations?.["controller.kubernetes.io/pod-deletion-cost"] ?? 0) || 0;
}

/**
 * Which of two pods is deleted first (negative: `a`). `crowding` counts the related pods on the pod's node.
 * https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset
 */
export function compareForDeletion(a: Pod, b: Pod, crowding: (pod: Pod) => number): number {
  const [left, right] = [tailOf(a), tailOf(b)];
  const [readyA, readyB] = [readySinceMs(a), readySinceMs(b)];
  return (
    left.rank - right.rank ||
    left.phase - right.phase ||
    Number(readyA !== undefined) - Number(readyB !== undefined) ||
    deletionCost(a) - deletionCost(b) ||
    crowding(b) - crowding(a) ||
    (readyB ?? 0) - (readyA ?? 0) ||
    restartsOf(b) - restartsOf(a) ||
    createdMs(b) - createdMs(a)
  );
}
