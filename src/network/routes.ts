/**
 * The ways to the pods of the other nodes: through the node's own address where nothing stands between (host gateway),
 * and through the overlay where a router does.
 */
import { type corev1, nodes } from "#api";
import { forComponent, messageOf, run, runOk, type World } from "#base";
import type { Informers } from "#client";
import { closeOverlay, openOverlay, reachThrough, wayOf } from "./vxlan.ts";

export interface Route {
  cidr: string;
  via: string;
}

/** The routes of one node: pure. */
export function routesOf(all: readonly Readonly<corev1.Node>[], ownName: string): Route[] {
  return all.flatMap((node) => {
    const via = node.status.addresses?.find((a) => a.type === "InternalIP")?.address;
    const cidr = node.spec.podCIDR;
    return node.metadata.name !== ownName && via && cidr ? [{ cidr, via }] : [];
  });
}

/** The destinations that `ip -o route show` lists. */
export function standingRoutes(listed: string): ReadonlySet<string> {
  return new Set(listed.split("\n").flatMap((line) => /^\d\S*/.exec(line)?.[0] ?? []));
}

/** Marks our routes, so that no other program's are ever touched (see ip-route(8), `proto`). */
const routeProtocol = "196";

export interface RouteOptions {
  world: World;
  informers: Informers;
  nodeName: string;
  nodeAddress: string;
  clusterCidr: string;
  podCidr: string;
  /** What pods may send at once where the overlay is used. */
  onOverlay(mtu: number): Promise<void>;
}

/** How often the routes are looked at. */
const lookMs = 10_000;

class Routes {
  readonly #options: RouteOptions;
  readonly #applied = new Map<string, string>();
  readonly #overlaid = new Map<string, string>();
  /** The overlay stands: with the first other node, since that one may need it even where this one does not. */
  #overlayMtu: number | undefined;

  constructor(options: RouteOptions) {
    this.#options = options;
  }

  async sync(wanted: ReadonlyMap<string, string>): Promise<void> {
    const troubles: string[] = [];
    if (wanted.size > 0 && this.#overlayMtu === undefined)
      this.#overlayMtu = await openOverlay(this.#options).catch((error: unknown) => {
        troubles.push(messageOf(error));
        return undefined;
      });
    await this.#forgetLost();
    for (const [cidr, via] of wanted) {
      if (this.#applied.get(cidr) === via) continue;
      try {
        await this.#reach({ cidr, via });
        this.#applied.set(cidr, via);
      } catch (error) {
        troubles.push(messageOf(error));
      }
    }
    for (const cidr of [...this.#applied.keys()].filter((c) => !wanted.has(c))) {
      await run("ip", ["route", "del", cidr, "proto", routeProtocol]);
      this.#applied.delete(cidr);
      this.#overlaid.delete(cidr);
    }
    // One node that is out of reach keeps nobody from the others.
    if (troubles.length > 0) throw new Error(troubles.join("; "));
  }

  /** A link that was down for a moment has lost its routes, and a device that somebody removed too. */
  async #forgetLost(): Promise<void> {
    if (this.#applied.size === 0) return;
    const { clusterCidr } = this.#options;
    const { stdout } = await run("ip", ["-o", "route", "show", "root", clusterCidr, "proto", routeProtocol]);
    const there = standingRoutes(stdout);
    const lost = [...this.#applied.keys()].filter((cidr) => !there.has(cidr));
    if (lost.length > 0) this.#overlayMtu = await openOverlay(this.#options).catch(() => undefined);
    for (const cidr of lost) this.#applied.delete(cidr);
    // Whoever was cut off may have looked far away meanwhile.
    for (const [cidr, via] of this.#overlaid)
      if (wayOf((await run("ip", ["-o", "route", "get", via])).stdout)?.isDirect) this.#applied.delete(cidr);
  }

  async #reach(route: Route): Promise<void> {
    const { clusterCidr, onOverlay } = this.#options;
    const way = wayOf(await runOk("ip", ["-o", "route", "get", route.via]));
    if (!way) throw new Error(`no way leads to the node ${route.via}`);
    this.#overlaid.delete(route.cidr);
    if (way.isDirect || this.#overlayMtu === undefined) {
      await runOk("ip", ["route", "replace", route.cidr, "via", route.via, "proto", routeProtocol]);
      return;
    }
    await reachThrough(clusterCidr, route, routeProtocol);
    this.#overlaid.set(route.cidr, route.via);
    await onOverlay(this.#overlayMtu);
  }
}

/** Keeps the kernel's routes equal to the Node objects. They stay when the agent stops. */
export async function startRoutes(options: RouteOptions): Promise<{ stop(): Promise<void> }> {
  const { log } = forComponent(options.world, "routes");
  const cache = options.informers.of(nodes);
  const routes = new Routes(options);
  let work = Promise.resolve();
  let said = "";
  const touch = () => {
    const wanted = () =>
      routesOf(cache.list(), options.nodeName).map(({ cidr, via }) => [cidr, via] as const);
    work = work
      .then(() => routes.sync(new Map(wanted())))
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

/** Removes the routes to pods of `clusterCidr`. */
export async function removeRoutes(clusterCidr: string): Promise<void> {
  await run("ip", ["route", "flush", "root", clusterCidr, "proto", routeProtocol]);
  await closeOverlay(clusterCidr);
}
