/** kube-scheduler's role: finds a node for every pod that has none. */
import {
  type corev1,
  formatTime,
  isStatus,
  namespaces,
  nodes,
  pods,
  replicaSets,
  selectorMatches,
  services,
} from "#api";
import { forComponent, type Histogram, messageOf, type World } from "#base";
import {
  type Client,
  controllerOf,
  createEventRecorder,
  createInformers,
  type EventRecorder,
  type Informer,
  type Informers,
  joinKey,
  keyOf,
} from "#client";
import { type Pod, type PodInfo, podInfoOf, SchedulerCache } from "./cache.ts";
import { type Rotation, schedule } from "./cycle.ts";
import type { SchedulingWorld } from "./define-plugin.ts";
import { defaultProfile, type SchedulerProfile } from "./profile.ts";
import { type QueuedPod, SchedulingQueue } from "./queue.ts";

export interface SchedulerOptions {
  client: Client;
  world: World;
  /** Shared with others of the same process; without, the scheduler has its own. */
  informers?: Informers;
  profile?: SchedulerProfile;
}

export interface RunningScheduler {
  stop(): Promise<void>;
}

/** So many assignments are written at a time. */
const bindsMax = 100;
/** After so many cycles without a pause, others get their turn. */
const cyclesPerTurn = 64;
/** After an assignment that may or may not have been made. */
const askAgainMs = 1_000;

export async function startScheduler(options: SchedulerOptions): Promise<RunningScheduler> {
  const world = forComponent(options.world, "scheduler");
  const informers = options.informers ?? createInformers(options.client, world);
  const scheduler = new Scheduler(options.client, world, informers, options.profile ?? defaultProfile);
  const stop = new AbortController();
  if (!options.informers) informers.start(stop.signal);
  const loop = scheduler.run();
  return {
    async stop() {
      stop.abort();
      scheduler.stop();
      await loop;
    },
  };
}

class Scheduler {
  readonly #client: Client;
  readonly #world: World;
  readonly #profile: SchedulerProfile;
  readonly #cache = new SchedulerCache();
  readonly #queue: SchedulingQueue;
  readonly #events: EventRecorder;
  readonly #pods: Informer<corev1.Pod>;
  readonly #informers: Informer[];
  readonly #lookups: SchedulingWorld;
  readonly #rotation: Rotation = { next: 0 };
  readonly #binds = new Set<Promise<void>>();
  readonly #stopped = Promise.withResolvers<void>();
  readonly #end = new AbortController();
  readonly #unsubscribe: (() => void)[];
  readonly #latency: Histogram<"result">;

