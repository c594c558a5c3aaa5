/**
 * The nftables text of the policies: a skeleton, and transactions that change only what differs. Traffic that is forwarded
 * to or from a pod of this node passes two chains, one for each direction; what the node itself sends to its pods (probes)
 * and what they send to it never does, as Kubernetes promises.
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation
 */
import { formatAddress } from "#api";
import type { Direction, Family, Match, Range } from "./model.ts";
import type { Chain, PolicyState } from "./policy-state.ts";

export interface TableName {
  readonly family: Family;
  readonly table: string;
}

/** Which pods go where: `senders` by source address, `receivers` by destination. */
const maps = ["senders", "receivers"] as const;
type MapName = (typeof maps)[number];

/** An empty table; replaces whatever stood there. */
export function policySkeleton({ family, table }: TableName): string {
  const address = family === "ip6" ? "ipv6_addr" : "ipv4_addr";
  const chain = (name: string, at: string, map: MapName, key: string) => `  chain ${name} {
    type filter hook forward priority ${at};
    ct state established,related accept
    ${family} saddr . ${family} daddr @itself accept
    ${family} ${key} vmap @${map}
  }
`;
  return `table ${family} ${table}
delete table ${family} ${table}
table ${family} ${table} {
  map senders { type ${address} : verdict; }
  map receivers { type ${address} : verdict; }
  set itself { type ${address} . ${address}; }
${chain("egress", "-2", "senders", "saddr")}${chain("ingress", "-1", "receivers", "daddr")}}
`;
}

/** What the kernel has, as far as this process has told it. */
export class KernelTable {
  readonly chains = new Map<string, string>();
  readonly sets = new Map<string, Set<string>>();
  readonly maps: Record<MapName, Map<string, string>> = { senders: new Map(), receivers: new Map() };
  readonly itself = new Set<string>();
}

/** The statements that bring `kernel` to what `state` wants, and `kernel` with it; empty when nothing differs. */
export function policyTransaction(name: TableName, kernel: KernelTable, state: PolicyState): string {
  const at = `${name.family} ${name.table}`;
  const sets = setStatements(name, kernel, state);
  const chains = chainStatements(name, kernel, state);
  const elements = assignmentStatements(at, kernel, state);
  state.dirtyChains.clear();
  state.dirtySets.clear();
  return [...sets.come, ...chains.come, ...elements, ...chains.go, ...sets.go]
    .map((line) => `${line}\n`)
    .join("");
}

interface Statements {
  readonly come: string[];
  readonly go: string[];
}

function setStatements({ family, table }: TableName, kernel: KernelTable, state: PolicyState): Statements {
  const statements: Statements = { come: [], go: [] };
  const address = family === "ip6" ? "ipv6_addr" : "ipv4_addr";
  for (const name of state.dirtySets) {
    const set = state.sets.get(name);
    const known = kernel.sets.get(name);
    const at = `${family} ${table} ${name}`;
    if (!set) {
      if (known) statements.go.push(`delete set ${at}`);
      kernel.sets.delete(name);
      continue;
    }
    const type = set.source.kind === "pods" ? address : `${address} . inet_proto . inet_service`;
    if (!known) statements.come.push(`add set ${at} { type ${type}; }`);
    const has = known ?? new Set<string>();
    kernel.sets.set(name, has);
    statements.come.push(...elementStatements(at, has, new Set(set.elements())));
  }
  return statements;
}

/** Brings `has` to `wanted`. */
function elementStatements(at: string, has: Set<string>, wanted: ReadonlySet<string>): string[] {
  const gone = [...has].filter((element) => !wanted.has(element));
  const come = [...wanted].filter((element) => !has.has(element));
  for (const element of gone) has.delete(element);
  for (const element of come) has.add(element);
  const list = (verb: string, all: string[]) =>
    all.length > 0 ? [`${verb} element ${at} { ${all.join(", ")} }`] : [];
  return [...list("delete", gone), ...list("add", come)];
}

