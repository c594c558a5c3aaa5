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

export const emptyDirVolume = defineVolumePlugin({
  name: "emptyDir",
  directoryName: "kubernetes.io~empty-dir",
  live: false,
  needs: () => noNeeds,
  plan(volume, _sources, { pod, allocatable }) {
    const { medium = "", sizeLimit } = volume.emptyDir ?? {};
    if (medium !== "" && medium !== "Memory")
      throw new VolumeError(`unknown storage medium ${JSON.stringify(medium)}`);
    const size = medium === "Memory" ? memorySize(pod, allocatable, sizeLimit) : quantityValue(sizeLimit);
    return {
      kind: "directory",
      medium: medium === "Memory" ? "memory" : "disk",
      mode: 0o777,
      ...(size > 0 ? { sizeLimitBytes: size } : {}),
    };
  },
  async inspect({ plan, dir }, host) {
    if (plan.kind === "directory" && plan.medium === "memory") return { mounted: await host.isMounted(dir) };
    return { mounted: (await host.pathType(dir)) === "directory" };
  },
  async mount({ plan, dir, fsGroup }, host) {
    if (plan.kind !== "directory") throw new VolumeError("not a folder");
    if ((await host.pathType(dir)) === "absent") await host.ensureDirectory(dir, plan.mode);
    if (plan.medium === "memory") await host.mountTmpfs(dir, plan.sizeLimitBytes, plan.mode);
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
