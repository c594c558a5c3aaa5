/** The pod network of this node: kernel settings, the CNI configuration and the masquerading of outward traffic. */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { applyNftRules, deleteNftTable, forComponent, messageOf, nftTableName, run, type World } from "#base";
import { cniConfig } from "./cni-config.ts";
import { cniConfigName } from "./foreign-cni.ts";
import { enableForwarding, forwardingNote, restoreForwarding } from "./forwarding.ts";
import { familyOf, masqueradeRules } from "./masquerade.ts";
import { removePolicies } from "./policy/start-policies.ts";

export interface PodNetworkOptions {
  clusterName: string;
  /** One of each family. */
  clusterCidrs: readonly string[];
  podCidrs: readonly string[];
  /** containerd's CNI `conf_dir`; nothing else may write there. */
  confDir: string;
  /** Private state: address leases. Goes with the node. */
  stateDir: string;
}

/** Which of the cluster's nftables tables this is. */
const part = "network";
/** How often the rules are looked at, in case somebody flushed them. */
const verifyMs = 15_000;

/** Idempotent: a restarted agent calls it again and running pods keep their addresses. */
export async function startPodNetwork(options: PodNetworkOptions): Promise<void> {
  await mkdir(options.confDir, { recursive: true });
  await mkdir(options.stateDir, { recursive: true });
  await enableForwarding(options.podCidrs.map(familyOf), options.stateDir);
  await writeCniConfig(options);
  await masquerade(options);
}

type Masquerading = Pick<PodNetworkOptions, "clusterName" | "clusterCidrs" | "podCidrs" | "stateDir">;

async function masquerade({ clusterName, clusterCidrs, podCidrs, stateDir }: Masquerading): Promise<void> {
  const notes: Record<string, string> = {};
  for (const family of podCidrs.map(familyOf)) {
    const note = await forwardingNote(family, stateDir);
    if (note) notes[family] = note;
  }
  const table = nftTableName(clusterName, part);
  await applyNftRules(masqueradeRules({ table, clusterCidrs, podCidrs, notes }));
}

/** Mends what others undo: the way out of the pods, and forwarding itself. */
export function keepPodNetwork(world: World, options: Masquerading): { stop(): Promise<void> } {
  const { log } = forComponent(world, "pod-network");
  let work = Promise.resolve();
  const look = async () => {
    try {
      const families = options.podCidrs.map(familyOf);
      await enableForwarding(families);
      const stand = await Promise.all(families.map((family) => stands(options.clusterName, family)));
      if (!stand.every(Boolean)) await masquerade(options);
    } catch (error) {
      log.warn({ error: messageOf(error) }, "the way out of the pods could not be looked at");
    }
  };
  const timer = world.clock.every(verifyMs, () => {
    work = work.then(look);
  });
  return {
    async stop() {
      timer.cancel();
      await work;
    },
  };
}

async function stands(clusterName: string, family: "ip" | "ip6"): Promise<boolean> {
  const chain = ["list", "chain", family, nftTableName(clusterName, part), "postrouting"];
  const { code, stdout } = await run("nft", chain);
  return code === 0 && stdout.includes("masquerade");
}

/** Pods that are made from now on send packets of at most `mtu` bytes; 0: as the kernel likes. */
export async function writeCniConfig(
  { podCidrs, confDir, stateDir }: Pick<PodNetworkOptions, "podCidrs" | "confDir" | "stateDir">,
  mtu = 0,
): Promise<void> {
  const config = cniConfig({ podCidrs, leaseDir: stateDir, mtu });
  const file = join(confDir, cniConfigName);
  await writeFile(`${file}.new`, `${JSON.stringify(config, null, 2)}\n`);
  await rename(`${file}.new`, file);
}

/** Removes rules, leases and configuration; the pods' links have gone with their namespaces. */
export async function removePodNetwork(
  options: Pick<PodNetworkOptions, "clusterName" | "confDir" | "stateDir">,
): Promise<void> {
  for (const family of ["ip", "ip6"] as const)
    await deleteNftTable(nftTableName(options.clusterName, part), family);
  await removePolicies(options.clusterName);
  await restoreForwarding(options.stateDir);
  await rm(options.stateDir, { recursive: true, force: true });
  await rm(options.confDir, { recursive: true, force: true });
}
