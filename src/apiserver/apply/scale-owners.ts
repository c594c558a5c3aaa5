/**
 * The owners of an object's `spec.replicas`, as the owners of the Scale that stands for it, and back.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#using-server-side-apply-with-scale
 */
import type { metav1 } from "#api";
import { difference, intersection, isEmptySet, setOfPath, union } from "./field-set.ts";
import { encodeManagers, isSameManager, storedManagers } from "./managed-fields.ts";

type Entries = metav1.ManagedFieldsEntry[];

/** The same path in every built-in kind and in the Scale. */
const replicas = setOfPath("f:spec", "f:replicas");

export function ownersOfReplicas(owners: Readonly<Entries>): Entries {
  const managers = storedManagers(owners).map((manager) => ({
    ...manager,
    set: intersection(manager.set, replicas),
  }));
  return encodeManagers(managers) ?? [];
}

/** The object's owners with those of its Scale in place of whoever owned the replicas. */
export function ownersWithReplicas(
  owners: Readonly<Entries> | undefined,
  ofScale: Readonly<Entries> | undefined,
): Entries | undefined {
  const left = storedManagers(ofScale);
  const managers = storedManagers(owners).map((manager) => {
    const at = left.findIndex((other) => isSameManager(other, manager));
    if (at < 0) return { ...manager, set: difference(manager.set, replicas) };
    const [now] = left.splice(at, 1);
    return { ...manager, time: now!.time, set: union(manager.set, intersection(now!.set, replicas)) };
  });
  const added = left.map((manager) => ({ ...manager, set: intersection(manager.set, replicas) }));
  return encodeManagers([...managers, ...added].filter(({ set }) => !isEmptySet(set)));
}