  constructor(client: Client, world: World, informers: Informers, profile: SchedulerProfile) {
    this.#client = client;
    this.#world = world;
    this.#profile = profile;
    this.#queue = new SchedulingQueue(world.clock, profile);
    this.#events = createEventRecorder({ client, world, component: profile.schedulerName });
    this.#lookups = lookupsOf(informers);
    this.#latency = world.metrics.latency(
      "scheduler_scheduling_attempt_duration_seconds",
      "Scheduling attempt latency in seconds",
      ["result"],
    );
    const [podInformer, nodeInformer] = [informers.of(pods), informers.of(nodes)];
    this.#pods = podInformer;
    const others = [informers.of(services), informers.of(replicaSets), informers.of(namespaces)];
    this.#informers = [podInformer, nodeInformer, ...others] as unknown as Informer[];
    // Nodes first: the pods on them find their place at once.
    this.#unsubscribe = [this.#followNodes(nodeInformer), this.#followPods(podInformer)];
  }

  async run(): Promise<void> {
    const synced = Promise.all(this.#informers.map((informer) => informer.waitForSync()));
    await Promise.race([synced, this.#stopped.promise]);
    let cycles = 0;
    for (let queued = await this.#queue.take(); queued; queued = await this.#queue.take()) {
      this.#tryOne(queued);
      while (this.#binds.size >= bindsMax) await Promise.race(this.#binds);
      if (++cycles % cyclesPerTurn === 0) await this.#world.clock.sleep(0);
    }
    await Promise.all(this.#binds);
    await this.#events.stop();
  }

  stop(): void {
    for (const end of this.#unsubscribe) end();
    this.#queue.stop();
    this.#end.abort();
    this.#stopped.resolve();
  }

  #followNodes(informer: Informer<corev1.Node>): () => void {
    const changed = (kind: "NodeAdded" | "NodeChanged", node: Readonly<corev1.Node>) => {
      this.#cache.setNode(node);
      this.#queue.wake({ kind, node: this.#cache.node(node.metadata.name)! });
    };
    return informer.on({
      add: (node) => changed("NodeAdded", node),
      update: (node, old) => {
        if (matters(node, old)) changed("NodeChanged", node);
      },
      delete: (node) => this.#cache.removeNode(node.metadata.name),
    });
  }

  #followPods(informer: Informer<corev1.Pod>): () => void {
    return informer.on({
      add: (pod) => this.#podChanged(pod, undefined),
      update: (pod, old) => this.#podChanged(pod, old),
      delete: (pod) => this.#podGone(pod),
    });
  }

  #podChanged(pod: Pod, old: Pod | undefined): void {
    const key = keyOf(pod);
    const ended = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    if (ended) {
      this.#podGone(pod);
    } else if (pod.spec.nodeName) {
      const added = !old?.spec.nodeName;
      this.#queue.delete(key);
      if (!added && samePlacement(pod, old)) return;
      this.#cache.setPod(pod);
      this.#queue.wake({ kind: added ? "PodAdded" : "PodChanged", pod });
    } else if (this.#isOurs(pod) && !pod.metadata.deletionTimestamp) {
      if (!this.#cache.isPlaced(key)) this.#queue.set(key, pod, old !== undefined && !sameWishes(pod, old));
    } else {
      this.#queue.delete(key);
    }
  }

  #podGone(pod: Pod): void {
    const key = keyOf(pod);
    this.#queue.delete(key);
    this.#cache.removePod(key);
    if (pod.spec.nodeName) this.#queue.wake({ kind: "PodDeleted", pod });
  }

  #isOurs(pod: Pod): boolean {
    return (pod.spec.schedulerName ?? this.#profile.schedulerName) === this.#profile.schedulerName;
  }

  #tryOne(queued: QueuedPod): void {
    const { clock, random } = this.#world;
    const startedMs = clock.monotonic();
    const pod = this.#pods.byKey(queued.key);
    // Assigned or gone while it waited: an assignment whose answer was lost is one.
    if (!pod || pod.spec.nodeName || pod.metadata.deletionTimestamp) {
      this.#queue.done(queued.key);
      return;
    }
    queued.pod = pod;
    const info = podInfoOf(pod);
    const result = schedule(info, this.#cache, this.#profile, this.#lookups, random, this.#rotation);
    const outcome = result.kind === "node" ? "scheduled" : "unschedulable";
    this.#latency.observe({ result: outcome }, (clock.monotonic() - startedMs) / 1000);
    if (result.kind === "node") {
      this.#cache.assume(info, result.name);
      this.#track(this.#bind(queued, info, result.name));
    } else {
      this.#queue.reject(queued, result.rejectedBy);
      this.#track(this.#tellUnschedulable(queued.pod, result.message));
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#binds.delete(tracked));
    this.#binds.add(tracked);
  }

  async #bind(queued: QueuedPod, info: PodInfo, nodeName: string): Promise<void> {
    const { namespace, name, uid } = info.pod.metadata;
    try {
      await this.#client.post(pods, info.pod.metadata, "binding", {
        apiVersion: "v1",
        kind: "Binding",
        metadata: { namespace, name, uid },
        target: { apiVersion: "v1", kind: "Node", name: nodeName },
      });
      this.#queue.done(queued.key);
      const message = `Successfully assigned ${joinKey(namespace, name)} to ${nodeName}`;
      this.#events.record(info.pod, "Normal", "Scheduled", message);
    } catch (error) {
      this.#world.log.debug({ pod: queued.key, error: messageOf(error) }, "the assignment failed");
      await this.#learnOutcome(queued);
    }
  }

  /** A failed request may have done its work: until the API says what is, the place counts as taken. */
  async #learnOutcome(queued: QueuedPod): Promise<void> {
    while (!this.#end.signal.aborted) {
      const pod = await this.#ask(queued.pod);
      if (pod === "unknown") {
        await this.#world.clock.sleep(askAgainMs, this.#end.signal);
      } else if (pod?.spec.nodeName) {
        this.#cache.setPod(pod);
        this.#queue.done(queued.key);
        return;
      } else {
        this.#cache.forget(queued.key);
        if (pod) this.#queue.retry(queued);
        else this.#queue.done(queued.key);
        return;
      }
    }
  }

  /** The pod as it is now; undefined: it is gone. */
  async #ask(pod: Pod): Promise<Pod | undefined | "unknown"> {
    try {
      const now = await this.#client.get(pods, pod.metadata);
      return now.metadata.uid === pod.metadata.uid ? now : undefined;
    } catch (error) {
      return isStatus(error, "NotFound") ? undefined : "unknown";
    }
  }

  async #tellUnschedulable(pod: Pod, message: string): Promise<void> {
    this.#events.record(pod, "Warning", "FailedScheduling", message);
    const conditions = pod.status?.conditions ?? [];
    const current = conditions.find((condition) => condition.type === "PodScheduled");
    if (current?.status === "False" && current.reason === "Unschedulable" && current.message === message)
      return;
    const time =
      current?.status === "False" ? current.lastTransitionTime : formatTime(this.#world.clock.now());
    const condition = {
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message,
      ...(time ? { lastTransitionTime: time } : {}),
    };
    const { uid, resourceVersion } = pod.metadata;
    const next = [...conditions.filter((each) => each.type !== "PodScheduled"), condition];
    try {
      const patch = { metadata: { uid, resourceVersion }, status: { conditions: next } };
      await this.#client.patch(pods, pod.metadata, "merge", patch, { subresource: "status" });
    } catch (error) {
      this.#world.log.debug({ pod: keyOf(pod), error: messageOf(error) }, "the condition was not written");
    }
  }
}

