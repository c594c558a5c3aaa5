/**
 * What stands behind a claim: the volume it is bound to, as a volume of the pod. Volumes that lie on this node can be
 * used; others need a CSI driver. https://kubernetes.io/docs/concepts/storage/persistent-volumes/#claims-as-volumes
 */
import { type corev1, isStatus, persistentVolumeClaims, persistentVolumes } from "#api";
import type { Client } from "#client";
import { VolumeError } from "#contracts";

type Volume = Readonly<corev1.Volume>;

/** Any other volume as it is. Throws `VolumeError` while there is nothing behind the claim. */
export async function behindClaim(
  client: Client,
  pod: Readonly<corev1.Pod>,
  volume: Volume,
): Promise<Volume> {
  const namespace = pod.metadata.namespace ?? "";
  const isOwn = volume.ephemeral !== undefined;
  const name = isOwn ? `${pod.metadata.name}-${volume.name}` : volume.persistentVolumeClaim?.claimName;
  if (name === undefined) return volume;
  const claim = await found(
    client.get(persistentVolumeClaims, { namespace, name }),
    `claim ${namespace}/${name}`,
  );
  const { ownerReferences = [], uid } = claim.metadata;
  if (isOwn && !ownerReferences.some((owner) => owner.uid === pod.metadata.uid))
    throw new VolumeError(
      `PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`,
    );
  const { volumeName } = claim.spec;
  if (claim.status?.phase !== "Bound" || !volumeName)
    throw new VolumeError(`PVC ${namespace}/${name} has no volume bound to it`);
  const { spec } = await found(client.get(persistentVolumes, { name: volumeName }), `volume ${volumeName}`);
  if (spec.claimRef?.uid !== uid) throw new VolumeError(`volume ${volumeName} is bound to another claim`);
  return sourceOf(volume.name, spec);
}

function sourceOf(name: string, { hostPath, local }: Readonly<corev1.PersistentVolumeSpec>): Volume {
  if (hostPath) return { name, hostPath };
  // Nobody makes a local volume: where it is not there, the wrong thing would be written to.
  if (local) return { name, hostPath: { path: local.path, type: "Directory" } };
  throw new VolumeError("this node has no plugin for this kind of volume");
}

async function found<T>(read: Promise<T>, what: string): Promise<T> {
  try {
    return await read;
  } catch (error) {
    throw isStatus(error, "NotFound") ? new VolumeError(`${what} is not there`) : error;
  }
}
