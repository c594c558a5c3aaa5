/** The nftables tables that let pods reach the world outside the cluster under the node's own address. */
import type { NftFamily } from "#base";

export interface MasqueradeOptions {
  table: string;
  /** All pods of the cluster, on every node: traffic among them keeps its source address. One of each family. */
  clusterCidrs: readonly string[];
  podCidrs: readonly string[];
  /** What the table of a family says of itself. */
  notes?: Readonly<Partial<Record<"ip" | "ip6", string>>>;
}

export function familyOf(addressOrCidr: string): NftFamily & ("ip" | "ip6") {
  return addressOrCidr.includes(":") ? "ip6" : "ip";
}

/** A ruleset that replaces the tables as a whole: applying it twice changes nothing. */
export function masqueradeRules({ table, clusterCidrs, podCidrs, notes = {} }: MasqueradeOptions): string {
  return podCidrs
    .map((podCidr) => {
      const family = familyOf(podCidr);
      const clusterCidr = clusterCidrs.find((cidr) => familyOf(cidr) === family) ?? podCidr;
      const comment = notes[family] ? `\n  comment "${notes[family]}"` : "";
      return `table ${family} ${table}
delete table ${family} ${table}
table ${family} ${table} {${comment}
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ${family} saddr ${podCidr} ${family} daddr != ${clusterCidr} masquerade
  }
}
`;
    })
    .join("");
}
