/** VolumeRestrictions: some disks serve one pod of a node, some claims one pod of the cluster. */
import type { corev1 } from "#api";
import { defineSchedulerPlugin, rejection } from "../define-plugin.ts";
import type { Pod } from "../pod-info.ts";
import { claimNames, podClaims } from "../pod-volumes.ts";

type PodVolume = Readonly<corev1.Volume>;

interface Prepared {
  disks: readonly PodVolume[];
  /** A claim for one pod only is in another's hands. */
  inUse: boolean;
}

const diskTaken = rejection("node(s) had no available disk");
const claimTaken = rejection(
  "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
);

function disksOf({ spec }: Pod): readonly PodVolume[] {
  return (spec.volumes ?? []).filter(
    (volume) => volume.gcePersistentDisk || volume.awsElasticBlockStore || volume.iscsi || volume.rbd,
  );
}

function conflicts(a: PodVolume, b: PodVolume): boolean {
  const [gceA, gceB] = [a.gcePersistentDisk, b.gcePersistentDisk];
  if (gceA && gceB) return gceA.pdName === gceB.pdName && !(gceA.readOnly && gceB.readOnly);
  if (a.awsElasticBlockStore && b.awsElasticBlockStore)
    return a.awsElasticBlockStore.volumeID === b.awsElasticBlockStore.volumeID;
  if (a.iscsi && b.iscsi) return a.iscsi.iqn === b.iscsi.iqn && !(a.iscsi.readOnly && b.iscsi.readOnly);
  if (!a.rbd || !b.rbd) return false;
  const [{ monitors: one }, { monitors: other }] = [a.rbd, b.rbd];
  const sameImage = (a.rbd.pool ?? "rbd") === (b.rbd.pool ?? "rbd") && a.rbd.image === b.rbd.image;
  return sameImage && one.some((each) => other.includes(each)) && !(a.rbd.readOnly && b.rbd.readOnly);
}

export const volumeRestrictions = defineSchedulerPlugin<Prepared>({
  name: "VolumeRestrictions",
  wakes: [{ on: "NodeAdded" }, { on: "PodDeleted" }, { on: "StorageChanged" }],
  prepare({ pod, key }, snapshot, { storage }) {
    const disks = disksOf(pod);
    const names = claimNames(pod);
    if (disks.length + names.length === 0) return undefined;
    const { bound, waiting } = podClaims(pod, storage);
    const exclusive = [...bound.map(({ claim }) => claim), ...waiting]
      .filter(({ spec }) => spec?.accessModes?.includes("ReadWriteOncePod"))
      .map(({ metadata }) => metadata.name);
    // Rare enough to go over all pods for it.
    const uses = (other: Pod) =>
      other.metadata.namespace === pod.metadata.namespace &&
      claimNames(other).some(({ name }) => exclusive.includes(name));
    const inUse =
      exclusive.length > 0 &&
      snapshot.nodes.some((node) =>
        [...node.pods.values()].some((each) => each.key !== key && uses(each.pod)),
      );
    return disks.length > 0 || inUse ? { disks, inUse } : undefined;
  },
  filter(_info, node, { disks, inUse }) {
    if (disks.length > 0) {
      for (const { pod } of node.pods.values()) {
        if (disksOf(pod).some((taken) => disks.some((wanted) => conflicts(wanted, taken)))) return diskTaken;
      }
    }
    return inUse ? claimTaken : undefined;
  },
});
