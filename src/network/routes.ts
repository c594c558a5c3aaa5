/**
 * Host-gateway routes: the pods of every other node are reached through that node's own address. It needs nodes that
 * see each other without a router between them.
 */
import { type corev1, nodes } from "#api";
import { forComponent, messageOf, run, type World } from "#base";
import type { Informers } from "#client";

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

/** Marks our routes, so that no other program's are ever touched (see ip-route(8), `proto`). */
const routeProtocol = "196";

export interface RouteOptions {
  world: World;
  informers: Informers;
  nodeName: string;
}

/** Keeps the kernel's routes equal to the Node objects. They stay when the agent stops. */
export async function startRoutes(options: RouteOptions): Promise<{ stop(): Promise<void> }> {
  const { log } = forComponent(options.world, "routes");
  const cache = options.informers.of(nodes);
  const applied = new Map<string, string>();
  let work = Promise.resolve();
  const sync = async () => {
    const wanted = new Map(routesOf(cache.list(), options.nodeName).map((route) => [route.cidr, route.via]));
    const troubles: string[] = [];
    for (const [cidr, via] of wanted) {
      if (applied.get(cidr) === via) continue;
      const { code, stderr } = await run("ip", [
        "route",
        "replace",
        cidr,
        "via",
        via,
        "proto",
        routeProtocol,
      ]);
      if (code === 0) applied.set(cidr, via);
      else troubles.push(`${cidr} via ${via}: ${stderr.trim()}`);
    }
    for (const cidr of [...applied.keys()].filter((c) => !wanted.has(c))) {
      await run("ip", ["route", "del", cidr, "proto", routeProtocol]);
      applied.delete(cidr);
    }
    // One node that is out of reach keeps nobody from the others.
    if (troubles.length > 0) throw new Error(troubles.join("; "));
  };
  let said = "";
  const touch = () => {
    work = work.then(sync).catch((error: unknown) => {
      // Every heartbeat of every node comes by here: the same trouble is told once.
      if (messageOf(error) !== said) log.warn({ error: messageOf(error) }, "a route could not be set");
      said = messageOf(error);
    });
  };
  const off = cache.on({ add: touch, update: touch, delete: touch });
  await cache.waitForSync();
  await work;
  return {
    async stop() {
      off();
      await work;
    },
  };
}

/** Removes the routes to pods of `clusterCidr`. */
export async function removeRoutes(clusterCidr: string): Promise<void> {
  await run("ip", ["route", "flush", "root", clusterCidr, "proto", routeProtocol]);
}
