/** kube-scheduler's role: finds a node for every pod that has none. */
import { type corev1, nodes, podDisruptionBudgets, pods, type policyv1, sameJson } from "#api";
import { forComponent, messageOf, type World } from "#base";
import {
  type Client,
  createEventRecorder,
  createInformers,
  type EventRecorder,
  type Informer,
  type Informers,
  keyOf,
} from "#client";
import { Binder } from "./binder.ts";
import { SchedulerCache } from "./cache.ts";
import type { Backoff } from "./configuration.ts";
import { type NoNode, SchedulingCycle } from "./cycle.ts";
import type { BindHost, SchedulerPlugin } from "./define-plugin.ts";
import { ExtendedCycle } from "./extenders/extended-cycle.ts";
import { Extender } from "./extenders/extender.ts";
import type { ExtenderSettings } from "./extenders/extender-configuration.ts";
import { groupKeyOf } from "./groups/group-lookups.ts";
import { GroupScheduler } from "./groups/group-scheduler.ts";
import { type Lookups, lookupsOf } from "./lookups.ts";
import { gangScheduling } from "./plugins/gang-scheduling.ts";
import { type Pod, type PodInfo, podInfoOf, priorityOf } from "./pod-info.ts";
import { PodStatusWriter } from "./pod-status.ts";
import { type Preemption, type PreemptionResult, Preemptor } from "./preemption.ts";
import { defaultProfile, type SchedulerProfile } from "./profile.ts";
import { type QueuedPod, SchedulingQueue } from "./queue.ts";
import { isHeldAlike } from "./resizing.ts";
import { type Outcome, SchedulerMetrics } from "./scheduler-metrics.ts";

export interface SchedulerOptions {
  client: Client;
  world: World;
  /** Shared with others of the same process; without, the scheduler has its own. */
  informers?: Informers;
  /** Each serves the pods that ask for it by `schedulerName`. */
  profiles?: readonly SchedulerProfile[];
  /** Asked beside the plugins of every profile. */
  extenders?: readonly ExtenderSettings[];
  /** Absent: upstream's. */
  backoff?: Backoff;
}

export interface RunningScheduler {
  stop(): Promise<void>;
}

/** So many assignments and the like are written at a time. */
const writesMax = 100;
/** After so many cycles without a pause, others get their turn. */
const cyclesPerTurn = 64;

export async function startScheduler(options: SchedulerOptions): Promise<RunningScheduler> {
  const world = forComponent(options.world, "scheduler");
  const informers = options.informers ?? createInformers(options.client, world);
  const extenders = (options.extenders ?? []).map((settings) => new Extender(settings));
  const profiles = options.profiles ?? [defaultProfile];
  const scheduler = new Scheduler(options.client, world, informers, profiles, extenders, options.backoff);
  const stop = new AbortController();
  if (!options.informers) informers.start(stop.signal);
  const loop = scheduler.run();
  return {
    async stop() {
      stop.abort();
      scheduler.stop();
      await loop;
      for (const extender of extenders) extender.close();
    },
  };
}

/** What belongs to one profile. */
interface Desk {
  name: string;
  plugins: readonly SchedulerPlugin[];
  host: BindHost;
  cycle: SchedulingCycle;
  preemptor: Preemptor;
  events: EventRecorder;
  binder: Binder;
  status: PodStatusWriter;
  extended: ExtendedCycle;
  /** Undefined: groups mean nothing to the profile. */
  groups: GroupScheduler | undefined;
}

class Scheduler {
  readonly #world: World;
  readonly #extenders: readonly Extender[];
  readonly #desks = new Map<string, Desk>();
  readonly #cache = new SchedulerCache();
  readonly #queue: SchedulingQueue;
  readonly #lookups: Lookups;
  readonly #pods: Informer<corev1.Pod>;
  readonly #informers: Informer[];
  readonly #work = new Set<Promise<void>>();
  readonly #stopped = Promise.withResolvers<void>();
  readonly #end = new AbortController();
  readonly #unsubscribe: (() => void)[];
  readonly #metrics: SchedulerMetrics;

