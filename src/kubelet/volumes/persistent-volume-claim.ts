/**
 * What stands behind a claim: the source of the volume it is bound to, in the place of the claim.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/#claims-as-volumes
 */
import { type corev1, persistentVolumeClaims, persistentVolumes } from "#api";
import { messageOf } from "#base";
import type { Client } from "#client";
import { type MountableVolume, type PersistentSource, VolumeError } from "#contracts";

type Volume = Readonly<corev1.Volume>;
type Claim = Readonly<corev1.PersistentVolumeClaim>;

/** The claim of a volume, by name or made for the pod. */
export function claimNameOf(pod: Readonly<corev1.Pod>, volume: Volume): string | undefined {
  return volume.ephemeral ? `${pod.metadata.name}-${volume.name}` : volume.persistentVolumeClaim?.claimName;
}

/** Any other volume as it is. Throws `VolumeError` while there is nothing behind the claim. */
export async function behindClaim(
  client: Client,
  pod: Readonly<corev1.Pod>,
  volume: Volume,
  isMounted = false,
): Promise<Readonly<MountableVolume>> {
  const name = claimNameOf(pod, volume);
  if (name === undefined) return volume;
  const ref = { namespace: pod.metadata.namespace ?? "", name };
  try {
    const claim = await read("PVC", client.get(persistentVolumeClaims, ref));
    checkClaim(pod, volume, claim, isMounted);
    return sourceOf(volume, await volumeOf(client, claim));
  } catch (error) {
    throw new VolumeError(`error processing PVC ${ref.namespace}/${name}: ${messageOf(error)}`);
  }
}

function checkClaim(pod: Readonly<corev1.Pod>, volume: Volume, claim: Claim, isMounted: boolean): void {
  const { name, namespace, ownerReferences = [], deletionTimestamp } = claim.metadata;
  if (volume.ephemeral && !ownerReferences.some((owner) => owner.uid === pod.metadata.uid))
    throw new VolumeError(
      `PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`,
    );
  // What a pod holds already is protected from the deletion until the pod has ended.
  if (deletionTimestamp && !isMounted) throw new VolumeError("PVC is being deleted");
  if (claim.status?.phase !== "Bound") throw new VolumeError("PVC is not bound");
  if (!claim.spec.volumeName) throw new VolumeError("PVC has empty pvc.Spec.VolumeName");
}

async function volumeOf(client: Client, claim: Claim): Promise<PersistentSource> {
  const { volumeName: name = "" } = claim.spec;
  const { spec } = await read(`PV ${name}`, client.get(persistentVolumes, { name }));
  const { uid } = claim.metadata;
  if (!spec.claimRef)
    throw new VolumeError(
      `found PV object ${name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim`,
    );
  if (spec.claimRef.uid !== uid)
    throw new VolumeError(
      `found PV object ${name} but its pv.Spec.ClaimRef.UID ${spec.claimRef.uid} does not point to claim.UID ${uid}`,
    );
  return { name, spec, claim };
}

/** Everything of the specification that is not the volume's source. */
const common: ReadonlySet<string> = new Set([
  "accessModes",
  "capacity",
  "claimRef",
  "mountOptions",
  "nodeAffinity",
  "persistentVolumeReclaimPolicy",
  "storageClassName",
  "volumeAttributesClassName",
  "volumeMode",
]);

function sourceOf({ name, persistentVolumeClaim }: Volume, persistent: PersistentSource): MountableVolume {
  const sources = Object.entries(persistent.spec).filter(([key]) => !common.has(key));
  const readOnly = persistentVolumeClaim?.readOnly;
  return {
    name,
    ...Object.fromEntries(sources),
    persistent: { ...persistent, ...(readOnly ? { readOnly } : {}) },
  };
}

async function read<T>(what: string, answer: Promise<T>): Promise<T> {
  return answer.catch((error: unknown) => {
    throw new VolumeError(`failed to fetch ${what} from API server: ${messageOf(error)}`);
  });
}
