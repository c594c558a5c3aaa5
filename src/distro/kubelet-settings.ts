/**
 * What the kubelet of this machine is told: `kubelet.yaml` in the cluster's folder, in upstream's own form, and what
 * `kubelet.conf.d` beside it says otherwise.
 * https://kubernetes.io/docs/tasks/administer-cluster/kubelet-config-file/#kubelet-conf-d
 */
import { copyFile, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, messageOf, UserError, type World } from "#base";
import { type ConfigFile, type KubeletConfig, readKubeletConfiguration } from "#kubelet";
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

const dropInsMax = 100;

/** Without a file there are the defaults; pods of `static-pods` run in any case. Throws `UserError`. */
export async function kubeletSettings(world: World, paths: ClusterPaths): Promise<Partial<KubeletConfig>> {
  await mkdir(paths.staticPods, { recursive: true, mode: 0o700 });
  const defaults = { staticPodPath: paths.staticPods, evictionHard: lateEviction };
  const { config, unused } = readKubeletConfiguration(await filesOf(paths), defaults);
  if (unused.length > 0)
    world.log.warn({ file: paths.kubeletConfig, fields: unused }, "these settings change nothing here");
  return { ...defaults, ...config };
}

interface RuntimeSettings {
  /** The socket of a container runtime of the machine's own; undefined: the cluster has one. */
  endpoint: string | undefined;
  requestMs: number | undefined;
}

/** Throws `UserError`. */
export async function runtimeSettingsOf(paths: ClusterPaths): Promise<RuntimeSettings> {
  const { config } = readKubeletConfiguration(await filesOf(paths));
  if (config.runtimeEndpoint) socketPathOf(config.runtimeEndpoint);
  return { endpoint: config.runtimeEndpoint || undefined, requestMs: config.runtimeRequestMs };
}

/** Throws `UserError`. */
export async function runtimeEndpointOf(paths: ClusterPaths): Promise<string | undefined> {
  return (await runtimeSettingsOf(paths)).endpoint;
}

/** Takes the user's file, and those of a folder that say otherwise, over for good. Throws `UserError`. */
export async function keepKubeletConfig(
  given: { file?: string | undefined; dropIns?: string | undefined },
  paths: ClusterPaths,
): Promise<void> {
  const { file, dropIns } = given;
  if (file === undefined && dropIns === undefined) return;
  const main = file ?? paths.kubeletConfig;
  const own = await readOptional(main);
  if (file !== undefined && own === undefined)
    throw new UserError(`${file} is not there`, "name a KubeletConfiguration file");
  const folder = dropIns ?? paths.kubeletDropIns;
  const names = await dropInsOf(folder, dropIns !== undefined);
  const files = [...(own === undefined ? [] : [own]), ...(await Promise.all(names.map(readNamed(folder))))];
  readKubeletConfiguration(files, { evictionHard: lateEviction });
  await mkdir(paths.dir, { recursive: true, mode: 0o711 });
  if (file !== undefined) await copyFile(file, paths.kubeletConfig);
  if (dropIns === undefined) return;
  await rm(paths.kubeletDropIns, { recursive: true, force: true });
  await mkdir(paths.kubeletDropIns, { mode: 0o700 });
  for (const name of names) await copyFile(join(dropIns, name), join(paths.kubeletDropIns, name));
}

/** The first says least: what comes later holds. */
async function filesOf(paths: ClusterPaths): Promise<ConfigFile[]> {
  const own = await readOptional(paths.kubeletConfig);
  const names = await dropInsOf(paths.kubeletDropIns, false);
  const more = await Promise.all(names.map(readNamed(paths.kubeletDropIns)));
  return own === undefined ? more : [own, ...more];
}

async function dropInsOf(folder: string, isNamed: boolean): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith(".conf"));
    return names.sort().slice(0, dropInsMax);
  } catch (error) {
    if (codeOf(error) === "ENOENT" && !isNamed) return [];
    throw new UserError(
      `${folder} cannot be read: ${messageOf(error)}`,
      "name a folder of KubeletConfiguration files that end in .conf",
    );
  }
}

const readNamed = (folder: string) => async (name: string) => {
  const read = await readOptional(join(folder, name));
  if (!read) throw new UserError(`${join(folder, name)} is gone`, "try again");
  return read;
};

async function readOptional(file: string): Promise<ConfigFile | undefined> {
  try {
    return { file, content: await readFile(file, "utf8") };
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new UserError(`${file} cannot be read: ${messageOf(error)}`, "mend or remove it");
  }
}
