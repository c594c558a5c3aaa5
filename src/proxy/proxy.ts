/** kube-proxy's role: keeps the node's nftables equal to what Services and EndpointSlices say. */
import { endpointSlices, pods, services } from "#api";
import {
  applyNftRules,
  deleteNftTable,
  forComponent,
  hasNftTable,
  messageOf,
  nftTableName,
  type World,
} from "#base";
import type { Informers } from "#client";
import { proxyElements } from "./elements.ts";
import { capacityFor, emptyElements, skeleton, transaction } from "./ruleset.ts";

export interface ProxyOptions {
  world: World;
  informers: Informers;
  clusterName: string;
  nodeName: string;
  nodeAddresses: readonly string[];
}

export interface Proxy {
  /** Resolves when every change seen so far is in the kernel. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** Changes that come within this time share a transaction. */
const gatherMs = 10;
/** How often the table is looked at, in case somebody flushed the rules. */
const verifyMs = 30_000;
const retryMs = 1_000;

/** Which of the cluster's nftables tables this is. */
const part = "proxy";

export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const { world, informers } = options;
  const { log, clock } = forComponent(world, "proxy");
  const table = nftTableName(options.clusterName, part);
  const syncSeconds = world.metrics.latency("knarr_proxy_sync_seconds", "Time of one nftables transaction.");
  const serviceCache = informers.of(services);
  const sliceCache = informers.of(endpointSlices);
  const podCache = informers.of(pods, { fieldSelector: `spec.nodeName=${options.nodeName}` });

  let applied: ReturnType<typeof emptyElements> | undefined;
  let capacity = 0;
  let dirty = true;
  let stopped = false;
  let running: Promise<void> | undefined;

  /** One transaction, or the whole table where none stands yet, it is too small, or the last attempt failed. */
  const sync = async () => {
    const wanted = proxyElements({
      nodeName: options.nodeName,
      nodeAddresses: options.nodeAddresses,
      services: serviceCache.list(),
      slices: sliceCache.list(),
      pods: podCache.list(),
    });
    const former = applied && wanted.largest <= capacity ? applied : undefined;
    capacity = former ? capacity : capacityFor(wanted);
    const base = former ? "" : skeleton(table, capacity);
    const rules = base + transaction(table, former ?? emptyElements(), wanted);
    applied = undefined;
    const end = syncSeconds.startTimer();
    if (rules) await applyNftRules(rules);
    end();
    applied = wanted;
  };

  const loop = async () => {
    while (dirty && !stopped) {
      await clock.sleep(gatherMs);
      dirty = false;
      try {
        await sync();
      } catch (error) {
        log.warn(
          { error: messageOf(error) },
          "nftables refused a transaction; writing the whole table again",
        );
        dirty = true;
        await clock.sleep(retryMs);
      }
    }
    running = undefined;
  };
  const touch = () => {
    dirty = true;
    if (!stopped) running ??= loop();
  };

  const handlers = [serviceCache, sliceCache, podCache].map((cache) =>
    cache.on({ add: touch, update: touch, delete: touch }),
  );
  await Promise.all([serviceCache.waitForSync(), sliceCache.waitForSync(), podCache.waitForSync()]);
  const verifier = clock.every(verifyMs, () => {
    hasNftTable(table).then(
      (there) => {
        if (there || stopped) return;
        applied = undefined;
        touch();
      },
      (error) => log.warn({ error: messageOf(error) }, "the rules could not be looked at"),
    );
  });
  touch();
  await running;
  return {
    settled: () => running ?? Promise.resolve(),
    async stop() {
      stopped = true;
      verifier.cancel();
      for (const off of handlers) off();
      await running;
    },
  };
}

/** Removes the rules. A stopped agent leaves them, so that running pods keep their Services. */
export async function removeProxy(clusterName: string): Promise<void> {
  await deleteNftTable(nftTableName(clusterName, part));
}
