/**
 * What an image holds, as a volume to read. The image is there before it is mounted: pulling is not a volume's work.
 * https://kubernetes.io/docs/concepts/storage/volumes/#image
 */
import { type ContainerRuntime, defineVolumePlugin, noNeeds, VolumeError } from "#contracts";

export function imageVolume(runtime: Pick<ContainerRuntime, "mountImage" | "unmountImage">) {
  return defineVolumePlugin({
    name: "image",
    directoryName: "kubernetes.io~image",
    live: false,
    needs: () => noNeeds,
    plan: (volume) => ({ kind: "host", path: volume.image?.reference ?? "", type: "" }),
    inspect: async ({ dir }, host) => ({ mounted: await host.isMounted(dir) }),
    async mount({ plan, dir }) {
      if (plan.kind !== "host") throw new VolumeError("not an image");
      await runtime.mountImage(plan.path, dir);
      return dir;
    },
    unmount: (dir) => runtime.unmountImage(dir),
    rebuild: async (dir, host) => ({ path: dir, mounted: await host.isMounted(dir) }),
    usage: async () => ({ usedBytes: 0 }),
  });
}
