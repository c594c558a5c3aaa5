/** Which node has which range of pod addresses: each is handed out here, one at a time, so that no two are the same. */
import { type corev1, nodes } from "#api";
import type { Client } from "#client";
import type { NodeRanges } from "#controllers";
import type { ClusterConfig } from "./config.ts";
import { secondPodCidrOf } from "./families.ts";

/** The first /24 of the cluster's pods that no node has. */
export function freePodCidr(clusterCidr: string, all: readonly Readonly<corev1.Node>[]): string | undefined {
  const taken = new Set(all.map((node) => node.spec.podCIDR));
  const [a, b] = clusterCidr.split(".");
  for (let i = 0; i < 256; i++) {
    const cidr = `${a}.${b}.${i}.0/24`;
    if (!taken.has(cidr)) return cidr;
  }
  return undefined;
}

export interface NodeRangesOptions {
  config: Pick<ClusterConfig, "clusterCidr" | "ipv6">;
  /** Asked for when the first node comes: the API server is not there yet when its paths are named. */
  client(): Client;
}

export function nodeRangesOf({ config, client }: NodeRangesOptions): NodeRanges {
  let last: Promise<unknown> = Promise.resolve();
  const giveOne: NodeRanges["give"] = async (nodeName, write) => {
    const { items } = await client().list(nodes);
    const known = items.find((node) => node.metadata.name === nodeName);
    if (known?.spec.podCIDR) return known.spec.podCIDR;
    const podCidr = freePodCidr(config.clusterCidr, items);
    if (podCidr === undefined) return undefined;
    const second = config.ipv6 ? [secondPodCidrOf(config.ipv6.clusterCidr, podCidr)] : [];
    await write({ podCIDR: podCidr, podCIDRs: [podCidr, ...second] });
    return podCidr;
  };
  return {
    give(nodeName, write) {
      const given = last.then(() => giveOne(nodeName, write));
      last = given.catch(() => {});
      return given;
    },
  };
}
