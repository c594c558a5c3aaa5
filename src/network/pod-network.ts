/** The pod network of this node: kernel settings, the CNI configuration and the masquerading of outward traffic. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { applyNftRules, deleteNftTable, forComponent, messageOf, nftTableName, run, type World } from "#base";
import { cniConfig } from "./cni-config.ts";
import { masqueradeRules } from "./masquerade.ts";
import { removePolicies } from "./policy/start-policies.ts";

export interface PodNetworkOptions {
  clusterName: string;
  clusterCidr: string;
  podCidr: string;
  /** containerd's CNI `conf_dir`; nothing else may write there. */
  confDir: string;
  /** Private state: address leases. Goes with the node. */
  stateDir: string;
}

/** Which of the cluster's nftables tables this is. */
const part = "network";
const forwarding = "/proc/sys/net/ipv4/ip_forward";

/** In the private state: forwarding was off before this cluster came. */
const wasOffMark = "forwarding-was-off";
/** How often the rules are looked at, in case somebody flushed them. */
const verifyMs = 15_000;

/** Idempotent: a restarted agent calls it again and running pods keep their addresses. */
export async function startPodNetwork(options: PodNetworkOptions): Promise<void> {
  await mkdir(options.confDir, { recursive: true });
  await mkdir(options.stateDir, { recursive: true });
  if (await enableForwarding()) await writeFile(join(options.stateDir, wasOffMark), "");
  await writeCniConfig(options);
  await masquerade(options);
}

type Masquerading = Pick<PodNetworkOptions, "clusterName" | "clusterCidr" | "podCidr">;

function masquerade({ clusterName, clusterCidr, podCidr }: Masquerading): Promise<void> {
  return applyNftRules(masqueradeRules({ table: nftTableName(clusterName, part), clusterCidr, podCidr }));
}

/** Mends what others undo: the way out of the pods, and forwarding itself. */
export function keepPodNetwork(world: World, options: Masquerading): { stop(): Promise<void> } {
  const { log } = forComponent(world, "pod-network");
  let work = Promise.resolve();
  const look = async () => {
    try {
      await enableForwarding();
      const chain = ["list", "chain", "ip", nftTableName(options.clusterName, part), "postrouting"];
      const { code, stdout } = await run("nft", chain);
      if (code !== 0 || !stdout.includes("masquerade")) await masquerade(options);
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

/** Pods that are made from now on send packets of at most `mtu` bytes; 0: as the kernel likes. */
export async function writeCniConfig(
  { podCidr, confDir, stateDir }: Pick<PodNetworkOptions, "podCidr" | "confDir" | "stateDir">,
  mtu = 0,
): Promise<void> {
  const config = cniConfig({ podCidr, leaseDir: stateDir, mtu });
  const file = join(confDir, "10-knarr.conflist");
  await writeFile(`${file}.new`, `${JSON.stringify(config, null, 2)}\n`);
  await rename(`${file}.new`, file);
}

/** Removes rules, leases and configuration; the pods' links have gone with their namespaces. */
export async function removePodNetwork(
  options: Pick<PodNetworkOptions, "clusterName" | "confDir" | "stateDir">,
): Promise<void> {
  await deleteNftTable(nftTableName(options.clusterName, part));
  await removePolicies(options.clusterName);
  await restoreForwarding(options.stateDir);
  await rm(options.stateDir, { recursive: true, force: true });
  await rm(options.confDir, { recursive: true, force: true });
}

/** Whether it was off. */
export async function enableForwarding(): Promise<boolean> {
  if ((await readFile(forwarding, "utf8")).trim() === "1") return false;
  await writeFile(forwarding, "1");
  return true;
}

/** As it was before, where nobody else has come to need it meanwhile. */
async function restoreForwarding(stateDir: string): Promise<void> {
  if (!existsSync(join(stateDir, wasOffMark))) return;
  const { code, stdout } = await run("nft", ["list", "ruleset"]);
  if (code === 0 && !stdout.includes("hook forward") && !/\btable \S+ knarr_/.test(stdout))
    await writeFile(forwarding, "0");
}
