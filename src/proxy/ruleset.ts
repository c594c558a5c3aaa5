/**
 * The nftables text: a fixed skeleton, and transactions that change only the elements that differ. Cost grows with the
 * change, not with the cluster: every Service shares the chain of its endpoint count.
 * https://wiki.nftables.org/wiki-nftables/index.php/Maps
 */
import type { Change } from "./element-store.ts";
import { type Family, type Fragment, type Kind, kinds, mapNames, type SetName } from "./fragments.ts";

/** The chains that a table has. */
export interface Capacity {
  /** The most endpoints behind one front, by kind. */
  readonly counts: Readonly<Record<Kind, number>>;
  readonly timeouts: readonly number[];
}

/** How many balancing chains of each kind a table has at least: most Services never need a bigger one. */
const leastCounts: Record<Kind, number> = { n: 32, h: 8, l: 8, s: 8, i: 8 };
/** The default of `sessionAffinityConfig`. */
const leastTimeouts = [10_800];

export const leastCapacity: Capacity = { counts: leastCounts, timeouts: leastTimeouts };

/** `capacity` itself where the fragment fits, or one that is large enough: powers of two, so that it seldom grows. */
export function capacityWith(capacity: Capacity, { largest, timeoutSeconds }: Fragment): Capacity {
  const lacks = kinds.filter((kind) => (largest[kind] ?? 0) > capacity.counts[kind]);
  const isNew = timeoutSeconds !== undefined && !capacity.timeouts.includes(timeoutSeconds);
  if (lacks.length === 0 && !isNew) return capacity;
  const counts = { ...capacity.counts };
  for (const kind of lacks) while (counts[kind] < (largest[kind] ?? 0)) counts[kind] *= 2;
  return { counts, timeouts: isNew ? [...capacity.timeouts, timeoutSeconds] : capacity.timeouts };
}

export interface TableOptions {
  table: string;
  family: Family;
  /** Pods of the whole cluster: they reach each other without another's address. */
  clusterCidr: string;
  /** Pods of this node. */
  podCidr: string;
  /** Addresses of Services; absent: not known. */
  serviceCidr?: string;
}

/** As kube-proxy marks what gets the node's address when it leaves; nobody sees it after postrouting. */
const masqueradeMark = "0x4000";
const protocols = ["tcp", "udp", "sctp"];
/** Clients that are remembered. */
const affinitiesMax = 262_144;

/**
 * An empty table with its hooks and chains; replaces whatever stood there. The chains are all made here because nft 1.0
 * cannot add one later that refers to a map of concatenations.
 */
export function skeleton(options: TableOptions, capacity: Capacity): string {
  const { table, family } = options;
  const balancing = kinds.flatMap((kind) =>
    Array.from({ length: capacity.counts[kind] }, (_, i) => balancingChain(options, kind, i + 1)),
  );
  const learning = family === "ip" ? capacity.timeouts.map(learningChain) : [];
  return `table ${family} ${table}
delete table ${family} ${table}
table ${family} ${table} {
${sets(family)}${balancing.join("")}${learning.join("")}${rejection(options)}${unserved(options)}${hooks(options)}}
`;
}

function sets(family: Family): string {
  const address = family === "ip6" ? "ipv6_addr" : "ipv4_addr";
  const front = `${address} . inet_proto . inet_service`;
  const to = `${family} daddr . th dport`;
  const key = `${family} daddr . meta l4proto . th dport`;
  return `  map services { type ${front} : verdict; }
  map inner { type ${front} : verdict; }
  map endpoints { typeof ${key} . numgen random mod 65536 : ${to}; }
  map innerEndpoints { typeof ${key} . numgen random mod 65536 : ${to}; }
  map sticky { type ${front} : verdict; }
  map refused { type ${front} : verdict; }
${family === "ip" ? `  map affinity { typeof ip saddr . ${key} : ${to}; flags dynamic,timeout; size ${affinitiesMax}; }\n` : ""}  set hairpins { type ${address} . ${address}; }
  set restricted { type ${front}; }
  set clusterIps { type ${address}; }
  set allowed { type ${front} . ${address}; flags interval; }
`;
}

function balancingChain({ family, clusterCidr }: TableOptions, kind: Kind, count: number): string {
  const front = `${family} daddr . meta l4proto . th dport`;
  const dnat = (key: string, map: string) => `    dnat ${family} to ${key} map @${map}\n`;
  const marks = kind === "n" || kind === "h" || kind === "i";
  const sticks = kind === "h" || kind === "s";
  // nft 1.0 fails on maps with IPv6 keys that rules add to: there the client's address picks the endpoint.
  const pick = sticks && family === "ip6" ? "jhash ip6 saddr" : "numgen random";
  const body = [
    marks ? `    ${family} saddr != ${clusterCidr} meta mark set meta mark or ${masqueradeMark}\n` : "",
    sticks && family === "ip" ? dnat(`ip saddr . ${front}`, "affinity") : "",
    dnat(`${front} . ${pick} mod ${count}`, kind === "i" ? "innerEndpoints" : "endpoints"),
  ];
  return `  chain ${kind}${count} {\n${body.join("")}  }\n`;
}

