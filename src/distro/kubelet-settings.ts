/** What the kubelet of this machine is told: `kubelet.yaml` in the cluster's folder, in upstream's own form. */
import { copyFile, mkdir, readFile } from "node:fs/promises";
import { codeOf, messageOf, UserError, type World } from "#base";
import { type KubeletConfig, readKubeletConfiguration } from "#kubelet";
import { socketPathOf } from "#runtime";
import type { ClusterPaths } from "./config.ts";

/**
 * A node is often somebody's own machine, whose disk is fuller than a server's: pods are evicted later than upstream's
 * kubelet would, as in k3s.
 */
const lateEviction = {
  "memory.available": "100Mi",
  "nodefs.available": "5%",
  "nodefs.inodesFree": "5%",
  "imagefs.available": "5%",
  "imagefs.inodesFree": "5%",
};

/** Without a file there are the defaults; pods of `static-pods` run in any case. Throws `UserError`. */
export async function kubeletSettings(world: World, paths: ClusterPaths): Promise<Partial<KubeletConfig>> {
  await mkdir(paths.staticPods, { recursive: true, mode: 0o700 });
  const content = await readOptional(paths.kubeletConfig);
  const defaults = { staticPodPath: paths.staticPods, evictionHard: lateEviction };
  if (content === undefined) return defaults;
  const { config, unused } = readKubeletConfiguration(content, paths.kubeletConfig, defaults);
  if (unused.length > 0)
    world.log.warn({ file: paths.kubeletConfig, fields: unused }, "these settings change nothing here");
  return { ...defaults, ...config };
}

/** The socket of a container runtime of the machine's own; undefined: the cluster has one. Throws `UserError`. */
export async function runtimeEndpointOf(paths: ClusterPaths): Promise<string | undefined> {
  const content = await readOptional(paths.kubeletConfig);
  if (content === undefined) return undefined;
  const { runtimeEndpoint } = readKubeletConfiguration(content, paths.kubeletConfig).config;
  if (runtimeEndpoint) socketPathOf(runtimeEndpoint);
  return runtimeEndpoint || undefined;
}

/** Takes a file of the user's over for good. Throws `UserError` where it cannot be used. */
export async function keepKubeletConfig(file: string, paths: ClusterPaths): Promise<void> {
  try {
    readKubeletConfiguration(await readFile(file, "utf8"), file, { evictionHard: lateEviction });
    await mkdir(paths.dir, { recursive: true, mode: 0o711 });
    await copyFile(file, paths.kubeletConfig);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${file} cannot be read: ${messageOf(error)}`, "name a KubeletConfiguration file");
  }
}

async function readOptional(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new UserError(`${file} cannot be read: ${messageOf(error)}`, "mend or remove it");
  }
}
