/**
 * File systems of other machines that a program of the host mounts. Where it is missing, the event says which package
 * brings it. https://kubernetes.io/docs/concepts/storage/volumes/#nfs
 */
import { defineVolumePlugin, noNeeds, VolumeError, type VolumePlan, type VolumePlugin } from "#contracts";

/** The same for all of them. */
const networkVolume: Pick<
  VolumePlugin,
  "live" | "needs" | "inspect" | "mount" | "unmount" | "rebuild" | "usage"
> = {
  live: false,
  needs: () => noNeeds,
  inspect: async ({ dir }, host) => ({ mounted: await host.isMounted(dir) }),
  async mount({ plan, dir }, host) {
    if (plan.kind !== "network") throw new VolumeError("not a file system of another machine");
    if (await host.isMounted(dir)) return dir;
    if (!host.hasProgram(plan.program))
      throw new VolumeError(
        `mounting ${plan.fsType} needs the program ${plan.program} on the node: apt-get install ${plan.debianPackage}`,
      );
    await host.ensureDirectory(dir, 0o750);
    await host.mount(plan.source, dir, plan.fsType, plan.options);
    return dir;
  },
  async unmount(dir, host) {
    await host.unmount(dir);
    await host.removeEmptyDirectory(dir);
  },
  rebuild: async (dir, host) => ({ path: dir, mounted: await host.isMounted(dir) }),
  usage: ({ path }, host) => host.fileSystemUsage(path),
};

export const nfsVolume = defineVolumePlugin({
  ...networkVolume,
  name: "nfs",
  directoryName: "kubernetes.io~nfs",
  plan(volume): VolumePlan {
    const { server, path, readOnly = false } = volume.nfs!;
    const { mountOptions = [] } = volume.persistent?.spec ?? {};
    return {
      kind: "network",
      // An address of IPv6 stands in brackets before the colon.
      source: `${server.includes(":") && !server.startsWith("[") ? `[${server}]` : server}:${path}`,
      fsType: "nfs",
      options: [...mountOptions, ...(readOnly ? ["ro"] : [])],
      program: "mount.nfs",
      debianPackage: "nfs-common",
    };
  },
});
