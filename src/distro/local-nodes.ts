/**
 * Further nodes on the same machine: each a network namespace on a bridge of the cluster's own, with its own agent,
 * containerd and folder. To the cluster they are machines like any other.
 * https://man7.org/linux/man-pages/man8/ip-netns.8.html
 */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { applyNftRules, deleteNftTable, nftTableName, run, runOk, type World } from "#base";
import { type ClusterConfig, type ClusterPaths, pathsOf, readConfig } from "./config.ts";
import { stopAgent } from "./teardown.ts";

export interface LocalNode {
  readonly name: string;
  readonly address: string;
  /** Of the network. */
  readonly namespace: string;
  /** The bridge's end of its cable. */
  readonly link: string;
  readonly paths: ClusterPaths;
}

/** The tables of the machine's own network namespace that belong to the nodes' network. */
const part = "nodes";

/** Node 1 is the machine itself. */
export function localNodesOf(config: ClusterConfig, paths: ClusterPaths): LocalNode[] {
  return Array.from({ length: config.localNodes ?? 0 }, (_, i) => localNode(config, paths, i + 2));
}

function localNode({ name, slot, nodeName }: ClusterConfig, paths: ClusterPaths, index: number): LocalNode {
  return {
    name: `${nodeName}-${index}`,
    address: `${networkOf(slot)}.${index}`,
    namespace: `knarr-${name}-${index}`,
    link: `knarr${slot}n${index}`,
    paths: pathsOf(name, join(paths.dir, "nodes", String(index))),
  };
}

/** Nobody's, but for the testing of networks: https://www.rfc-editor.org/rfc/rfc2544 */
function networkOf(slot: number): string {
  return `198.19.${slot}`;
}

function bridgeOf(slot: number): string {
  return `knarr-br${slot}`;
}

/** Makes what is missing: after a restart of the machine everything is. */
export async function openLocalNetwork(config: ClusterConfig, nodes: readonly LocalNode[]): Promise<void> {
  const bridge = bridgeOf(config.slot);
  const network = networkOf(config.slot);
  // Without one of its own a bridge takes its first link's address, and changes it when that goes.
  const hardware = `02:6b:6e:72:00:${config.slot.toString(16).padStart(2, "0")}`;
  if (!existsSync(`/sys/class/net/${bridge}`))
    await ip("link", "add", bridge, "address", hardware, "type", "bridge");
  await ip("addr", "replace", `${network}.1/24`, "dev", bridge);
  await ip("link", "set", bridge, "up");
  for (const node of nodes) await connect(config, node);
  const table = nftTableName(config.name, part);
  // What the nodes send to the world leaves under the machine's address; among nodes and pods everybody keeps his own.
  const inside = `${network}.0/24, ${config.clusterCidr}`;
  await applyNftRules(`table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr ${network}.0/24 ip daddr != { ${inside} } masquerade
  }
}
`);
}

async function connect({ slot, nodeAddress }: ClusterConfig, node: LocalNode): Promise<void> {
  const { namespace, link, address } = node;
  const network = networkOf(slot);
  if (!existsSync(`/run/netns/${namespace}`)) await ip("netns", "add", namespace);
  if (!existsSync(`/sys/class/net/${link}`)) {
    const peer = ["peer", "name", "eth0", "netns", namespace];
    await ip("link", "add", link, "type", "veth", ...peer);
  }
  await ip("link", "set", link, "master", bridgeOf(slot), "up");
  const inside = (...args: string[]) => ip("-n", namespace, ...args);
  await inside("link", "set", "lo", "up");
  await inside("addr", "replace", `${address}/24`, "dev", "eth0");
  await inside("link", "set", "eth0", "up");
  await inside("route", "replace", "default", "via", `${network}.1`);
  // The machine answers for all its addresses on every link: its pods are reached without a router between.
  await inside("route", "replace", nodeAddress, "dev", "eth0");
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
      // Links, routes and rules go with the namespace.
      await run("ip", ["link", "del", node.link]);
      await run("ip", ["netns", "del", node.namespace]);
      if (options.purge) await rm(node.paths.dir, { recursive: true, force: true });
    }),
  );
}

/** What the nodes had in common. */
export async function closeLocalNetwork({ name, slot }: ClusterConfig): Promise<void> {
  await deleteNftTable(nftTableName(name, part));
  if (existsSync(`/sys/class/net/${bridgeOf(slot)}`)) await run("ip", ["link", "del", bridgeOf(slot)]);
}
