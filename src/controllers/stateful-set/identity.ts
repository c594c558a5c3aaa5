/**
 * Names, ordinals and labels of a StatefulSet's pods.
 * https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#pod-identity
 */
import type { appsv1, corev1 } from "#api";
import { revisionHashLabel } from "../kit/revisions.ts";

export type StatefulSet = Readonly<appsv1.StatefulSet>;
export type Pod = Readonly<corev1.Pod>;

const nameLabel = "statefulset.kubernetes.io/pod-name";
const indexLabel = "apps.kubernetes.io/pod-index";

/** The number at the end of the pod's name; undefined when the name is not one of this set's. */
export function ordinalOf(set: StatefulSet, pod: Pod): number | undefined {
  const prefix = `${set.metadata.name}-`;
  if (!pod.metadata.name.startsWith(prefix)) return undefined;
  const text = pod.metadata.name.slice(prefix.length);
  return /^(0|[1-9]\d{0,8})$/.test(text) ? Number(text) : undefined;
}

export function firstOrdinal(set: StatefulSet): number {
  return set.spec.ordinals?.start ?? 0;
}

/** The name of the revision that the pod runs. */
export function revisionOf(pod: Pod): string | undefined {
  return pod.metadata.labels?.[revisionHashLabel];
}

/** The labels by which Services and people find one pod. */
export function identityLabels(set: StatefulSet, ordinal: number): Record<string, string> {
  return { [nameLabel]: `${set.metadata.name}-${ordinal}`, [indexLabel]: String(ordinal) };
}

export function hasIdentity(set: StatefulSet, pod: Pod, ordinal: number): boolean {
  return Object.entries(identityLabels(set, ordinal)).every(
    ([name, value]) => pod.metadata.labels?.[name] === value,
  );
}
