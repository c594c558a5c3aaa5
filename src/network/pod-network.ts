/** The pod network of this node: kernel settings, the CNI configuration and the masquerading of outward traffic. */
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { applyNftRules, deleteNftTable, nftTableName } from "#base";
import type { PodNetwork } from "#contracts";
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

/** Idempotent: a restarted agent calls it again and running pods keep their addresses. */
export async function startPodNetwork(options: PodNetworkOptions): Promise<PodNetwork> {
  await enableForwarding();
  await mkdir(options.confDir, { recursive: true });
  await mkdir(options.stateDir, { recursive: true });
  await writeCniConfig(options);
  const table = nftTableName(options.clusterName, part);
  await applyNftRules(masqueradeRules({ table, clusterCidr: options.clusterCidr, podCidr: options.podCidr }));
  return {
    podCidrs: [options.podCidr],
    status: () => ({ ready: true, message: "" }),
    stop: async () => {},
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
  await rm(options.stateDir, { recursive: true, force: true });
  await rm(options.confDir, { recursive: true, force: true });
}

export async function enableForwarding(): Promise<void> {
  if ((await readFile(forwarding, "utf8")).trim() !== "1") await writeFile(forwarding, "1");
}
