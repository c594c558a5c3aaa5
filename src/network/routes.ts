/**
 * The ways to the pods of the other nodes: through the node's own address where nothing stands between (host gateway),
 * and through the overlay where a router does.
 */
import { type corev1, nodes } from "#api";
import { forComponent, messageOf, run, runOk, type World } from "#base";
import type { Informers } from "#client";
import { familyOf } from "./masquerade.ts";
import { closeOverlay, type OverlayOptions, openOverlay, reachThrough, wayOf } from "./vxlan.ts";
import {
  closeWireguard,
  keepPeers,
  openWireguard,
  reachPeer,
  wireguardKeyAnnotation,
  wireguardKeyOf,
} from "./wireguard.ts";

export interface Route {
  cidr: string;
  /** The node's address of the same family; absent: it has none, and the overlay leads there. */
  via?: string;
  /** The node's IPv4 address: what the overlay's packets are sent to. */
  underlay: string;
  /** The node's first pod addresses: what its place in the overlay follows from. */
  home: string;
  /** What the node shows to those who speak WireGuard, and all pods behind it. */
  key?: string;
  cidrs: readonly string[];
}

/** The routes of one node: pure. */
export function routesOf(all: readonly Readonly<corev1.Node>[], ownName: string): Route[] {
  return all.flatMap(({ metadata, spec, status }) => {
    const internal = (status.addresses ?? []).filter(({ type }) => type === "InternalIP");
    const addressIn = (family: string) =>
      internal.find(({ address }) => familyOf(address) === family)?.address;
    const underlay = addressIn("ip");
    if (metadata.name === ownName || !underlay) return [];
    const cidrs = spec.podCIDRs ?? (spec.podCIDR ? [spec.podCIDR] : []);
    const [home] = cidrs;
    const key = wireguardKeyOf(metadata.annotations?.[wireguardKeyAnnotation]);
    return cidrs.map((cidr) => {
      const via = addressIn(familyOf(cidr));
      return { cidr, underlay, home: home ?? cidr, cidrs, ...(via ? { via } : {}), ...(key ? { key } : {}) };
    });
  });
}

/** The destinations that `ip -o route show` lists. */
export function standingRoutes(listed: string): ReadonlySet<string> {
  return new Set(listed.split("\n").flatMap((line) => /^[\da-f]\S*[.:]\S*/.exec(line)?.[0] ?? []));
}

/** `ip` with what it takes to speak of the family. */
function ipOf(addressOrCidr: string): readonly string[] {
  return familyOf(addressOrCidr) === "ip6" ? ["-6"] : ["-4"];
}

const keyOf = ({ via = "", underlay, key = "" }: Route) => `${via} ${underlay} ${key}`;

/** Marks our routes, so that no other program's are ever touched (see ip-route(8), `proto`). */
const routeProtocol = "196";

export interface RouteOptions {
  world: World;
  informers: Informers;
  nodeName: string;
  nodeAddress: string;
  /** One of each family, IPv4 first. */
  clusterCidrs: readonly string[];
  podCidrs: readonly string[];
  /** Everything goes through WireGuard: where this node's key is, and how others learn its public half. */
  wireguard?: { keyFile: string; publicKey: string; publish(publicKey: string): Promise<void> };
  /** What pods may send at once where the overlay is used. */
  onOverlay(mtu: number): Promise<void>;
}

/** How often the routes are looked at. */
const lookMs = 10_000;

class Routes {
  readonly #options: RouteOptions;
  readonly #applied = new Map<string, string>();
  readonly #overlaid = new Map<string, Route>();
  /** The overlay stands: with the first other node, since that one may need it even where this one does not. */
  #overlayMtu: number | undefined;

  constructor(options: RouteOptions) {
    this.#options = options;
  }

