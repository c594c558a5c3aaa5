/** kube-proxy's role: keeps the node's nftables equal to what Services and EndpointSlices say. */
import { type corev1, endpointSlices, nodes, pods, services } from "#api";
import { deleteNftTable, forComponent, messageOf, nftTableName, type World } from "#base";
import { type Informers, indexByService, keyOf, serviceOf, slicesOfService } from "#client";
import { localReadyCount } from "./endpoints.ts";
import { type Family, hostPortAddress, hostPortFragment, serviceFragment } from "./fragments.ts";
import { HealthChecks } from "./health.ts";
import { allowLoopback } from "./loopback.ts";
import { endStaleFlows, forgetAffinities, goneTargets, stickyOf } from "./stale.ts";
import { ProxyTable } from "./table.ts";

export interface ProxyOptions {
  world: World;
  informers: Informers;
  clusterName: string;
  nodeName: string;
  /** Of every family that has pods. */
  nodeAddresses: readonly string[];
  /** Pods of the whole cluster and of this node: one of each family. */
  clusterCidrs: readonly string[];
  podCidrs: readonly string[];
  /** Addresses of Services: what nobody has been given leads nowhere. */
  serviceCidrs?: readonly string[];
}

export interface Proxy {
  /** Resolves when every change seen so far is in the kernel. */
  settled(): Promise<void>;
  stop(): Promise<void>;
}

/** Changes that come within this time share a transaction. */
const gatherMs = 10;
/** How often the rules are looked at, in case somebody flushed them. */
const verifyMs = 15_000;
const retryMs = 1_000;

const zoneLabel = "topology.kubernetes.io/zone";

/** Which of the cluster's nftables tables this is. */
const part = "proxy";
const families: readonly Family[] = ["ip", "ip6"];

const familyOf = (address: string): Family => (address.includes(":") ? "ip6" : "ip");

class RunningProxy implements Proxy {
  readonly #options: ProxyOptions;
  readonly #world: World;
  readonly #tables: readonly ProxyTable[];
  readonly #health: HealthChecks;
  readonly #services;
  readonly #slices;
  readonly #pods;
  readonly #nodes;
  readonly #syncSeconds;
  /** Owners whose fragments are to be made again: `service/NAMESPACE/NAME`, `pod/NAMESPACE/NAME`. */
  #dirty = new Set<string>();
  /** Pods whose host ports are new: their links have to let 127.0.0.1 through. */
  #loopbacks = new Set<string>();
  #running: Promise<void> | undefined;
  #due = false;
  #stopped = false;
  #healthy = true;

