/**
 * The containers that a pod names: its own, those that prepare it, and those that were added to look into it.
 * https://kubernetes.io/docs/concepts/workloads/pods/ephemeral-containers/
 */
import type { corev1 } from "#api";

type Pod = Readonly<corev1.Pod>;
type Container = Readonly<corev1.Container>;

/** The schema lets the name be absent; the API server does not. */
type EphemeralContainer = Readonly<corev1.EphemeralContainer & { name: string }>;

export function ephemeralContainersOf(pod: Pod): readonly EphemeralContainer[] {
  return (pod.spec.ephemeralContainers ?? []) as EphemeralContainer[];
}

export function containerNamed(pod: Pod, name: string | undefined): Container | undefined {
  const all: Container[] = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  return [...all, ...ephemeralContainersOf(pod)].find((c) => c.name === name);
}

/** `initContainers`, `containers` or `ephemeralContainers`: where a container stands in the specification. */
export function containerField(pod: Pod, name: string): string {
  if ((pod.spec.initContainers ?? []).some((c) => c.name === name)) return "initContainers";
  return ephemeralContainersOf(pod).some((c) => c.name === name) ? "ephemeralContainers" : "containers";
}
