/** The end of a node: its pods, its containerd and its rules; with `purge` every file too. */
import { existsSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, type World } from "#base";
import type { ContainerRuntime } from "#contracts";
import { removePodNetwork, removeRoutes } from "#network";
import { removeProxy } from "#proxy";
import { type Containerd, startContainerd, unmountBelow } from "#runtime";
import { type ClusterConfig, type ClusterPaths, cgroupRootOf } from "./config.ts";
import { cniBinDirs } from "./preflight.ts";

/** What containers get to end by themselves. */
const graceSeconds = 3;
/** containerd stops and removes this many pods at one time. */
const podsAtOnce = 16;

/**
 * Stops every pod and containerd, and removes rules, mounts and cgroups. containerd is started where it is dead: only
 * it knows how to end containers that outlived it. Images and objects stay for the next start.
 */
export async function stopNode(world: World, config: ClusterConfig, paths: ClusterPaths): Promise<void> {
  if (existsSync(paths.containerd)) {
    const containerd = await startContainerd({
      dir: paths.containerd,
      world,
      cniConfDir: paths.cniConf,
      cniBinDirs,
      registryConfigDir: paths.registries,
    });
    await endPods(world, containerd);
    await containerd.stop();
  }
  await removeProxy(config.name);
  await removeRoutes(config.clusterCidr);
  await removePodNetwork({ clusterName: config.name, confDir: paths.cniConf, stateDir: paths.cniState });
  await unmountBelow(paths.dir);
  await removeCgroups(cgroupRootOf(config.name));
}

/** Every file of the cluster. */
export async function purge(paths: ClusterPaths): Promise<void> {
  await unmountBelow(paths.dir);
  await rm(paths.dir, { recursive: true, force: true });
}

async function endPods(world: World, { runtime }: Containerd): Promise<void> {
  const note = (what: string) => (error: unknown) => world.log.warn({ error: messageOf(error) }, what);
  const containers = await runtime.listContainers();
  const running = containers.filter((c) => c.state === "CONTAINER_RUNNING");
  await Promise.all(
    running.map((c) => runtime.stopContainer(c.id, graceSeconds).catch(note("a container did not stop"))),
  );
  await inBatches(await sandboxIds(runtime), podsAtOnce, async (id) => {
    await runtime.stopPodSandbox(id).catch(note("a pod did not stop"));
    await runtime.removePodSandbox(id).catch(note("a pod could not be removed"));
  });
}

async function sandboxIds(runtime: ContainerRuntime): Promise<string[]> {
  return (await runtime.listPodSandboxes()).map((sandbox) => sandbox.id);
}

async function inBatches<T>(
  items: readonly T[],
  size: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  for (let i = 0; i < items.length; i += size) await Promise.all(items.slice(i, i + size).map(work));
}

/** The cluster's own cgroups in every hierarchy (v1 has one per controller), innermost first. */
async function removeCgroups(name: string): Promise<void> {
  const base = "/sys/fs/cgroup";
  const hierarchies = (await readdir(base, { withFileTypes: true }))
    .filter((d) => d.isDirectory())
    .map((d) => join(base, d.name));
  for (const root of [base, ...hierarchies]) await removeTree(join(root, name));
}

/** cgroup folders cannot be removed recursively: their files are the kernel's. */
async function removeTree(dir: string): Promise<void> {
  if (!existsSync(dir)) return;
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(dir, entry.name));
  }
  // A process that is still ending holds its cgroup for a moment; the next teardown removes it.
  await rmdir(dir).catch(() => {});
}
