/**
 * Which PersistentVolume serves a claim: the smallest that has all it asks for.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#binding
 */
import { compareQuantities, type corev1, selectorMatches, storageClassOf } from "#api";

export type Volume = Readonly<corev1.PersistentVolume>;
export type Claim = Readonly<corev1.PersistentVolumeClaim>;

/** The volume names this claim, by name alone or as the very object. */
export function isForClaim({ spec }: Volume, { metadata }: Claim): boolean {
  const { claimRef } = spec;
  if (!claimRef || claimRef.name !== metadata.name || claimRef.namespace !== metadata.namespace) return false;
  return !claimRef.uid || claimRef.uid === metadata.uid;
}

function volumeModeOf({ spec }: Volume | Claim): string {
  return spec.volumeMode ?? "Filesystem";
}

function isLargeEnough(volume: Volume, claim: Claim): boolean {
  const wanted = claim.spec.resources?.requests?.storage ?? 0;
  return compareQuantities(volume.spec.capacity?.storage ?? 0, wanted) >= 0;
}

/** Why a volume that the claim names cannot be its; undefined where it can. */
export function mismatch(volume: Volume, claim: Claim): string | undefined {
  if (!isLargeEnough(volume, claim)) return "requested PV is too small";
  if (storageClassOf(volume) !== storageClassOf(claim)) return "storageClassName does not match";
  if (volumeModeOf(volume) !== volumeModeOf(claim)) return "incompatible volumeMode";
  if ((volume.spec.volumeAttributesClassName ?? "") !== (claim.spec.volumeAttributesClassName ?? ""))
    return "VolumeAttributesClassName does not match";
  return hasAccessModes(volume, claim) ? undefined : "incompatible accessMode";
}

function hasAccessModes(volume: Volume, claim: Claim): boolean {
  return (claim.spec.accessModes ?? []).every((mode) => volume.spec.accessModes?.includes(mode));
}

function isCandidate(volume: Volume, claim: Claim): boolean {
  const { selector } = claim.spec;
  if (volume.spec.claimRef || volume.status?.phase !== "Available") return false;
  if (mismatch(volume, claim) !== undefined) return false;
  return !selector || selectorMatches(selector, volume.metadata.labels ?? {});
}

function bySize(a: Volume, b: Volume): number {
  const order = compareQuantities(a.spec.capacity?.storage ?? 0, b.spec.capacity?.storage ?? 0);
  return order || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** A volume that waits for this claim comes first. With `waits`, the scheduler chooses among all others. */
export function bestMatch(volumes: readonly Volume[], claim: Claim, waits: boolean): Volume | undefined {
  const free = volumes.filter((volume) => !volume.metadata.deletionTimestamp);
  const kept = free.filter(
    (volume) =>
      isForClaim(volume, claim) &&
      isLargeEnough(volume, claim) &&
      hasAccessModes(volume, claim) &&
      volumeModeOf(volume) === volumeModeOf(claim),
  );
  if (kept.length > 0 || waits) return kept.sort(bySize)[0];
  return free.filter((volume) => isCandidate(volume, claim)).sort(bySize)[0];
}
