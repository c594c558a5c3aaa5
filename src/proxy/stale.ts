/**
 * What the kernel remembers of endpoints that have gone: flows of UDP, which would go on to nobody for as long as the
 * client sends, and clients that are to come back to the same endpoint.
 * https://kubernetes.io/docs/reference/networking/virtual-ips/#session-affinity
 */
import { isIPv6 } from "node:net";
import { applyNftRules, run } from "#base";
import type { Change, ElementStore } from "./element-store.ts";
import type { TableOptions } from "./ruleset.ts";

export interface Gone {
  /** `address . protocol . port` that clients connect to. */
  front: string;
  /** `address . port` that is not behind it any more; the front's own where it had none and clients tried in vain. */
  target: string;
}

const addressAndPort = (front: string) => front.replace(/ \. [a-z]+ \. /, " . ");

/** The targets that `changes` took from their fronts. */
export function goneTargets(changes: readonly Change[], store: ElementStore): Gone[] {
  const before = new Map<string, Set<string>>();
  const note = (front: string, target: string) => {
    const targets = before.get(front);
    if (targets) targets.add(target);
    else before.set(front, new Set([target]));
  };
  for (const { set, element, before: former, after } of changes) {
    if (set === "endpoints" || set === "innerEndpoints") {
      if (former !== undefined) note(element.slice(0, element.lastIndexOf(" . ")), former);
    } else if ((set === "services" || set === "inner") && former === undefined && after !== undefined) {
      note(element, addressAndPort(element));
    }
  }
  return [...before].flatMap(([front, targets]) => {
    const now = targetsNow(store, front);
    return [...targets].filter((target) => !now.has(target)).map((target) => ({ front, target }));
  });
}

/** Those whose clients are remembered, or were until now: the next Service with such an address must not inherit them. */
export function stickyOf(gone: readonly Gone[], changes: readonly Change[], store: ElementStore): Gone[] {
  const were = new Set(
    changes.flatMap(({ set, element, before }) =>
      set === "sticky" && before !== undefined ? [element] : [],
    ),
  );
  return gone.filter(({ front }) => were.has(front) || store.get("sticky", front) !== undefined);
}

function targetsNow(store: ElementStore, front: string): Set<string> {
  const now = new Set<string>();
  for (const [map, endpoints] of [
    ["services", "endpoints"],
    ["inner", "innerEndpoints"],
  ] as const) {
    const count = Number(/\d+$/.exec(store.get(map, front) ?? "")?.[0] ?? 0);
    for (let i = 0; i < count; i++) now.add(store.get(endpoints, `${front} . ${i}`) ?? "");
  }
  return now;
}

/** Ends UDP flows to targets that have gone: their clients' next packets are new ones. */
export async function endStaleFlows(gone: readonly Gone[]): Promise<void> {
  for (const { front, target } of gone) {
    const [address = "", protocol, port = ""] = front.split(" . ");
    if (protocol !== "udp") continue;
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    const where = [
      "--orig-dst",
      address,
      "--orig-port-dst",
      port,
      "--reply-src",
      target.split(" . ")[0] ?? "",
    ];
    // It fails where there was no such flow.
    await run("conntrack", ["-D", "-f", family, "-p", "udp", ...where]);
  }
}

/** An element of the affinity map as `nft -j` lists it. */
interface Listed {
  client: string;
  front: string;
  target: string;
}

type Concat = { concat?: (string | number)[] };

/** The elements of `nft -j list map`. */
export function parseAffinities(json: string): Listed[] {
  const { nftables = [] } = JSON.parse(json) as {
    nftables?: { map?: { elem?: [{ elem?: { val?: Concat } }, Concat][] } }[];
  };
  return nftables.flatMap(({ map }) =>
    (map?.elem ?? []).flatMap(([key, data]) => {
      const [client, address, protocol, port] = key.elem?.val?.concat ?? [];
      const target = data.concat?.join(" . ");
      if (client === undefined || target === undefined) return [];
      return [{ client: String(client), front: `${address} . ${protocol} . ${port}`, target }];
    }),
  );
}

/** One that runs out meanwhile cannot be deleted, and takes the others with it: then what is left is looked at again. */
const deleteTries = 5;

/** Lets go of clients whose endpoint has gone, so that they are given another one. */
export async function forgetAffinities(
  { family, table }: TableOptions,
  gone: readonly Gone[],
): Promise<void> {
  for (let i = 0; i < deleteTries; i++) {
    const { code, stdout } = await run("nft", ["-j", "-n", "list", "map", family, table, "affinity"]);
    const stale = code === 0 ? staleOf(stdout, gone) : [];
    if (stale.length === 0) return;
    try {
      await applyNftRules(`delete element ${family} ${table} affinity { ${stale.join(", ")} }\n`);
      return;
    } catch (error) {
      if (i === deleteTries - 1) throw error;
    }
  }
}

function staleOf(listed: string, gone: readonly Gone[]): string[] {
  const protocols: Record<string, string> = { 6: "tcp", 17: "udp", 132: "sctp" };
  const named = (front: string) =>
    front.replace(/ \. (\d+) \. /, (all, n: string) => ` . ${protocols[n] ?? all} . `);
  const wanted = new Set(gone.map(({ front, target }) => `${front} : ${target}`));
  return parseAffinities(listed)
    .map((each) => ({ ...each, front: named(each.front) }))
    .filter(({ front, target }) => wanted.has(`${front} : ${target}`))
    .map(({ client, front, target }) => `${client} . ${front} : ${target}`);
}
