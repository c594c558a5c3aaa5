/**
 * The next step for a PersistentVolume: to be available, bound or released, and what becomes of it then.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming
 */
import { boundByController, type Told } from "./claim.ts";
import type { Claim, Volume } from "./matching.ts";

const provisionedBy = "pv.kubernetes.io/provisioned-by";

export interface VolumeState {
  readonly kind: "volume";
  readonly volume: Volume;
  /** The claim of the name that the volume bears, which may be another object by now. */
  readonly claim: Claim | undefined;
}

export interface VolumePlan {
  readonly kind: "volume";
  readonly volume: Volume;
  readonly phase?: "Available" | "Bound" | "Released" | "Failed";
  /** Why it has failed. */
  readonly message?: string;
  /** It is to belong to nobody again. */
  readonly unbind?: boolean;
  readonly tell?: Told;
}

type Step = Omit<VolumePlan, "kind" | "volume">;

export function decideVolume({ volume, claim }: Readonly<VolumeState>): VolumePlan | undefined {
  const step = stepOf(volume, claim);
  const isSettled = step.phase === volume.status?.phase && !step.unbind;
  return isSettled ? undefined : { kind: "volume", volume, ...step };
}

function stepOf(volume: Volume, claim: Claim | undefined): Step {
  const { claimRef } = volume.spec;
  // A name alone keeps the volume for a claim that may come.
  if (!claimRef?.uid) return { phase: "Available" };
  if (!claim || claim.metadata.uid !== claimRef.uid) return reclaim(volume);
  if (!claim.spec.volumeName) return { phase: volume.status?.phase === "Bound" ? "Bound" : "Available" };
  if (claim.spec.volumeName === volume.metadata.name) return { phase: "Bound" };
  // The claim has found another volume.
  const isProvisioned = volume.metadata.annotations?.[provisionedBy] !== undefined;
  if (isProvisioned && volume.spec.persistentVolumeReclaimPolicy === "Delete") return reclaim(volume);
  return { phase: "Available", unbind: true };
}

/** Whoever provisioned a volume deletes it; nobody here knows how to empty or delete one. */
function reclaim(volume: Volume): Step {
  const phase = volume.status?.phase;
  if (phase === "Failed") return { phase };
  if (phase !== "Released") return { phase: "Released" };
  const { persistentVolumeReclaimPolicy: policy } = volume.spec;
  if (policy === "Recycle") return failed("VolumeFailedRecycle", "No recycler plugin found for the volume!");
  const isExternal =
    volume.metadata.annotations?.[provisionedBy] !== undefined || volume.spec.csi !== undefined;
  if (policy !== "Delete" || isExternal) return { phase: "Released" };
  const name = volume.metadata.name;
  return failed(
    "VolumeFailedDelete",
    `error getting deleter volume plugin for volume "${name}": no deletable volume plugin matched`,
  );
}

function failed(reason: string, message: string): Step {
  return { phase: "Failed", message, tell: { kind: "Warning", reason, message } };
}

/** The volume as it is to be once it belongs to nobody: a name that its administrator gave stays. */
export function unbindVolume(volume: Volume): Volume {
  const { [boundByController]: byController, ...annotations } = volume.metadata.annotations ?? {};
  const { claimRef, ...spec } = volume.spec;
  const { uid: _uid, resourceVersion: _revision, ...name } = claimRef ?? {};
  return {
    ...volume,
    metadata: { ...volume.metadata, annotations },
    spec: byController === undefined && claimRef ? { ...spec, claimRef: name } : spec,
  };
}
