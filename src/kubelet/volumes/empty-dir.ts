/** https://kubernetes.io/docs/concepts/storage/volumes/#emptydir */
import { type corev1, quantityValue } from "#api";
import { defineVolumePlugin, noNeeds, type VolumeContext, VolumeError } from "#contracts";
import { podCgroup } from "../pod-resources.ts";

/**
 * No more than the pod's own limit of memory, or than all pods together may take.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-storage/1967-size-memory-backed-volumes
 */
function memorySize(
  pod: Readonly<corev1.Pod>,
  allocatable: VolumeContext["allocatable"],
  sizeLimit: corev1.EmptyDirVolumeSource["sizeLimit"],
): number {
  const limits = [
    quantityValue(allocatable.memory),
    podCgroup(pod).memoryLimitBytes,
    quantityValue(sizeLimit),
  ];
  const known = limits.filter((bytes) => bytes > 0);
  return known.length > 0 ? Math.min(...known) : 0;
}

const hugePages = "HugePages";
const hugePagesResource = "hugepages-";

/** The size that the medium names, or the only one that the containers ask for. */
function pageSizeOf(medium: string, { spec }: Readonly<corev1.Pod>): string {
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const asked = containers
    .flatMap(({ resources }) => Object.keys({ ...resources?.limits, ...resources?.requests }))
    .filter((name) => name.startsWith(hugePagesResource))
    .map((name) => name.slice(hugePagesResource.length));
  const isAny = medium === hugePages;
  const named = medium.slice(hugePages.length + 1);
  const sizes = [...new Set(asked)].filter((size) => isAny || quantityValue(size) === quantityValue(named));
  if (sizes.length > 1)
    throw new VolumeError(`medium: ${medium} can't be used if container requests multiple huge page sizes`);
  if (sizes.length === 0)
    throw new VolumeError(
      `medium ${medium}: hugePages storage requested, but there is no resource request for huge pages`,
    );
  return sizes[0]!;
}

export const emptyDirVolume = defineVolumePlugin({
  name: "emptyDir",
  directoryName: "kubernetes.io~empty-dir",
  live: false,
  needs: () => noNeeds,
  plan(volume, _sources, { pod, allocatable }) {
    const { medium = "", sizeLimit } = volume.emptyDir ?? {};
    if (medium === hugePages || medium.startsWith(`${hugePages}-`))
      return { kind: "hugePages", pageSize: pageSizeOf(medium, pod), mode: 0o777 };
    if (medium !== "" && medium !== "Memory")
      throw new VolumeError(`unknown storage medium ${JSON.stringify(medium)}`);
    const size = medium === "Memory" ? memorySize(pod, allocatable, sizeLimit) : quantityValue(sizeLimit);
    const isInMemory = medium === "Memory";
    return {
      kind: "directory",
      medium: isInMemory ? "memory" : "disk",
      // As the kernel makes its file systems in memory: nobody removes what is another's.
      mode: isInMemory ? 0o1777 : 0o777,
      ...(size > 0 ? { sizeLimitBytes: size } : {}),
    };
  },
  async inspect({ plan, dir }, host) {
    const isOnDisk = plan.kind === "directory" && plan.medium === "disk";
    if (!isOnDisk) return { mounted: await host.isMounted(dir) };
    return { mounted: (await host.pathType(dir)) === "directory" };
  },
  async mount({ plan, dir, fsGroup }, host) {
    if (plan.kind !== "directory" && plan.kind !== "hugePages") throw new VolumeError("not a folder");
    if ((await host.pathType(dir)) === "absent") await host.ensureDirectory(dir, plan.mode);
    if (plan.kind === "hugePages") {
      if (!(await host.isMounted(dir)))
        await host.mount("nodev", dir, "hugetlbfs", [
          `pagesize=${plan.pageSize}`,
          `mode=${plan.mode.toString(8)}`,
        ]);
    } else if (plan.medium === "memory") await host.mountTmpfs(dir, plan.sizeLimitBytes, plan.mode);
    // Nothing lies in it before it is the group's.
    if (fsGroup !== undefined) await host.setGroup(dir, fsGroup, true);
    return dir;
  },
  async unmount(dir, host) {
    await host.unmount(dir);
    await host.removeDirectory(dir);
  },
  rebuild: async (dir, host) => ({ path: dir, mounted: (await host.pathType(dir)) === "directory" }),
  usage: ({ path }, host) => host.usage(path),
});
