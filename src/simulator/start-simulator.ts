/** Runs nodes without machines: they register, send heartbeats, and give life to the pods bound to them. */
import { type corev1, formatMicroTime, isStatus, leases, nodes, pods } from "#api";
import { forComponent, messageOf, type World } from "#base";
import { type Client, createInformers, type Informer, type Informers, keyOf, WorkQueue } from "#client";
import {
  nodeDraft,
  nodeStatus,
  type PlacedNode,
  placeNodes,
  podAddress,
  podAddressesPerNode,
  type SimulatedNode,
} from "./nodes.ts";
import { defaultStages, nextStep, type Place, type Stages } from "./pod-life.ts";

export interface SimulatorOptions {
  client: Client;
  world: World;
  informers?: Informers;
  /** How many, or which. */
  nodes: number | readonly SimulatedNode[];
  stages?: Partial<Stages>;
}

export interface RunningSimulator {
  readonly nodeNames: readonly string[];
  /** The node falls silent: no heartbeats, and its pods stay as they are. */
  silence(name: string): void;
  revive(name: string): void;
  stop(): Promise<void>;
}

const leaseNamespace = "kube-node-lease";
const leaseSeconds = 40;
/**
 * Each node renews its lease once in so many ticks of a second: not all at once, and where there are many nodes less often
 * than a kubelet does, which still is twice before the lease ends.
 */
const heartbeatTicksFew = 10;
const heartbeatTicksMany = 20;
const manyNodes = 1_000;
/** Nodes work side by side; more of them at once than this would only wait for the same server. */
const workers = 256;
/** So many nodes register at a time. */
const registrationsMax = 32;

export async function startSimulator(options: SimulatorOptions): Promise<RunningSimulator> {
  const world = forComponent(options.world, "simulator");
  const informers = options.informers ?? createInformers(options.client, world);
  const simulator = new Simulator(options, world, informers.of(pods));
  const stop = new AbortController();
  if (!options.informers) informers.start(stop.signal);
  await simulator.register();
  const running = simulator.run();
  return {
    nodeNames: simulator.nodeNames,
    silence: (name) => simulator.silence(name),
    revive: (name) => simulator.revive(name),
    async stop() {
      stop.abort();
      simulator.stop();
      await running;
    },
  };
}

class Simulator {
  readonly #client: Client;
  readonly #world: World;
  readonly #stages: Stages;
  readonly #nodes: ReadonlyMap<string, PlacedNode>;
  readonly #silent = new Set<string>();
  readonly #pods: Informer<corev1.Pod>;
  readonly #queue: WorkQueue<string>;
  readonly #places = new Map<string, Place>();
  readonly #addresses = new Map<string, NodeAddresses>();
  readonly #end = new AbortController();

