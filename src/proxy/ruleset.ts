/**
 * The nftables text: a fixed skeleton, and transactions that change only the elements that differ. Cost grows with the
 * change, not with the cluster: every Service shares the chain of its endpoint count.
 */
import type { ProxyElements } from "./elements.ts";

/** An empty table with its hooks; replaces whatever stood there. */
export function skeleton(table: string): string {
  return `table ip ${table}
delete table ip ${table}
table ip ${table} {
  map services { type ipv4_addr . inet_proto . inet_service : verdict; }
  map endpoints { typeof ip daddr . meta l4proto . th dport . numgen random mod 65536 : ip daddr . th dport; }
  set rejects { type ipv4_addr . inet_proto . inet_service; }
  set hairpins { type ipv4_addr . ipv4_addr; }
  chain dispatch { ip daddr . meta l4proto . th dport vmap @services; }
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

/** A balancing chain: `n3` picks one of three at random, `h3` by the client's address (session affinity). */
function balancingChain(table: string, chain: string): string {
  const count = chain.slice(1);
  const pick = chain.startsWith("h") ? `jhash ip saddr mod ${count}` : `numgen random mod ${count}`;
  return `add chain ip ${table} ${chain} { dnat ip to ip daddr . meta l4proto . th dport . ${pick} map @endpoints; }\n`;
}

export function emptyElements(): ProxyElements {
  return {
    services: new Map(),
    endpoints: new Map(),
    rejects: new Set(),
    hairpins: new Set(),
    chains: new Set(),
  };
}

/** The transaction that turns `from` into `to`; empty when there is nothing to do. Chains are kept for reuse. */
export function transaction(table: string, from: ProxyElements, to: ProxyElements): string {
  const lines: string[] = [];
  for (const chain of to.chains) if (!from.chains.has(chain)) lines.push(balancingChain(table, chain));
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
  return [...lines, ...stale, ...fresh].join("");
}

function change(verb: "add" | "delete", table: string, set: string, elements: readonly string[]): string {
  return elements.length === 0 ? "" : `${verb} element ip ${table} ${set} { ${elements.join(", ")} }\n`;
}
