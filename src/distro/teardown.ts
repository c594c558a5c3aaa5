/** The end of a node: its pods, its containerd and its rules; with `purge` every file too. */
import { existsSync } from "node:fs";
import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, UserError, type World } from "#base";
import { stopHaproxy } from "#ingress";
import { createCgroups, forgetLogindDelay, machineLogFolders } from "#kubelet";
import { closeForeignCni, removePodNetwork, removeRoutes } from "#network";
import { removeProxy } from "#proxy";
import { cniBinDirs, endForeignPods, mountsBelow, stopContainerd, unmountBelow } from "#runtime";
import { type ClusterConfig, type ClusterPaths, cgroupRootOf, listClusters, pathsOf } from "./config.ts";
import { endDnsStandby } from "./dns-standby.ts";
import { bothOf } from "./families.ts";
import { endInstance } from "./instance.ts";
import { runtimeEndpointOf } from "./kubelet-settings.ts";
import { containerdOptions } from "./node.ts";

/** Ends a node that has a network namespace of its own: its rules and routes go with that. */
export async function stopAgent(world: World, config: ClusterConfig, paths: ClusterPaths): Promise<void> {
  await endInstance(world.clock, paths.pid, agentPatienceMs);
  await stopRuntime(world, config, paths);
  await unmountBelow(paths.dir);
  await removeCgroups(world, cgroupRootOf(config));
  await forgetLogindDelay(cgroupRootOf(config));
}

/**
 * Stops every pod and containerd, and removes rules, mounts and cgroups. Images and objects stay for the next start.
 */
export async function stopNode(world: World, config: ClusterConfig, paths: ClusterPaths): Promise<void> {
  await stopRuntime(world, config, paths);
  await stopHaproxy(paths.ingress, world);
  await endDnsStandby(paths, world.clock);
  await removeProxy(config.name);
  await removeRoutes(bothOf(config, "clusterCidr"), config.podCidr);
  if (config.cni === "none" || (await endpointOf(paths))) await closeForeignCni(cniBinDirs, paths.cniConf);
  await removePodNetwork({ clusterName: config.name, confDir: paths.cniConf, stateDir: paths.cniState });
  await unmountBelow(paths.dir);
  await removeCgroups(world, cgroupRootOf(config));
  await forgetLogindDelay(cgroupRootOf(config));
}

/** A configuration that nobody can read any more keeps nothing from ending. */
const endpointOf = (paths: ClusterPaths) => runtimeEndpointOf(paths).catch(() => undefined);

/** Every pod; and containerd, where it is our own. */
async function stopRuntime(world: World, config: ClusterConfig, paths: ClusterPaths): Promise<void> {
  if (existsSync(paths.containerd)) await stopContainerd(containerdOptions(world, config, paths));
  const endpoint = await endpointOf(paths);
  if (endpoint) await endForeignPods(endpoint, world, endPatienceMs);
}

const endPatienceMs = 5_000;
const agentPatienceMs = 15_000;
const removeTries = 20;
const betweenTriesMs = 50;

/** What still runs in there is what containerd lost sight of when it was killed; it ends a moment after its signal. */
async function removeCgroups(world: World, root: string): Promise<void> {
  const cgroups = createCgroups();
  for (let i = 0; i < removeTries && !(await cgroups.remove(root)); i++) {
    await cgroups.kill(root);
    await world.clock.sleep(betweenTriesMs);
  }
}

/** Pods of other clusters may be shown their logs there. */
async function removeLogFolders(paths: ClusterPaths): Promise<void> {
  if (listClusters().some(({ name }) => pathsOf(name).dir !== paths.dir)) return;
  for (const folder of machineLogFolders) await rmdir(folder).catch(() => {});
}

/** Every file of the cluster. */
export async function purge(paths: ClusterPaths): Promise<void> {
  await unmountBelow(paths.dir);
  const [mounted] = mountsBelow(paths.dir);
  // What is removed there is removed from the disk or the file server that is mounted.
  if (mounted) throw new UserError(`${mounted} is still mounted`, `umount ${mounted}, and then try again`);
  const entries = await readdir(paths.dir).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  });
  await removeLogFolders(paths);
  for (const entry of entries) await rm(join(paths.dir, entry), { recursive: true, force: true });
  await rmdir(paths.dir).catch((error: unknown) => {
    // A disk that the user has mounted there is emptied, and stays.
    if (codeOf(error) !== "EBUSY" && codeOf(error) !== "ENOENT") throw error;
  });
}
