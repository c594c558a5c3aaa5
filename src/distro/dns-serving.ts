/** Where this node's cluster DNS listens, and whom it asks about the world outside. */
import { readFile } from "node:fs/promises";
import { type DnsOptions, nameserversOf } from "#dns";
import { type ClusterConfig, clusterDomain } from "./config.ts";
import { bothOf } from "./families.ts";

export async function dnsServing(
  config: ClusterConfig,
): Promise<Pick<DnsOptions, "clusterDomain" | "listen" | "nameservers">> {
  const resolvConf = await readFile("/etc/resolv.conf", "utf8").catch(() => "");
  const hosts = bothOf(config, "nodeAddress");
  const own = nameserversOf(resolvConf, [...hosts, config.dnsAddress]);
  const { dnsPort: port, dnsUpstream } = config;
  return { clusterDomain, listen: { hosts, port }, nameservers: dnsUpstream ? [...own, dnsUpstream] : own };
}
