/** https://kubernetes.io/docs/concepts/storage/volumes/#hostpath */
import { defineVolumePlugin, type HostPathType, noNeeds, VolumeError } from "#contracts";
import { hostPathOf } from "./usual-folder.ts";

/** What each type demands to find, and its name in upstream's message. */
const expected: Record<string, { found: HostPathType; words: string }> = {
  Directory: { found: "directory", words: "directory" },
  DirectoryOrCreate: { found: "directory", words: "directory" },
  File: { found: "file", words: "file" },
  FileOrCreate: { found: "file", words: "file" },
  Socket: { found: "socket", words: "socket" },
  CharDevice: { found: "charDevice", words: "character device" },
  BlockDevice: { found: "blockDevice", words: "block device" },
};

export const hostPathVolume = defineVolumePlugin({
  name: "hostPath",
  directoryName: "kubernetes.io~host-path",
  live: false,
  needs: () => noNeeds,
  plan(volume, _sources, own) {
    const { path, type = "" } = volume.hostPath!;
    if (!path.startsWith("/") || path.split("/").includes(".."))
      throw new VolumeError(`invalid host path ${JSON.stringify(path)}`);
    return { kind: "host", path: hostPathOf(path, own), type };
  },
  async inspect({ plan }, host) {
    return { mounted: plan.kind === "host" && (await host.pathType(plan.path)) !== "absent" };
  },
  async mount({ plan }, host) {
    if (plan.kind !== "host") throw new VolumeError("not a path of the host");
    const { path, type } = plan;
    const found = await host.pathType(path);
    if (found === "absent" && (type === "DirectoryOrCreate" || type === ""))
      await host.ensureDirectory(path, 0o755);
    else if (found === "absent" && type === "FileOrCreate") await host.createFile(path, 0o644);
    else if (type !== "" && found !== expected[type]?.found) {
      throw new VolumeError(`hostPath type check failed: ${path} is not a ${expected[type]?.words ?? type}`);
    }
    return path;
  },
  async unmount() {},
  rebuild: async (dir) => ({ path: dir, mounted: false }),
  usage: async () => ({ usedBytes: 0 }),
});