function chainStatements({ family, table }: TableName, kernel: KernelTable, state: PolicyState): Statements {
  const made: string[] = [];
  const filled: string[] = [];
  const emptied: string[] = [];
  const removed: string[] = [];
  for (const name of state.dirtyChains) {
    const chain = state.chains.get(name);
    const known = kernel.chains.get(name);
    const at = `${family} ${table} ${name}`;
    if (!chain) {
      // All are emptied before one goes: they refer to each other.
      if (known !== undefined) emptied.push(`flush chain ${at}`);
      if (known !== undefined) removed.push(`delete chain ${at}`);
      kernel.chains.delete(name);
      continue;
    }
    const rules = rulesOf(chain, family, directionOf(name));
    const text = rules.join("\n");
    if (known === text) continue;
    made.push(known === undefined ? `add chain ${at}` : `flush chain ${at}`);
    filled.push(...rules.map((rule) => `add rule ${at} ${rule}`));
    kernel.chains.set(name, text);
  }
  return { come: [...made, ...filled], go: [...emptied, ...removed] };
}

function directionOf(chain: string): Direction {
  return chain.startsWith("ingress") ? "ingress" : "egress";
}

function assignmentStatements(at: string, kernel: KernelTable, state: PolicyState): string[] {
  const wanted: Record<MapName, Map<string, string>> = { senders: new Map(), receivers: new Map() };
  const itself = new Set<string>();
  for (const { address, chains } of state.assignments.values()) {
    itself.add(`${address} . ${address}`);
    if (chains.egress) wanted.senders.set(address, `goto ${chains.egress}`);
    if (chains.ingress) wanted.receivers.set(address, `goto ${chains.ingress}`);
  }
  const pairs = (map: ReadonlyMap<string, string>) =>
    new Set([...map].map(([address, verdict]) => `${address} : ${verdict}`));
  const statements = elementStatements(`${at} itself`, kernel.itself, itself);
  for (const name of maps) {
    statements.push(...elementStatements(`${at} ${name}`, pairs(kernel.maps[name]), pairs(wanted[name])));
    kernel.maps[name] = wanted[name];
  }
  return statements;
}

/** The rules of a chain. */
export function rulesOf(chain: Chain, family: Family, direction: Direction): string[] {
  if ("tries" in chain) return [...chain.tries.map((name) => `jump ${name}`), "drop"];
  return chain.matches.flatMap((match) => {
    const words = [...peerWords(match, family, direction), ...portWords(match, family), "accept"];
    return words.includes(nothing) ? [] : [words.join(" ")];
  });
}

/** A half that matches nothing: the whole allows nothing. */
const nothing = "";

function peerWords({ peer }: Match, family: Family, direction: Direction): string[] {
  if (!peer) return [];
  const key = `${family} ${direction === "ingress" ? "saddr" : "daddr"}`;
  if ("set" in peer) return [`${key} @${peer.set}`];
  if (peer.ranges.length === 0) return [nothing];
  const bits = family === "ip6" ? 128 : 32;
  const isAll = peer.ranges.some(({ first, last }) => first === 0n && last === (1n << BigInt(bits)) - 1n);
  return isAll ? [] : [`${key} { ${peer.ranges.map((range) => rangeText(range, bits)).join(", ")} }`];
}

function rangeText({ first, last }: Range, bits: 32 | 128): string {
  const from = formatAddress(first, bits);
  return first === last ? from : `${from}-${formatAddress(last, bits)}`;
}

function portWords({ port }: Match, family: Family): string[] {
  if (!port) return [];
  if ("named" in port) return [`${family} daddr . meta l4proto . th dport @${port.named}`];
  const { protocol, ranges } = port;
  if (!ranges) return [`meta l4proto ${protocol}`];
  const list = ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`));
  return [`meta l4proto ${protocol} th dport { ${list.join(", ")} }`];
}
