/**
 * The second family of addresses: with `knarr up --ipv6` pods and Services have addresses of both, IPv4 first.
 * https://kubernetes.io/docs/concepts/services-networking/dual-stack/
 */

export interface SecondFamily {
  /** Pods of the whole cluster, and of this node. */
  clusterCidr: string;
  podCidr: string;
  serviceCidr: string;
  dnsAddress: string;
  balancerCidr: string;
  /** Absent: this machine has none that others reach it by; its pods have theirs all the same. */
  nodeAddress?: string;
}

/** Unique local addresses: nobody's on the internet. https://www.rfc-editor.org/rfc/rfc4193 */
export function secondFamilyOf(slot: number): SecondFamily {
  const clusterCidr = `fd00:10:${244 - slot}::/56`;
  return {
    clusterCidr,
    podCidr: secondPodCidr(clusterCidr, 0),
    serviceCidr: `fd00:10:${96 + slot}::/112`,
    dnsAddress: `fd00:10:${96 + slot}::a`,
    balancerCidr: `fd00:198:18:${slot}::/112`,
  };
}

function secondPodCidr(clusterCidr: string, index: number): string {
  const [prefix] = clusterCidr.split("::");
  return `${prefix}${index === 0 ? "" : `:${index.toString(16)}`}::/64`;
}

/** A node has the same number in both: `10.244.7.0/24` goes with `fd00:10:244:7::/64`. */
export function secondPodCidrOf(clusterCidr: string, podCidr: string): string {
  return secondPodCidr(clusterCidr, Number(podCidr.split(".")[2]));
}

type Key = "clusterCidr" | "podCidr" | "serviceCidr" | "nodeAddress";

/** Of every family that the cluster has. */
export function bothOf<K extends Key>(
  config: Readonly<Record<K, string>> & { readonly ipv6?: SecondFamily },
  key: K,
): string[] {
  const second = config.ipv6?.[key];
  return [config[key], ...(second ? [second] : [])];
}
