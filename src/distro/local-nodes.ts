/**
 * Further nodes on the same machine: each a network namespace at the end of a cable, with its own agent, containerd and
 * folder. To the cluster they are machines like any other.
 * https://man7.org/linux/man-pages/man8/ip-netns.8.html
 */
import { existsSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { applyNftRules, deleteNftTable, nftTableName, run, runOk, type World } from "#base";
import { wireguardDeviceOf } from "#network";
import { type ClusterConfig, type ClusterPaths, pathsOf, readConfig } from "./config.ts";
import { stopAgent } from "./teardown.ts";

export interface LocalNode {
  readonly name: string;
  readonly address: string;
  /** Where the cluster has IPv6. */
  readonly address6?: string;
  /** Of the network. */
  readonly namespace: string;
  /** The machine's end of its cable. */
  readonly link: string;
  readonly paths: ClusterPaths;
}

/** The tables of the machine's own network namespace that belong to the nodes' network. */
const part = "nodes";

/** Node 1 is the machine itself. */
export function localNodesOf(config: ClusterConfig, paths: ClusterPaths): LocalNode[] {
  return Array.from({ length: config.localNodes ?? 0 }, (_, i) => localNode(config, paths, i + 2));
}

function localNode(config: ClusterConfig, paths: ClusterPaths, index: number): LocalNode {
  const { name, slot, nodeName } = config;
  return {
    name: `${nodeName}-${index}`,
    address: `${networkOf(slot)}.${index}`,
    ...(config.ipv6 ? { address6: `${network6Of(slot)}::${index.toString(16)}` } : {}),
    namespace: `knarr-${name}-${index}`,
    link: `knarr${slot}n${index}`,
    paths: pathsOf(name, join(paths.dir, "nodes", String(index))),
  };
}

/** Nobody's, but for the testing of networks: https://www.rfc-editor.org/rfc/rfc2544 */
function networkOf(slot: number): string {
  return `198.19.${slot}`;
}

/** Unique local: https://www.rfc-editor.org/rfc/rfc4193 */
function network6Of(slot: number): string {
  return `fd00:198:19:${slot}`;
}

/** Makes what is missing: after a restart of the machine everything is. */
export async function openLocalNetwork(config: ClusterConfig, nodes: readonly LocalNode[]): Promise<void> {
  const { slot, clusterCidr, ipv6 } = config;
  for (const node of nodes) {
    await connect(config, node);
    if (ipv6) await connect6(config, node, nodes);
  }
  const rules = [masquerade("ip", config.name, `${networkOf(slot)}.0/24`, clusterCidr)];
  if (ipv6) rules.push(masquerade("ip6", config.name, `${network6Of(slot)}::/64`, ipv6.clusterCidr));
  await applyNftRules(rules.join(""));
}

/** What the nodes send to the world leaves under the machine's address; among nodes and pods everybody keeps his own. */
function masquerade(family: "ip" | "ip6", name: string, network: string, pods: string): string {
  const table = nftTableName(name, part);
  return `table ${family} ${table}
delete table ${family} ${table}
table ${family} ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ${family} saddr ${network} ${family} daddr != { ${network}, ${pods} } masquerade
  }
}
`;
}

async function connect({ slot, nodeAddress }: ClusterConfig, node: LocalNode): Promise<void> {
  const { namespace, link, address } = node;
  const network = networkOf(slot);
  if (!existsSync(`/run/netns/${namespace}`)) await ip("netns", "add", namespace);
  if ((await run("ip", ["link", "show", "dev", link])).code !== 0) {
    const peer = ["peer", "name", "eth0", "netns", namespace];
    await ip("link", "add", link, "type", "veth", ...peer);
  }
  await ip("addr", "replace", `${network}.1`, "peer", address, "dev", link);
  await ip("link", "set", link, "up");
  await answerForOthers(link);
  const inside = (...args: string[]) => ip("-n", namespace, ...args);
  await inside("link", "set", "lo", "up");
  await inside("addr", "replace", `${address}/24`, "dev", "eth0");
  await inside("link", "set", "eth0", "up");
  await inside("route", "replace", "default", "via", `${network}.1`);
  await inside("route", "replace", nodeAddress, "dev", "eth0");
}

/**
 * The nodes see each other and the machine as neighbours, and the machine carries what they say to each other: a bridge
 * would do without it, but sends nothing back where it came from, as a NodePort of another node may have to.
 * https://docs.kernel.org/networking/ip-sysctl.html
 */
async function answerForOthers(link: string): Promise<void> {
  await writeFile(`/proc/sys/net/ipv4/conf/${link}/proxy_arp`, "1");
  await writeFile(`/proc/sys/net/ipv4/neigh/${link}/proxy_delay`, "0");
  await writeFile(`/proc/sys/net/ipv4/conf/${link}/send_redirects`, "0");
}

/** The same for IPv6: there the machine answers for others only whom it is told. */
async function connect6(
  { slot, ipv6 }: ClusterConfig,
  { namespace, link, address6 = "" }: LocalNode,
  all: readonly LocalNode[],
): Promise<void> {
  const own = `${network6Of(slot)}::1`;
  const six = (...args: string[]) => ip("-6", ...args);
  const inside = (...args: string[]) => ip("-6", "-n", namespace, ...args);
  // Nobody else is on the cable: no address needs to be asked for first.
  await six("addr", "replace", own, "peer", address6, "dev", link, "nodad");
  await writeFile(`/proc/sys/net/ipv6/conf/${link}/proxy_ndp`, "1");
  await writeFile(`/proc/sys/net/ipv6/neigh/${link}/proxy_delay`, "0");
  const others = all.flatMap(({ address6: other }) => (other && other !== address6 ? [other] : []));
  const machine = ipv6?.nodeAddress ? [ipv6.nodeAddress] : [];
  for (const other of [...others, ...machine]) await six("neigh", "replace", "proxy", other, "dev", link);
  await inside("addr", "replace", `${address6}/64`, "dev", "eth0", "nodad");
  await inside("route", "replace", "default", "via", own, "dev", "eth0");
  for (const other of machine) await inside("route", "replace", other, "dev", "eth0");
}

function ip(...args: string[]): Promise<string> {
  return runOk("ip", args);
}

/** How a command runs in the node's network; mounts and processes are the machine's. */
export function insideOf({ namespace }: LocalNode): string[] {
  return ["nsenter", `--net=/run/netns/${namespace}`];
}

/** Ends the nodes, whatever of them runs; with `purge` their files go too. */
export async function stopLocalNodes(
  world: World,
  nodes: readonly LocalNode[],
  options: { purge: boolean },
): Promise<void> {
  await Promise.all(
    nodes.map(async (node) => {
      const known = readConfig(node.paths);
      if (known) await stopAgent(world, known, node.paths);
      // Where it is a program's and not the kernel's, it holds the namespace.
      if (known?.backend === "wireguard")
        await run("ip", ["-n", node.namespace, "link", "del", wireguardDeviceOf(known.podCidr)]);
      // Links, routes and rules go with the namespace.
      await run("ip", ["link", "del", node.link]);
      await run("ip", ["netns", "del", node.namespace]);
      if (options.purge) await rm(node.paths.dir, { recursive: true, force: true });
    }),
  );
}

/** What the nodes had in common. */
export async function closeLocalNetwork({ name }: ClusterConfig): Promise<void> {
  for (const family of ["ip", "ip6"] as const) await deleteNftTable(nftTableName(name, part), family);
}