  constructor(options: SimulatorOptions, world: World, podInformer: Informer<corev1.Pod>) {
    this.#client = options.client;
    this.#world = world;
    this.#stages = { ...defaultStages, ...options.stages };
    this.#nodes = new Map(placeNodes(options.nodes).map((node) => [node.name, node]));
    this.#pods = podInformer;
    this.#queue = new WorkQueue({
      clock: world.clock,
      metrics: world.metrics,
      name: "simulator",
      maxDelayMs: 10_000,
    });
    const gauge = world.metrics.gauge("knarr_simulated_nodes", "Nodes without machines");
    gauge.set(this.#nodes.size);
  }

  get nodeNames(): readonly string[] {
    return [...this.#nodes.keys()];
  }

  silence(name: string): void {
    this.#silent.add(name);
  }

  revive(name: string): void {
    if (!this.#silent.delete(name)) return;
    const node = this.#nodes.get(name);
    if (!node) return;
    this.#setStatus(node).catch((error: unknown) => this.#log(name, error));
    for (const pod of this.#pods.list()) if (pod.spec.nodeName === name) this.#queue.add(keyOf(pod));
  }

  async register(): Promise<void> {
    const waiting = [...this.#nodes.values()];
    const one = async () => {
      for (let node = waiting.shift(); node; node = waiting.shift()) {
        const isNew = await created(this.#client.create(nodes, nodeDraft(node, this.#world.clock.now())));
        if (!isNew) await this.#setStatus(node);
        await this.#renew(node);
      }
    };
    await Promise.all(Array.from({ length: registrationsMax }, one));
  }

  async run(): Promise<void> {
    const { clock } = this.#world;
    const unsubscribe = this.#pods.on({
      add: (pod) => this.#changed(pod),
      update: (pod) => this.#changed(pod),
      delete: (pod) => this.#gone(pod),
    });
    let tick = 0;
    const ticks = this.#nodes.size > manyNodes ? heartbeatTicksMany : heartbeatTicksFew;
    const heartbeat = clock.every(1_000, () => this.#heartbeats(tick++ % ticks, ticks));
    await Promise.all(Array.from({ length: workers }, () => this.#work()));
    heartbeat.cancel();
    unsubscribe();
  }

  stop(): void {
    this.#end.abort();
    this.#queue.stop();
  }

  #log(subject: string, error: unknown): void {
    this.#world.log.debug({ subject, error: messageOf(error) }, "trying again later");
  }

  async #setStatus(node: PlacedNode): Promise<void> {
    const status = nodeStatus(node, this.#world.clock.now());
    await this.#client.patch(
      nodes,
      { name: node.name },
      "merge",
      { status },
      {
        subresource: "status",
        ignoresAnswer: true,
      },
    );
  }

  #heartbeats(turn: number, ticks: number): void {
    for (const node of this.#nodes.values()) {
      if (node.index % ticks !== turn || this.#silent.has(node.name)) continue;
      this.#renew(node).catch((error: unknown) => this.#log(node.name, error));
    }
  }

  async #renew({ name }: PlacedNode): Promise<void> {
    const spec = {
      holderIdentity: name,
      leaseDurationSeconds: leaseSeconds,
      renewTime: formatMicroTime(this.#world.clock.now()),
    };
    try {
      await this.#client.patch(
        leases,
        { namespace: leaseNamespace, name },
        "merge",
        { spec },
        { ignoresAnswer: true },
      );
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
      await created(this.#client.create(leases, { metadata: { namespace: leaseNamespace, name }, spec }));
    }
  }

  #changed(pod: Readonly<corev1.Pod>): void {
    const node = this.#nodes.get(pod.spec.nodeName ?? "");
    if (!node) return;
    if (!this.#places.has(pod.metadata.uid)) this.#place(pod, node);
    this.#queue.add(keyOf(pod));
  }

  #place(pod: Readonly<corev1.Pod>, node: PlacedNode): void {
    const addresses = this.#addresses.get(node.name) ?? new NodeAddresses(node);
    this.#addresses.set(node.name, addresses);
    const podIP = pod.spec.hostNetwork ? node.address : addresses.take(pod.status?.podIP);
    this.#places.set(pod.metadata.uid, { hostIP: node.address, podIP, seenMs: this.#world.clock.now() });
  }

  #gone(pod: Readonly<corev1.Pod>): void {
    const place = this.#places.get(pod.metadata.uid);
    if (!place) return;
    this.#places.delete(pod.metadata.uid);
    this.#addresses.get(pod.spec.nodeName ?? "")?.free(place.podIP);
    this.#queue.forget(keyOf(pod));
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      try {
        await this.#live(key);
        this.#queue.forget(key);
      } catch (error) {
        this.#log(key, error);
        this.#queue.addRateLimited(key);
      }
      this.#queue.done(key);
    }
  }

  async #live(key: string): Promise<void> {
    const pod = this.#pods.byKey(key);
    const place = pod && this.#places.get(pod.metadata.uid);
    if (!pod || !place || this.#silent.has(pod.spec.nodeName ?? "")) return;
    const step = nextStep(pod, place, this.#stages, this.#world.clock.now());
    if (!step) return;
    const { uid } = pod.metadata;
    switch (step.kind) {
      case "wait":
        this.#queue.addAfter(key, step.ms);
        return;
      case "status":
        await gone(
          this.#client.patch(
            pods,
            pod.metadata,
            "merge",
            { metadata: { uid }, status: step.status },
            { subresource: "status", ignoresAnswer: true },
          ),
        );
        return;
      case "remove":
        await gone(
          this.#client.delete(pods, pod.metadata, { gracePeriodSeconds: 0, preconditions: { uid } }),
        );
    }
  }
}

/** Pod addresses of one node, each after the last one given, as the host-local plugin hands them out. */
class NodeAddresses {
  readonly #node: PlacedNode;
  readonly #taken = new Set<string>();
  #next = 0;

  constructor(node: PlacedNode) {
    this.#node = node;
  }

  /** Which one, if the pod has one already. */
  take(known: string | undefined): string {
    const address = known ?? this.#free();
    this.#taken.add(address);
    return address;
  }

  free(address: string): void {
    this.#taken.delete(address);
  }

  #free(): string {
    for (let tried = 0; tried < podAddressesPerNode; tried++) {
      const address = podAddress(this.#node, this.#next);
      this.#next = (this.#next + 1) % podAddressesPerNode;
      if (!this.#taken.has(address)) return address;
    }
    throw new RangeError(`${this.#node.name} has no address left`);
  }
}

/** A pod that is gone, or another of the same name, is nobody's business any more. */
async function gone(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
  }
}

/** False: it is there already. */
async function created(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
    return false;
  }
}
