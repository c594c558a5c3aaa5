/** When an object that is being deleted is gone, and how long a deletion waits. */
import { type corev1, type KubernetesObject, type metav1, pods, type ResourceDefinition } from "#api";

/** Nothing holds the object any more: no finalizer, no grace, no namespace content. */
export function isFinished(definition: ResourceDefinition, object: Readonly<KubernetesObject>): boolean {
  const { metadata } = object;
  if (!metadata.deletionTimestamp || (metadata.finalizers?.length ?? 0) > 0) return false;
  return (metadata.deletionGracePeriodSeconds ?? 0) === 0 && specFinalizers(definition, object).length === 0;
}

/** Finalizers of a namespace stand in its spec too. */
export function specFinalizers(
  definition: ResourceDefinition,
  object: Readonly<KubernetesObject>,
): readonly string[] {
  if (definition.kind !== "Namespace") return [];
  return (object as corev1.Namespace).spec?.finalizers ?? [];
}

/** Seconds until the deletion is final; 0 for at once. */
export function gracePeriodOf(
  definition: ResourceDefinition,
  object: Readonly<KubernetesObject>,
  options: Readonly<metav1.DeleteOptions>,
): number {
  if (!definition.gracePeriodSeconds) return 0;
  const wanted = options.gracePeriodSeconds ?? definition.gracePeriodSeconds(object);
  if (definition.resource === pods.resource && isWithoutProcesses(object as corev1.Pod)) return 0;
  // A negative period means the shortest one that still lets the node clean up.
  return wanted < 0 ? 1 : wanted;
}

/** No node has to stop anything for it. */
function isWithoutProcesses(pod: Readonly<corev1.Pod>): boolean {
  return !pod.spec.nodeName || pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

const orphan = "orphan";
const foreground = "foregroundDeletion";

/** The finalizers that tell the garbage collector what to do with dependents. */
export function finalizersFor(
  finalizers: readonly string[],
  options: Readonly<metav1.DeleteOptions>,
): string[] {
  const others = finalizers.filter((f) => f !== orphan && f !== foreground);
  const policy = options.propagationPolicy ?? legacyPolicy(options.orphanDependents);
  if (policy === "Orphan") return [...others, orphan];
  if (policy === "Foreground") return [...others, foreground];
  if (policy === "Background") return others;
  return [...finalizers];
}

function legacyPolicy(orphanDependents: boolean | undefined): string | undefined {
  if (orphanDependents === undefined) return undefined;
  return orphanDependents ? "Orphan" : "Background";
}