/** Remembers which endpoint a client was given; seen when the choice has been made, whoever made it. */
function learningChain(seconds: number): string {
  const client = "ct original ip saddr . ct original ip daddr . meta l4proto . ct original proto-dst";
  const rules = protocols.map(
    (protocol) =>
      `    meta l4proto ${protocol} update @affinity { ${client} timeout ${seconds}s : ip daddr . ${protocol} dport }\n`,
  );
  return `  chain t${seconds} {\n${rules.join("")}  }\n`;
}

/** «Connection refused»; an ICMPv6 error that comes back within the call that connects would go unheard. */
function rejection({ family }: TableOptions): string {
  const reset = family === "ip6" ? "    meta l4proto tcp reject with tcp reset\n" : "";
  return `  chain rejection {\n${reset}    reject\n  }\n`;
}

/** What no front has taken: other ports of a Service's address, and addresses that no Service has. */
function unserved({ family, serviceCidr }: TableOptions): string {
  return `  chain unserved {
    ct state != new return
    ${family} daddr @clusterIps goto rejection
${serviceCidr ? `    ${family} daddr ${serviceCidr} drop\n` : ""}  }
`;
}

function hooks({ family, clusterCidr, podCidr }: TableOptions): string {
  const front = `${family} daddr . meta l4proto . th dport`;
  const loopback = family === "ip6" ? "::1" : "127.0.0.0/8";
  const learn = protocols.map(
    (protocol) =>
      `    meta l4proto ${protocol} ct original ${family} daddr . meta l4proto . ct original proto-dst vmap @sticky\n`,
  );
  return `  chain learn {
${learn.join("")}  }
  chain dispatch {
    ${front} vmap @services
  }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    ${family} saddr ${clusterCidr} ${front} vmap @inner
    jump dispatch
  }
  chain output {
    type nat hook output priority -100;
    ${front} vmap @inner
    jump dispatch
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ct status dnat jump learn
    ct status dnat ${family} saddr . ${family} daddr @hairpins masquerade fully-random
    ct status dnat ${family} saddr ${loopback} masquerade fully-random
    meta mark and ${masqueradeMark} == 0 return
    meta mark set meta mark xor ${masqueradeMark}
    ${family} daddr != ${podCidr} masquerade fully-random
  }
  chain received {
    type nat hook input priority 100;
    ct status dnat jump learn
  }
  chain restrict {
    ct state new ${front} @restricted ${front} . ${family} saddr != @allowed drop
  }
  chain early {
    type filter hook prerouting priority -110;
    jump restrict
  }
  chain earlyLocal {
    type filter hook output priority -110;
    jump restrict
  }
  chain martian {
    type filter hook prerouting priority raw;
    iif != "lo" ${family} daddr ${loopback} drop
  }
  chain refuse {
    ct state new ${front} vmap @refused
  }
  chain input {
    type filter hook input priority filter;
    jump refuse
  }
  chain forward {
    type filter hook forward priority filter;
    jump refuse
    jump unserved
  }
  chain local {
    type filter hook output priority filter;
    jump refuse
    jump unserved
  }
`;
}

const isMap = (set: SetName) => (mapNames as readonly string[]).includes(set);

/** The transaction for the changes; empty when there is nothing to do. What goes is removed before what comes is added. */
export function transaction({ family, table }: TableOptions, changes: readonly Change[]): string {
  const gone = new Map<SetName, string[]>();
  const come = new Map<SetName, string[]>();
  for (const { set, element, before, after } of changes) {
    if (before !== undefined) push(gone, set, elementText(set, element, before));
    if (after !== undefined) push(come, set, elementText(set, element, after));
  }
  const line = (verb: string) => (entry: [SetName, string[]]) =>
    `${verb} element ${family} ${table} ${entry[0]} { ${entry[1].join(", ")} }\n`;
  return [...[...gone].map(line("delete")), ...[...come].map(line("add"))].join("");
}

function elementText(set: SetName, element: string, value: string): string {
  return isMap(set) ? `${element} : ${value}` : element;
}

function push(lists: Map<SetName, string[]>, set: SetName, text: string): void {
  const list = lists.get(set);
  if (list) list.push(text);
  else lists.set(set, [text]);
}
