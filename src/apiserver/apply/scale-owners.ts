/**
 * The owners of an object's `spec.replicas`, as the owners of the Scale that stands for it, and back.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#using-server-side-apply-with-scale
 */
import type { metav1 } from "#api";
import {
  difference,
  emptySet,
  type FieldSet,
  intersection,
  isEmptySet,
  setOfPath,
  union,
} from "./field-set.ts";
import { encodeManagers, isSameManager, storedManagers } from "./managed-fields.ts";

type Entries = metav1.ManagedFieldsEntry[];

/** Where a Scale has them, and every built-in kind. */
const ofScale = setOfPath("f:spec", "f:replicas");

/** The field that holds an object's replicas. */
function replicasAt(path: readonly string[]): FieldSet {
  return setOfPath(...path.map((name) => `f:${name}`));
}

export function ownersOfReplicas(owners: Readonly<Entries>, path: readonly string[]): Entries {
  const replicas = replicasAt(path);
  const managers = storedManagers(owners).map((manager) => ({
    ...manager,
    set: isEmptySet(intersection(manager.set, replicas)) ? emptySet : ofScale,
  }));
  return encodeManagers(managers) ?? [];
}

/** The object's owners with those of its Scale in place of whoever owned the replicas. */
export function ownersWithReplicas(
  owners: Readonly<Entries> | undefined,
  scaleOwners: Readonly<Entries> | undefined,
  path: readonly string[],
): Entries | undefined {
  const replicas = replicasAt(path);
  const left = storedManagers(scaleOwners);
  const managers = storedManagers(owners).map((manager) => {
    const at = left.findIndex((other) => isSameManager(other, manager));
    if (at < 0) return { ...manager, set: difference(manager.set, replicas) };
    const [now] = left.splice(at, 1);
    return { ...manager, time: now!.time, set: union(manager.set, replicas) };
  });
  const added = left.map((manager) => ({ ...manager, set: replicas }));
  return encodeManagers([...managers, ...added].filter(({ set }) => !isEmptySet(set)));
}