  constructor(options: ProxyOptions) {
    const { informers, clusterName, nodeName } = options;
    this.#options = options;
    this.#world = forComponent(options.world, "proxy");
    this.#syncSeconds = options.world.metrics.latency(
      "knarr_proxy_sync_seconds",
      "Time of one nftables transaction.",
    );
    this.#services = informers.of(services);
    this.#slices = indexByService(informers.of(endpointSlices));
    this.#pods = informers.of(pods, { fieldSelector: `spec.nodeName=${nodeName}` });
    this.#nodes = informers.of(nodes);
    this.#health = new HealthChecks(this.#world, () => this.#healthy);
    this.#tables = options.clusterCidrs.map((clusterCidr) => {
      const family = familyOf(clusterCidr);
      const ofFamily = (cidrs: readonly string[] = []) => cidrs.find((cidr) => familyOf(cidr) === family);
      const podCidr = ofFamily(options.podCidrs) ?? clusterCidr;
      const serviceCidr = ofFamily(options.serviceCidrs);
      const table = nftTableName(clusterName, part);
      return new ProxyTable({
        table,
        family,
        clusterCidr,
        podCidr,
        ...(serviceCidr ? { serviceCidr } : {}),
      });
    });
  }

  async start(): Promise<() => void> {
    const touchService = (service: Readonly<corev1.Service>) => this.#touch(`service/${keyOf(service)}`);
    const touchPod = (pod: Readonly<corev1.Pod>) => this.#touch(`pod/${keyOf(pod)}`);
    const offs = [
      this.#services.on({ add: touchService, update: touchService, delete: touchService }),
      this.#slices.on({
        add: (slice) => this.#touchSlice(serviceOf(slice)),
        update: (slice, old) => this.#touchSlice(serviceOf(slice), serviceOf(old)),
        delete: (slice) => this.#touchSlice(serviceOf(slice)),
      }),
      this.#pods.on({
        add: touchPod,
        update: (pod, old) => {
          if (pod.status?.podIP !== old.status?.podIP || pod.status?.phase !== old.status?.phase)
            touchPod(pod);
        },
        delete: touchPod,
      }),
      this.#nodes.on({ update: (node, old) => this.#nodeChanged(node, old) }),
    ];
    await Promise.all(
      [this.#services, this.#slices, this.#pods, this.#nodes].map((cache) => cache.waitForSync()),
    );
    // Also where there is nothing yet: the table is what later changes build on.
    this.#touch();
    await this.#running;
    return () => {
      for (const off of offs) off();
    };
  }

  settled(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#health.stop();
    await this.#running;
  }

  async verify(): Promise<void> {
    try {
      const stand = await Promise.all(this.#tables.map((table) => table.verify()));
      if (!this.#stopped && !stand.every(Boolean)) this.#touch();
    } catch (error) {
      this.#world.log.warn({ error: messageOf(error) }, "the rules could not be looked at");
    }
  }

  #touchSlice(...owners: (string | undefined)[]): void {
    for (const owner of owners) if (owner) this.#touch(`service/${owner}`);
  }

  /** Another zone: other endpoints are near. */
  #nodeChanged(node: Readonly<corev1.Node>, old: Readonly<corev1.Node>): void {
    const { name, labels } = node.metadata;
    if (name !== this.#options.nodeName || labels?.[zoneLabel] === old.metadata.labels?.[zoneLabel]) return;
    for (const service of this.#services.list()) this.#touch(`service/${keyOf(service)}`);
  }

  #touch(owner?: string): void {
    if (owner) this.#dirty.add(owner);
    this.#due = true;
    if (!this.#stopped) this.#running ??= this.#loop();
  }

  async #loop(): Promise<void> {
    const { clock, log } = this.#world;
    while (this.#due && !this.#stopped) {
      await clock.sleep(gatherMs);
      this.#due = false;
      try {
        this.#refresh();
        for (const table of this.#tables) await this.#sync(table);
        await this.#openLoopbacks();
        this.#healthy = true;
      } catch (error) {
        log.warn(
          { error: messageOf(error) },
          "nftables refused a transaction; writing the whole table again",
        );
        this.#healthy = false;
        this.#due = true;
        await clock.sleep(retryMs);
      }
    }
    this.#running = undefined;
  }

  #refresh(): void {
    const dirty = this.#dirty;
    this.#dirty = new Set();
    const node = this.#nodes.get(undefined, this.#options.nodeName);
    const zone = node?.metadata.labels?.[zoneLabel] ?? "";
    for (const owner of dirty) {
      const key = owner.slice(owner.indexOf("/") + 1);
      if (owner.startsWith("service/")) this.#refreshService(owner, key, zone);
      else this.#refreshPod(owner, key, zone);
    }
  }

  #placeIn({ options: { family } }: ProxyTable, zone: string) {
    const { nodeName, nodeAddresses } = this.#options;
    return { nodeName, zone, family, nodeAddresses: nodeAddresses.filter((a) => familyOf(a) === family) };
  }

  #refreshService(owner: string, key: string, zone: string): void {
    const service = this.#services.byKey(key);
    const slices = slicesOfService(this.#slices, key);
    for (const table of this.#tables)
      table.set(owner, service && serviceFragment(service, slices, this.#placeIn(table, zone)));
    const port = service?.spec.healthCheckNodePort;
    const localEndpoints = localReadyCount(slices, this.#options.nodeName);
    const { namespace = "", name = "" } = service?.metadata ?? {};
    this.#health.set(key, port ? { namespace, name, port, localEndpoints } : undefined);
  }

  #refreshPod(owner: string, key: string, zone: string): void {
    const pod = this.#pods.byKey(key);
    for (const table of this.#tables) {
      const fragment = pod && hostPortFragment(pod, this.#placeIn(table, zone));
      const address = pod && hostPortAddress(pod, table.options.family);
      if (fragment && address && table.options.family === "ip") this.#loopbacks.add(address);
      table.set(owner, fragment);
    }
  }

  async #sync(table: ProxyTable): Promise<void> {
    const end = this.#syncSeconds.startTimer();
    const changes = await table.sync();
    end();
    const gone = goneTargets(changes, table.store);
    if (gone.length === 0) return;
    try {
      await endStaleFlows(gone);
      const sticky = stickyOf(gone, changes, table.store);
      if (sticky.length > 0) await forgetAffinities(table.options, sticky);
    } catch (error) {
      this.#world.log.warn({ error: messageOf(error) }, "what was known of endpoints that have gone stays");
    }
  }

  async #openLoopbacks(): Promise<void> {
    const addresses = [...this.#loopbacks];
    this.#loopbacks.clear();
    for (const address of addresses) {
      await allowLoopback(address).catch((error: unknown) =>
        this.#world.log.debug({ error: messageOf(error) }, "a host port is not on 127.0.0.1"),
      );
    }
  }
}

export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const proxy = new RunningProxy(options);
  const off = await proxy.start();
  const verifier = options.world.clock.every(verifyMs, () => void proxy.verify());
  return {
    settled: () => proxy.settled(),
    async stop() {
      verifier.cancel();
      off();
      await proxy.stop();
    },
  };
}

/** Removes the rules. A stopped agent leaves them, so that running pods keep their Services. */
export async function removeProxy(clusterName: string): Promise<void> {
  for (const family of families) await deleteNftTable(nftTableName(clusterName, part), family);
}