  async sync(wanted: readonly Route[]): Promise<void> {
    const troubles: string[] = [];
    if (wanted.length > 0 && this.#overlayMtu === undefined)
      this.#overlayMtu = await this.#open().catch((error: unknown) => {
        troubles.push(messageOf(error));
        return undefined;
      });
    await this.#forgetLost();
    for (const route of wanted) {
      if (this.#applied.get(route.cidr) === keyOf(route)) continue;
      try {
        await this.#reach(route);
        this.#applied.set(route.cidr, keyOf(route));
      } catch (error) {
        troubles.push(messageOf(error));
      }
    }
    const here = new Set(wanted.map(({ cidr }) => cidr));
    for (const cidr of [...this.#applied.keys()].filter((c) => !here.has(c))) {
      await run("ip", [...ipOf(cidr), "route", "del", cidr, "proto", routeProtocol]);
      this.#applied.delete(cidr);
      this.#overlaid.delete(cidr);
    }
    if (this.#options.wireguard && this.#overlayMtu !== undefined)
      await keepPeers(this.#overlay().podCidr, new Set(wanted.flatMap(({ key }) => key ?? [])));
    // One node that is out of reach keeps nobody from the others.
    if (troubles.length > 0) throw new Error(troubles.join("; "));
  }

  /** A link that was down for a moment has lost its routes, and a device that somebody removed too. */
  async #forgetLost(): Promise<void> {
    if (this.#applied.size === 0) return;
    const there = new Set<string>();
    for (const clusterCidr of this.#options.clusterCidrs) {
      const which = ["root", clusterCidr, "proto", routeProtocol];
      const { stdout } = await run("ip", [...ipOf(clusterCidr), "-o", "route", "show", ...which]);
      for (const cidr of standingRoutes(stdout)) there.add(cidr);
    }
    const lost = [...this.#applied.keys()].filter((cidr) => !there.has(cidr));
    if (lost.length > 0) this.#overlayMtu = await this.#open().catch(() => undefined);
    for (const cidr of lost) this.#applied.delete(cidr);
    // Whoever was cut off may have looked far away meanwhile.
    for (const [cidr, { via }] of this.#overlaid)
      if (via && wayOf((await run("ip", [...ipOf(via), "-o", "route", "get", via])).stdout)?.isDirect)
        this.#applied.delete(cidr);
  }

  #overlay(): OverlayOptions {
    const { nodeAddress, clusterCidrs, podCidrs } = this.#options;
    return { nodeAddress, clusterCidr: clusterCidrs[0] ?? "", podCidr: podCidrs[0] ?? "" };
  }

  #open(): Promise<number> {
    const { wireguard, nodeAddress, podCidrs } = this.#options;
    if (!wireguard) return openOverlay(this.#overlay());
    return openWireguard({ podCidrs, nodeAddress, keyFile: wireguard.keyFile });
  }

  /** Never in the clear: a node that has told no key yet is out of reach. */
  async #reachSecretly({ cidr, cidrs, underlay, key }: Route): Promise<void> {
    if (key === undefined) throw new Error(`the node ${underlay} has shown no key for WireGuard yet`);
    if (this.#overlayMtu === undefined) throw new Error(`only WireGuard may lead to ${cidr}`);
    await reachPeer(this.#overlay().podCidr, { key, underlay, cidrs }, cidr, routeProtocol);
    await this.#options.onOverlay(this.#overlayMtu);
  }

  async #reach(route: Route): Promise<void> {
    if (this.#options.wireguard) return this.#reachSecretly(route);
    const { cidr, via, underlay } = route;
    const aim = via ?? underlay;
    const way = wayOf(await runOk("ip", [...ipOf(aim), "-o", "route", "get", aim]));
    if (!way) throw new Error(`no way leads to the node ${aim}`);
    this.#overlaid.delete(cidr);
    if (via && (way.isDirect || this.#overlayMtu === undefined)) {
      await runOk("ip", [...ipOf(cidr), "route", "replace", cidr, "via", via, "proto", routeProtocol]);
      return;
    }
    if (this.#overlayMtu === undefined) throw new Error(`only an overlay could lead to ${cidr}`);
    await reachThrough(this.#overlay().clusterCidr, route, routeProtocol);
    this.#overlaid.set(cidr, route);
    await this.#options.onOverlay(this.#overlayMtu);
  }
}

async function publishKey(
  { wireguard }: RouteOptions,
  own: Readonly<corev1.Node> | undefined,
): Promise<void> {
  if (!wireguard || !own) return;
  const { publicKey, publish } = wireguard;
  if (own.metadata.annotations?.[wireguardKeyAnnotation] !== publicKey) await publish(publicKey);
}

/** Keeps the kernel's routes equal to the Node objects. They stay when the agent stops. */
export async function startRoutes(options: RouteOptions): Promise<{ stop(): Promise<void> }> {
  const { log } = forComponent(options.world, "routes");
  const cache = options.informers.of(nodes);
  const routes = new Routes(options);
  let work = Promise.resolve();
  let said = "";
  const touch = () => {
    work = work
      .then(() => publishKey(options, cache.get(undefined, options.nodeName)))
      .then(() => routes.sync(routesOf(cache.list(), options.nodeName)))
      .catch((error: unknown) => {
        // Every heartbeat of every node comes by here: the same trouble is told once.
        if (messageOf(error) !== said) log.warn({ error: messageOf(error) }, "a route could not be set");
        said = messageOf(error);
      });
  };
  const off = cache.on({ add: touch, update: touch, delete: touch });
  const looker = options.world.clock.every(lookMs, touch);
  await cache.waitForSync();
  await work;
  return {
    async stop() {
      looker.cancel();
      off();
      await work;
    },
  };
}

/** Removes the routes to pods of these blocks, of the node that has that one itself. */
export async function removeRoutes(clusterCidrs: readonly string[], podCidr: string): Promise<void> {
  for (const cidr of clusterCidrs)
    await run("ip", [...ipOf(cidr), "route", "flush", "root", cidr, "proto", routeProtocol]);
  await closeOverlay(clusterCidrs[0] ?? "");
  await closeWireguard(podCidr);
}
