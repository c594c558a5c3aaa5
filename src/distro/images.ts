/** The images of a running cluster's node, through its containerd. */
import { existsSync } from "node:fs";
import { flushDisk, runOk, UserError, type World } from "#base";
import type { Image } from "#contracts";
import { buildImage, busyboxLayer, findContainerd, openImages } from "#runtime";
import type { ClusterPaths } from "./config.ts";
import { runtimeEndpointOf } from "./kubelet-settings.ts";

async function withImages<T>(
  world: World,
  name: string,
  paths: ClusterPaths,
  work: (images: Opened) => Promise<T>,
): Promise<T> {
  const endpoint = await runtimeEndpointOf(paths);
  if (endpoint)
    throw new UserError(
      `the images of "${name}" are in the machine's own runtime at ${endpoint}`,
      "use its tools: podman load (CRI-O), ctr -n k8s.io images import (containerd), crictl images",
    );
  if (findContainerd(paths.containerd) === undefined) {
    throw new UserError(
      `the cluster "${name}" does not run here with containers`,
      `start it with: knarr up --name ${name}`,
    );
  }
  const images = openImages(world, paths.containerd);
  try {
    return await work(images);
  } finally {
    images.close();
  }
}

type Opened = ReturnType<typeof openImages>;

/** Debian's busybox-static: one program without libraries. */
const busyboxFile = "/bin/busybox";

/** An image of this machine's own busybox under `image`, with every applet's link: no registry, no network. */
export async function makeBusyboxImage(
  world: World,
  name: string,
  paths: ClusterPaths,
  image: string,
): Promise<string[]> {
  if (!existsSync(busyboxFile)) {
    throw new UserError(`there is no ${busyboxFile} on this machine`, "apt-get install busybox-static");
  }
  const applets = (await runOk(busyboxFile, ["--list"])).trim().split("\n");
  const layer = busyboxLayer(busyboxFile, applets);
  const archive = await buildImage({ name: image, layers: [layer], config: { cmd: ["sh"] } });
  return importWhole(world, name, paths, archive);
}

/** containerd unpacks without flushing: what is said to be there must outlast a cut of power. */
async function importWhole(
  world: World,
  name: string,
  paths: ClusterPaths,
  source: string | Uint8Array,
): Promise<string[]> {
  const names = await withImages(world, name, paths, (images) => images.import(source));
  await flushDisk(paths.containerd);
  return names;
}

/** Answers the names of the images that `file` held. */
export function loadImages(world: World, name: string, paths: ClusterPaths, file: string): Promise<string[]> {
  return importWhole(world, name, paths, file);
}

/** Writes an image of the node to `file`, as `docker save` would. */
export function exportImage(
  world: World,
  name: string,
  paths: ClusterPaths,
  image: string,
  file: string,
): Promise<void> {
  return withImages(world, name, paths, (images) => images.export(image, file));
}

export function listImages(world: World, name: string, paths: ClusterPaths): Promise<Image[]> {
  return withImages(world, name, paths, (images) => images.list());
}

export function removeImages(world: World, name: string, paths: ClusterPaths, image: string): Promise<void> {
  return withImages(world, name, paths, (images) => images.remove(image));
}
