/**
 * Pods that a node cannot do without. Pure.
 * https://kubernetes.io/docs/tasks/administer-cluster/guaranteed-scheduling-critical-addon-pods/
 */
import type { corev1 } from "#api";
import { isMirror, isStatic } from "./static/manifest.ts";

/** The lowest priority of the system's own classes. */
export const systemCritical = 2_000_000_000;

export function isCritical(pod: Readonly<corev1.Pod>): boolean {
  return isStatic(pod) || isMirror(pod) || (pod.spec.priority ?? 0) >= systemCritical;
}
