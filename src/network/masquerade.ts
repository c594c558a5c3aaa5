/** The nftables table that lets pods reach the world outside the cluster under the node's own address. */

export interface MasqueradeOptions {
  table: string;
  /** All pods of the cluster, on every node: traffic among them keeps its source address. */
  clusterCidr: string;
  podCidr: string;
}

/** A ruleset that replaces the table as a whole: applying it twice changes nothing. */
export function masqueradeRules(options: MasqueradeOptions): string {
  return `table ip ${options.table}
delete table ip ${options.table}
table ip ${options.table} {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${options.podCidr} ip daddr != ${options.clusterCidr} masquerade
  }
}
`;
}