/** Heartbeats come often and change nothing here. */
function matters(node: Readonly<corev1.Node>, old: Readonly<corev1.Node>): boolean {
  const part = ({ metadata, spec, status }: Readonly<corev1.Node>) =>
    JSON.stringify([metadata.labels, spec, status?.allocatable, status?.capacity, status?.images]);
  return part(node) !== part(old);
}

/** What placement counts: the pod's labels, requests and whether it is going. */
function samePlacement(pod: Pod, old: Pod): boolean {
  const part = ({ metadata, spec }: Pod) =>
    JSON.stringify([metadata.uid, metadata.labels, Boolean(metadata.deletionTimestamp), spec]);
  return part(pod) === part(old);
}

/** A change of status alone (our own condition) must not bring the pod back. */
function sameWishes(pod: Pod, old: Pod): boolean {
  const part = ({ metadata, spec }: Pod) => JSON.stringify([metadata.labels, spec]);
  return part(pod) === part(old);
}

function lookupsOf(informers: Informers): SchedulingWorld {
  const [serviceInformer, setInformer] = [informers.of(services), informers.of(replicaSets)];
  const namespaceInformer = informers.of(namespaces);
  return {
    kinSelector(pod) {
      const labels = pod.metadata.labels ?? {};
      const merged: Record<string, string> = {};
      for (const { spec } of serviceInformer.list(pod.metadata.namespace)) {
        const selector = spec.selector ?? {};
        const entries = Object.entries(selector);
        if (entries.length > 0 && entries.every(([name, value]) => labels[name] === value))
          Object.assign(merged, selector);
      }
      const owner = controllerOf(pod);
      if (owner?.kind === "ReplicaSet") {
        Object.assign(merged, setInformer.get(pod.metadata.namespace, owner.name)?.spec.selector.matchLabels);
      }
      return Object.keys(merged).length > 0 ? merged : undefined;
    },
    namespacesWith(selector) {
      const matching = namespaceInformer
        .list()
        .filter((n) => selectorMatches(selector, n.metadata.labels ?? {}));
      return matching.map((namespace) => namespace.metadata.name);
    },
  };
}
