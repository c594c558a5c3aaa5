/**
 * The nftables text: a fixed skeleton, and transactions that change only the elements that differ. Cost grows with the
 * change, not with the cluster: every Service shares the chain of its endpoint count.
 */
import type { ProxyElements } from "./elements.ts";

/** How many balancing chains of each kind a table has at least: most Services never need a bigger one. */
const capacityMin = 32;

/** The chains a table must have for `elements`: a power of two, so that it is seldom written again. */
export function capacityFor(elements: Pick<ProxyElements, "largest">): number {
  let capacity = capacityMin;
  while (capacity < elements.largest) capacity *= 2;
  return capacity;
}

/**
 * An empty table with its hooks and `capacity` balancing chains; replaces whatever stood there. The chains are all made
 * here because nft 1.0 cannot add one later that refers to a map of concatenations.
 */
export function skeleton(table: string, capacity: number): string {
  const counts = Array.from({ length: capacity }, (_, i) => i + 1);
  return `table ip ${table}
delete table ip ${table}
table ip ${table} {
  map services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map endpoints { typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport; }
  set rejects { type ipv4_addr . inet_proto . inet_service; }
  set hairpins { type ipv4_addr . ipv4_addr; }
${counts.map(balancingChains).join("")}  chain dispatch { ip daddr . meta l4proto . th dport vmap @services; }
  chain prerouting { type nat hook prerouting priority dstnat; jump dispatch; }
  chain output { type nat hook output priority -100; jump dispatch; }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ct status dnat ip saddr . ip daddr @hairpins masquerade fully-random
  }
  chain refuse { ip daddr . meta l4proto . th dport @rejects reject; }
  chain input { type filter hook input priority filter; jump refuse; }
  chain forward { type filter hook forward priority filter; jump refuse; }
  chain local { type filter hook output priority filter; jump refuse; }
}
`;
}

/** `n3` picks one of three at random, `h3` by the client's address (session affinity). */
function balancingChains(count: number): string {
  const chain = (name: string, pick: string) =>
    `  chain ${name}${count} { dnat ip to ip daddr . meta l4proto . th dport . ${pick} mod ${count} map @endpoints; }\n`;
  return chain("n", "numgen random") + chain("h", "jhash ip saddr");
}

export function emptyElements(): ProxyElements {
  return {
    services: new Map(),
    endpoints: new Map(),
    rejects: new Set(),
    hairpins: new Set(),
    largest: 0,
  };
}

/** The transaction that turns `from` into `to`; empty when there is nothing to do. */
export function transaction(table: string, from: ProxyElements, to: ProxyElements): string {
  const stale: string[] = [];
  const fresh: string[] = [];
  for (const name of ["services", "endpoints"] as const) {
    const gone = [...from[name]].filter(([k, v]) => to[name].get(k) !== v);
    const come = [...to[name]].filter(([k, v]) => from[name].get(k) !== v);
    stale.push(
      change(
        "delete",
        table,
        name,
        gone.map(([k, v]) => `${k} : ${v}`),
      ),
    );
    fresh.push(
      change(
        "add",
        table,
        name,
        come.map(([k, v]) => `${k} : ${v}`),
      ),
    );
  }
  for (const name of ["rejects", "hairpins"] as const) {
    stale.push(
      change(
        "delete",
        table,
        name,
        [...from[name]].filter((k) => !to[name].has(k)),
      ),
    );
    fresh.push(
      change(
        "add",
        table,
        name,
        [...to[name]].filter((k) => !from[name].has(k)),
      ),
    );
  }
  return [...stale, ...fresh].join("");
}

function change(verb: "add" | "delete", table: string, set: string, elements: readonly string[]): string {
  return elements.length === 0 ? "" : `${verb} element ip ${table} ${set} { ${elements.join(", ")} }\n`;
}
