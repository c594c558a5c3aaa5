/**
 * NodeVolumeLimits: a node attaches only so many volumes of a CSI driver, as its CSINode says.
 * https://kubernetes.io/docs/concepts/storage/storage-limits/
 */
import { defineSchedulerPlugin, rejection, type StorageLookups } from "../define-plugin.ts";
import type { Pod } from "../pod-info.ts";
import { claimNames, classOf, podClaims } from "../pod-volumes.ts";

interface Prepared {
  storage: StorageLookups;
  /** Volumes of the pod by driver. */
  wanted: ReadonlyMap<string, ReadonlySet<string>>;
}

const tooMany = rejection("node(s) exceed max volume count");

/** Every volume once, by the driver that attaches it; claims without a volume count as what will be made for them. */
function attached(pods: Iterable<Pod>, storage: StorageLookups): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  const note = (driver: string | undefined, handle: string) => {
    if (!driver) return;
    const there = found.get(driver) ?? new Set<string>();
    found.set(driver, there.add(handle));
  };
  for (const pod of pods) {
    if (claimNames(pod).length === 0) continue;
    const { bound, waiting } = podClaims(pod, storage);
    for (const { volume } of bound) note(volume.spec?.csi?.driver, volume.spec?.csi?.volumeHandle ?? "");
    for (const claim of waiting)
      note(
        storage.storageClass(classOf(claim))?.provisioner,
        `${claim.metadata.namespace}/${claim.metadata.name}`,
      );
  }
  return found;
}

export const nodeVolumeLimits = defineSchedulerPlugin<Prepared>({
  name: "NodeVolumeLimits",
  wakes: [{ on: "NodeAdded" }, { on: "PodDeleted" }, { on: "StorageChanged" }],
  prepare({ pod }, _snapshot, { storage }) {
    if (claimNames(pod).length === 0) return undefined;
    const wanted = attached([pod], storage);
    return wanted.size > 0 ? { storage, wanted } : undefined;
  },
  filter(_info, node, { storage, wanted }) {
    const drivers = storage.csiNode(node.name)?.spec.drivers ?? [];
    const limited = drivers.filter(
      ({ name, allocatable }) => wanted.has(name) && allocatable?.count !== undefined,
    );
    if (limited.length === 0) return undefined;
    const there = attached(
      [...node.pods.values()].map((info) => info.pod),
      storage,
    );
    for (const { name, allocatable } of limited) {
      const all = new Set([...(there.get(name) ?? []), ...wanted.get(name)!]);
      const isNew = all.size > (there.get(name)?.size ?? 0);
      if (isNew && all.size > allocatable!.count!) return tooMany;
    }
    return undefined;
  },
});