  constructor(
    client: Client,
    world: World,
    informers: Informers,
    profiles: readonly SchedulerProfile[],
    extenders: readonly Extender[],
    backoff: Backoff | undefined,
  ) {
    this.#world = world;
    this.#extenders = extenders;
    this.#lookups = lookupsOf(informers);
    this.#queue = new SchedulingQueue(world.clock, profiles, this.#lookups, backoff);
    this.#metrics = new SchedulerMetrics(world, this.#queue);
    this.#lookups.on((event) => {
      // Classes of devices may stand for resources of nodes.
      if (event.kind === "DevicesChanged") this.#forgetCandidates();
      this.#queue.wake(event);
    });
    const [podInformer, nodeInformer] = [informers.of(pods), informers.of(nodes)];
    const budgets = informers.of(podDisruptionBudgets);
    for (const profile of profiles)
      this.#desks.set(profile.schedulerName, this.#deskOf(client, profile, budgets));
    this.#pods = podInformer;
    const own = [podInformer, nodeInformer, budgets] as unknown as Informer[];
    this.#informers = [...own, ...this.#lookups.informers];
    const budgetsChanged = () => this.#forgetCandidates();
    // Nodes first: the pods on them find their place at once.
    this.#unsubscribe = [
      this.#followNodes(nodeInformer),
      this.#followPods(podInformer),
      budgets.on({ add: budgetsChanged, update: budgetsChanged, delete: budgetsChanged }),
      () => this.#lookups.stop(),
    ];
  }

  #deskOf(client: Client, profile: SchedulerProfile, budgets: Informer<policyv1.PodDisruptionBudget>): Desk {
    const [world, cache, queue, extenders] = [this.#world, this.#cache, this.#queue, this.#extenders];
    const { random } = world;
    const { signal } = this.#end;
    const host: BindHost = { ...this.#lookups, client, world, signal };
    const events = createEventRecorder({ client, world, component: profile.schedulerName });
    const cycle = new SchedulingCycle({ cache, profile, world: this.#lookups, random });
    const { preemption: settings } = profile;
    const preemptor = new Preemptor({ cache, cycle, settings, random, budgets: () => budgets.list() });
    const status = new PodStatusWriter({ client, world, events });
    const binder = new Binder({
      ...{ client, world, cache, queue, events, status, profile, host, extenders, signal },
      metrics: this.#metrics,
    });
    const { schedulerName: name } = profile;
    const plugins = profile.plugins.map(({ plugin }) => plugin);
    const groups = new GroupScheduler({
      ...{ client, world, cache, queue, cycle, preemptor, binder, status, groups: this.#lookups.groups },
      isOurs: (pod) => this.#deskFor(pod)?.name === name && !pod.metadata.deletionTimestamp,
      track: (work) => this.#track(work),
      evict: (queued, choice) => this.#evict(status, queued, choice, []),
    });
    return {
      ...{ name, cycle, host, plugins, preemptor, events, binder, status },
      groups: plugins.includes(gangScheduling) ? groups : undefined,
      extended: new ExtendedCycle({ cache, cycle, preemptor, extenders, world }),
    };
  }

  async run(): Promise<void> {
    const synced = Promise.all(this.#informers.map((informer) => informer.waitForSync()));
    await Promise.race([synced, this.#stopped.promise]);
    let cycles = 0;
    for (let queued = await this.#queue.take(); queued; queued = await this.#queue.take()) {
      const trying = this.#tryOne(queued);
      if (trying) await trying;
      while (this.#work.size >= writesMax) await Promise.race(this.#work);
      if (++cycles % cyclesPerTurn === 0) await this.#world.clock.sleep(0, this.#end.signal);
    }
    await Promise.all(this.#work);
    await Promise.all([...this.#desks.values()].map(({ status }) => status.stop()));
    await Promise.all([...this.#desks.values()].map(({ events }) => events.stop()));
  }

  stop(): void {
    for (const end of this.#unsubscribe) end();
    this.#queue.stop();
    this.#metrics.stop();
    this.#end.abort();
    this.#stopped.resolve();
  }

  #forgetCandidates(): void {
    for (const { preemptor } of this.#desks.values()) preemptor.forget();
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
      if (old && !added && samePlacement(pod, old)) return;
      this.#cache.setPod(pod);
      this.#queue.wake(old && !added ? { kind: "PodChanged", pod, old } : { kind: "PodAdded", pod });
    } else if (this.#deskFor(pod) && !pod.metadata.deletionTimestamp) {
      this.#nominationChanged(pod, old);
      if (!this.#cache.isPlaced(key)) this.#queue.set(key, pod, old !== undefined && !sameWishes(pod, old));
      if (!old && groupKeyOf(pod) !== undefined) this.#queue.wake({ kind: "PodWaiting", pod });
    } else {
      this.#queue.delete(key);
      this.#cache.denominate(key);
    }
  }

  /** What this scheduler has nominated itself is known before the API tells it. */
  #nominationChanged(pod: Pod, old: Pod | undefined): void {
    const now = pod.status?.nominatedNodeName ?? "";
    if (now === (old?.status?.nominatedNodeName ?? "")) return;
    if (now) this.#cache.nominate(podInfoOf(pod), now);
    else this.#cache.denominate(keyOf(pod));
  }

  #podGone(pod: Pod): void {
    const key = keyOf(pod);
    this.#queue.delete(key);
    this.#cache.denominate(key);
    this.#cache.removePod(key);
    if (pod.spec.nodeName) this.#queue.wake({ kind: "PodDeleted", pod });
  }

  #deskFor(pod: Pod): Desk | undefined {
    return this.#desks.get(pod.spec.schedulerName ?? defaultProfile.schedulerName);
  }

  /** A promise where others must be asked. */
  #tryOne(queued: QueuedPod): Promise<void> | undefined {
    const { clock } = this.#world;
    const startedMs = clock.monotonic();
    const pod = this.#pods.byKey(queued.key);
    const desk = pod && this.#deskFor(pod);
    // Assigned or gone while it waited: an assignment whose answer was lost is one.
    if (!desk || pod.spec.nodeName || pod.metadata.deletionTimestamp) {
      this.#queue.done(queued.key);
      return undefined;
    }
    queued.pod = pod;
    if (desk.groups && groupKeyOf(pod) !== undefined) {
      this.#tryGroup(desk, desk.groups, queued);
      return undefined;
    }
    const info = podInfoOf(pod);
    if (desk.extended.concerns(pod)) return this.#tryExtended(desk, queued, info);
    const result = desk.cycle.schedule(info);
    const outcome = result.kind === "node" ? "scheduled" : "unschedulable";
    this.#metrics.attempted(outcome, desk.name, (clock.monotonic() - startedMs) / 1000);
    if (result.kind === "node") this.#assign(desk, queued, info, result.name);
    else this.#makeRoom(desk, queued, info, result, desk.preemptor.preempt(info, result));
    return undefined;
  }

  /** While extenders are asked the cluster goes on: what they say must still hold afterwards. */
  async #tryExtended(desk: Desk, queued: QueuedPod, info: PodInfo): Promise<void> {
    const { clock } = this.#world;
    const startedMs = clock.monotonic();
    const attempted = (outcome: Outcome) =>
      this.#metrics.attempted(outcome, desk.name, (clock.monotonic() - startedMs) / 1000);
    try {
      const result = await desk.extended.schedule(info);
      const preemption = result.kind === "none" ? await desk.extended.preempt(info, result) : undefined;
      const now = this.#pods.byKey(queued.key);
      if (
        now?.metadata.uid !== info.pod.metadata.uid ||
        now.spec.nodeName ||
        now.metadata.deletionTimestamp
      ) {
        this.#queue.done(queued.key);
        return;
      }
      attempted(preemption ? "unschedulable" : "scheduled");
      if (result.kind === "none") this.#makeRoom(desk, queued, info, result, preemption!);
      else if (this.#stillFits(desk, info, result.name)) this.#assign(desk, queued, info, result.name);
      else this.#queue.retry(queued);
    } catch (error) {
      attempted("error");
      this.#queue.retry(queued);
      desk.status.failed(info.pod, messageOf(error));
    }
  }

  #stillFits({ cycle }: Desk, info: PodInfo, nodeName: string): boolean {
    const node = this.#cache.node(nodeName);
    return node !== undefined && !cycle.judge(info)(node);
  }

  #tryGroup(desk: Desk, groups: GroupScheduler, queued: QueuedPod): void {
    const { clock } = this.#world;
    const startedMs = clock.monotonic();
    const group = this.#lookups.groups.group(queued.pod);
    if (!group) {
      // It went while the pod waited.
      this.#queue.done(queued.key);
      this.#queue.set(queued.key, queued.pod, false);
      return;
    }
    const outcome = groups.schedule(group, queued) === "placed" ? "scheduled" : "unschedulable";
    this.#metrics.attempted(outcome, desk.name, (clock.monotonic() - startedMs) / 1000);
  }

  #assign({ binder }: Desk, queued: QueuedPod, info: PodInfo, nodeName: string): void {
    try {
      binder.reserve(info, nodeName);
    } catch (error) {
      this.#world.log.debug({ pod: queued.key, error: messageOf(error) }, "the place could not be taken");
      this.#queue.retry(queued);
      return;
    }
    this.#track(binder.bind(queued, info, nodeName));
  }

  /** What plugins other than preemption do for the pod, and say. */
  #aftermath({ plugins, host }: Desk, info: PodInfo): string {
    const messages: string[] = [];
    for (const plugin of plugins) {
      const aftermath = plugin.afterFailure?.(info, this.#cache, host);
      if (!aftermath) continue;
      messages.push(aftermath.message);
      if (aftermath.work) this.#track(aftermath.work);
    }
    return messages.join(", ");
  }

  /** No node will do as things are: perhaps one does without some less important pods. */
  #makeRoom(desk: Desk, queued: QueuedPod, info: PodInfo, failure: NoNode, result: PreemptionResult): void {
    const { status } = desk;
    const { pod } = info;
    const said = this.#aftermath(desk, info);
    this.#metrics.preempted(result.kind === "preempt" ? result.choice.victims.length : 0);
    if (result.kind === "no") {
      const nominated = result.keepsNomination ? this.#cache.nominationOf(info.key) : undefined;
      if (nominated === undefined) this.#cache.denominate(info.key);
      this.#queue.reject(queued, failure.rejectedBy, nominated);
      const after = [said, result.message].filter(Boolean).join(", ");
      const message = `${failure.message}${after ? ` ${after}` : ""}`;
      status.unschedulable(pod, message, nominated ?? "");
      return;
    }
    const { nodeName } = result.choice;
    const outdone = this.#cache
      .nominatedTo(nodeName)
      .filter(({ pod: other }) => priorityOf(other) < priorityOf(pod));
    this.#cache.nominate(info, nodeName);
    this.#queue.reject(queued, failure.rejectedBy, nodeName);
    this.#queue.hold(queued);
    status.unschedulable(pod, failure.message, nodeName);
    this.#track(this.#evict(status, queued, result.choice, outdone));
  }

  async #evict(
    status: PodStatusWriter,
    queued: QueuedPod,
    choice: Preemption,
    outdone: readonly PodInfo[],
  ): Promise<void> {
    for (const { key } of outdone) {
      this.#cache.denominate(key);
      this.#queue.activate(key);
    }
    try {
      for (const { pod } of outdone) status.clearNomination(pod);
      await status.evict(queued.pod, choice);
      this.#queue.release(queued, false);
    } catch (error) {
      this.#world.log.debug({ pod: queued.key, error: messageOf(error) }, "not all victims were told to go");
      this.#queue.release(queued, true);
    }
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
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
  const going = ({ metadata }: Pod) => Boolean(metadata.deletionTimestamp);
  return (
    pod.metadata.uid === old.metadata.uid &&
    going(pod) === going(old) &&
    sameWishes(pod, old) &&
    isHeldAlike(pod, old)
  );
}

/** A change of status alone (our own condition) must not bring the pod back. */
function sameWishes(pod: Pod, old: Pod): boolean {
  const { uid, generation } = pod.metadata;
  const isSameSpec =
    generation !== undefined && generation === old.metadata.generation && uid === old.metadata.uid;
  if (isSameSpec) return sameJson(pod.metadata.labels, old.metadata.labels);
  return sameJson(pod.metadata.labels, old.metadata.labels) && sameJson(pod.spec, old.spec);
}
