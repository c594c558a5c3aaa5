/**
 * A disk or folder of this node that somebody has made: a folder is used as it is, a device is mounted (and formatted
 * when it holds nothing), or given to the pod as a device. https://kubernetes.io/docs/concepts/storage/volumes/#local
 */
import {
  defineVolumePlugin,
  type HostPathType,
  type MountRequest,
  noNeeds,
  VolumeError,
  type VolumeHost,
  type VolumePlan,
} from "#contracts";

type LocalPlan = Extract<VolumePlan, { kind: "local" }>;

export const localVolume = defineVolumePlugin({
  name: "local",
  directoryName: "kubernetes.io~local-volume",
  live: false,
  needs: () => noNeeds,
  plan(volume) {
    const { path, fsType = "ext4" } = volume.local!;
    if (!path.startsWith("/") || path.split("/").includes(".."))
      throw new VolumeError(`invalid local path ${JSON.stringify(path)}`);
    const { volumeMode, mountOptions = [] } = volume.persistent?.spec ?? {};
    return { kind: "local", path, isBlock: volumeMode === "Block", fsType, options: mountOptions };
  },
  async inspect({ plan, dir }, host) {
    if (plan.kind !== "local") return { mounted: false };
    const found = await host.pathType(plan.path);
    if (found !== "blockDevice" || plan.isBlock) return { mounted: found !== "absent" };
    return { mounted: await host.isMounted(dir) };
  },
  async mount(request, host) {
    const { plan, fsGroup, fsGroupChangePolicy } = request;
    if (plan.kind !== "local") throw new VolumeError("not a local volume");
    const found = await host.pathType(plan.path);
    if (plan.isBlock) return deviceOf(plan, found);
    // The pod's own folder is there from the first time on: what it was given then is not given again.
    const isAgain = (await host.pathType(request.dir)) === "directory";
    const path = await folderOf(request, plan, found, host);
    if (fsGroup !== undefined)
      await host.setGroup(path, fsGroup, isAgain || fsGroupChangePolicy === "OnRootMismatch");
    if (path !== request.dir) await host.ensureDirectory(request.dir, 0o750);
    return path;
  },
  async unmount(dir, host) {
    await host.unmount(dir);
    await host.removeEmptyDirectory(dir);
  },
  rebuild: async (dir, host) => ({ path: dir, mounted: await host.isMounted(dir) }),
  usage: ({ path }, host) => host.fileSystemUsage(path),
});

function deviceOf({ path }: LocalPlan, found: HostPathType): string {
  if (found === "blockDevice") return path;
  const why = found === "absent" ? "does not exist" : "is not a block device";
  throw new VolumeError(`path ${JSON.stringify(path)} ${why}`, "MapVolume.SetUpDevice");
}

async function folderOf(
  { dir }: MountRequest,
  { path, fsType, options }: LocalPlan,
  found: HostPathType,
  host: VolumeHost,
): Promise<string> {
  if (found === "directory") return path;
  // Nobody makes a local volume: where it is not there, the wrong thing would be written to.
  if (found !== "blockDevice") {
    const why = found === "absent" ? "does not exist" : "is neither a directory nor a block device";
    throw new VolumeError(`path ${JSON.stringify(path)} ${why}`);
  }
  if (await host.isMounted(dir)) return dir;
  await host.ensureDirectory(dir, 0o750);
  await host.format(path, fsType);
  await host.mount(path, dir, fsType, options);
  return dir;
}
