/**
 * Pods that wait for a node: those to be tried now in order, those that failed a moment ago, and those that nothing
 * can be done for until something changes. https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
 */
import type { Clock, Timer } from "#base";
import type { ClusterEvent, SchedulerPlugin, SchedulingWorld } from "./define-plugin.ts";
import { byExtender } from "./extenders/by-extender.ts";
import { KeyedHeap } from "./heap.ts";
import { isPreempted, type Pod } from "./pod-info.ts";
import type { SchedulerProfile } from "./profile.ts";

/** Upstream's. */
const defaultBackoff = { initialMs: 1_000, maxMs: 10_000 };
/** However well we listen: so long and a pod is tried again. */
const unschedulableMaxMs = 5 * 60 * 1_000;
const flushMs = 30_000;

export interface QueuedPod {
  readonly key: string;
  pod: Pod;
  readonly queuedMs: number;
  attempts: number;
  /** When the last try ended. */
  triedMs: number;
  rejectedBy: ReadonlySet<string>;
  /** The node where room is being made for it. */
  nominated?: string | undefined;
  /** Not tried before the pods in its way have been told to go. */
  held?: boolean;
  /** Something happened while it was held. */
  missed?: boolean;
}

type Incoming = (queue: "active" | "backoff" | "unschedulable" | "gated", event: string) => void;

const podAdded = "UnscheduledPodAdd";
const attemptFailed = "ScheduleAttemptFailure";

/** As upstream's metrics name them; where it looks closer, by the object. */
const eventNames: Readonly<Record<ClusterEvent["kind"], string>> = {
  NodeAdded: "NodeAdd",
  NodeChanged: "NodeUpdate",
  PodAdded: "AssignedPodAdd",
  PodChanged: "AssignedPodUpdate",
  PodDeleted: "AssignedPodDelete",
  PodWaiting: podAdded,
  PodGroupChanged: "PodGroupUpdate",
  StorageChanged: "PersistentVolumeClaimUpdate",
  ClaimChanged: "ResourceClaimUpdate",
  DevicesChanged: "ResourceSliceUpdate",
};

export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #backoffTimes: Readonly<{ initialMs: number; maxMs: number }>;
  readonly #world: SchedulingWorld;
  readonly #plugins: ReadonlyMap<string, SchedulerPlugin>;
  readonly #gates: readonly SchedulerPlugin[];
  readonly #active: KeyedHeap<QueuedPod>;
  /** Tried before their time when nobody else is to be tried. */
  readonly #backoff: KeyedHeap<QueuedPod>;
  /** Those that failed without a reason of their own: their time must come. */
  readonly #faulty: KeyedHeap<QueuedPod>;
  readonly #unschedulable = new Map<string, QueuedPod>();
  /** The same, by what may help them. */
  readonly #sleepers = new Sleepers();
  /** By the plugin that does not let them in, so that what it waits for finds them. */
  readonly #gated = new Map<string, { pod: Pod; by: SchedulerPlugin }>();
  readonly #inFlight = new Set<string>();
  readonly #flush: Timer;
  #backoffTimer: Timer | undefined;
  #wakeReader: (() => void) | undefined;
  #incoming: Incoming | undefined;
  #stopped = false;

  constructor(
    clock: Clock,
    profiles: readonly SchedulerProfile[],
    world: SchedulingWorld,
    backoff = defaultBackoff,
  ) {
    this.#clock = clock;
    this.#backoffTimes = backoff;
    this.#world = world;
    const plugins = [
      ...profiles.flatMap((profile) => profile.plugins.map(({ plugin }) => plugin)),
      byExtender,
    ];
    this.#plugins = new Map(plugins.map((plugin) => [plugin.name, plugin]));
    this.#gates = plugins.filter((plugin) => plugin.gate);
    const sort = plugins.find((plugin) => plugin.compare);
    const before = (a: QueuedPod, b: QueuedPod) => (sort?.compare?.(a, b) ?? a.queuedMs - b.queuedMs) < 0;
    this.#active = new KeyedHeap((each) => each.key, before);
    const sooner = (a: QueuedPod, b: QueuedPod) => this.#backoffEnd(a) < this.#backoffEnd(b);
    this.#backoff = new KeyedHeap((each) => each.key, sooner);
    this.#faulty = new KeyedHeap((each) => each.key, sooner);
    this.#flush = clock.every(flushMs, () => this.#flushOld());
  }

  /** Called with every pod that comes into one of the queues. */
  onIncoming(listener: Incoming): void {
    this.#incoming = listener;
  }

  get sizes(): { active: number; backoff: number; unschedulable: number; gated: number } {
    return {
      active: this.#active.size,
      backoff: this.#backoff.size + this.#faulty.size,
      unschedulable: this.#unschedulable.size,
      gated: this.#gated.size,
    };
  }

  /** A new pod, or a change of one that waits. */
  set(key: string, pod: Pod, changed: boolean): void {
    if (this.#stopped || this.#inFlight.has(key)) return;
    const by = this.#gates.find((plugin) => plugin.gate?.(pod, this.#world) !== undefined);
    if (by) {
      this.delete(key);
      if (!this.#gated.has(key)) this.#incoming?.("gated", podAdded);
      this.#gated.set(key, { pod, by });
      return;
    }
    this.#gated.delete(key);
    const known =
      this.#active.get(key) ??
      this.#backoff.get(key) ??
      this.#faulty.get(key) ??
      this.#unschedulable.get(key);
    if (!known) {
      const nowMs = this.#clock.now();
      this.#activate({ key, pod, queuedMs: nowMs, attempts: 0, triedMs: 0, rejectedBy: new Set() }, podAdded);
      return;
    }
    known.pod = pod;
    if (changed && this.#rouse(known)) this.#requeue(known, "UnscheduledPodUpdate");
  }

  delete(key: string): void {
    this.#active.delete(key);
    this.#backoff.delete(key);
    this.#faulty.delete(key);
    const sleeping = this.#unschedulable.get(key);
    if (sleeping) this.#rouse(sleeping);
    this.#gated.delete(key);
  }

  /** The next pod to try; undefined once the queue is stopped. One reader at a time. */
  async take(): Promise<QueuedPod | undefined> {
    while (!this.#stopped) {
      const next = this.#active.pop() ?? this.#backoff.pop();
      if (next) {
        this.#inFlight.add(next.key);
        return next;
      }
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
    return undefined;
  }

  /** A pod that waits, wherever, to be tried with others now; undefined: it does not wait, or not for that. */
  takeNow(key: string): QueuedPod | undefined {
    const queued =
      this.#active.delete(key) ??
      this.#backoff.delete(key) ??
      this.#faulty.delete(key) ??
      this.#unschedulable.get(key);
    if (!queued || queued.held) return undefined;
    this.#rouse(queued);
    this.#inFlight.add(key);
    return queued;
  }

  /** The pod has a node, or is gone. */
  done(key: string): void {
    this.#inFlight.delete(key);
  }

  /** No node would do: it waits until something changes that a plugin which rejected it waits for. */
  reject(queued: QueuedPod, rejectedBy: ReadonlySet<string>, nominated?: string): void {
    this.#inFlight.delete(queued.key);
    this.#tried(queued, rejectedBy);
    queued.nominated = nominated;
    this.#incoming?.("unschedulable", attemptFailed);
    this.#unschedulable.set(queued.key, queued);
    this.#sleepers.add(queued, this.#kindsThatHelp(rejectedBy));
  }

  /** The pods in its way are being told to go. */
  hold(queued: QueuedPod): void {
    queued.held = true;
    queued.missed = false;
  }

  /** They have been told; `again`: not all, so that it is to be tried anew. */
  release(queued: QueuedPod, again: boolean): void {
    queued.held = false;
    if ((again || queued.missed) && this.#rouse(queued)) this.#requeue(queued, "AssignedPodDelete");
  }

  /** Its place has been taken by a more important pod: it looks for another at once. */
  activate(key: string): void {
    const queued = this.#unschedulable.get(key);
    if (queued && this.#rouse(queued)) this.#requeue(queued, "ForceActivate");
  }

  /** A passing fault: tried again after its backoff. */
  retry(queued: QueuedPod): void {
    this.#inFlight.delete(queued.key);
    this.#tried(queued, new Set());
    this.#incoming?.("backoff", attemptFailed);
    this.#faulty.set(queued);
    this.#armBackoff();
  }

  /** Something happened: whoever it may help is tried again. */
  wake(event: ClusterEvent): void {
    this.#openGates(event);
    for (const queued of this.#sleepers.for(event)) {
      if (!this.#mayHelp(queued, event)) continue;
      if (queued.held) {
        queued.missed = true;
        continue;
      }
      this.#rouse(queued);
      this.#requeue(queued, eventNames[event.kind]);
    }
  }

  #openGates(event: ClusterEvent): void {
    if (this.#gated.size === 0 || !this.#gates.some((plugin) => isWokenBy(plugin, event))) return;
    for (const [key, { pod, by }] of [...this.#gated])
      if (by.wakes.some((wake) => wake.on === event.kind && (wake.helps?.(pod, event) ?? true)))
        this.set(key, pod, false);
  }

  stop(): void {
    this.#stopped = true;
    this.#flush.cancel();
    this.#backoffTimer?.cancel();
    this.#wakeReader?.();
  }

  #tried(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    queued.attempts++;
    queued.triedMs = this.#clock.now();
    queued.rejectedBy = rejectedBy;
  }

  /** Whether it was asleep. */
  #rouse(queued: QueuedPod): boolean {
    this.#sleepers.delete(queued);
    return this.#unschedulable.delete(queued.key);
  }

  #kindsThatHelp(rejectedBy: ReadonlySet<string>): Set<ClusterEvent["kind"]> {
    const kinds = new Set<ClusterEvent["kind"]>();
    for (const name of rejectedBy) {
      for (const wake of this.#plugins.get(name)?.wakes ?? []) kinds.add(wake.on);
    }
    return kinds;
  }

  #mayHelp(queued: QueuedPod, event: ClusterEvent): boolean {
    for (const name of queued.rejectedBy) {
      const wakes = this.#plugins.get(name)?.wakes ?? [];
      if (wakes.some((wake) => wake.on === event.kind && (wake.helps?.(queued.pod, event) ?? true)))
        return true;
    }
    return false;
  }

  #requeue(queued: QueuedPod, event: string): void {
    if (this.#backoffEnd(queued) <= this.#clock.now()) {
      this.#activate(queued, event);
      return;
    }
    this.#incoming?.("backoff", event);
    this.#backoff.set(queued);
    this.#armBackoff();
    this.#wakeReader?.();
  }

  /** The reader goes on only when all that came at once is in order. */
  #activate(queued: QueuedPod, event: string): void {
    this.#incoming?.("active", event);
    this.#active.set(queued);
    this.#wakeReader?.();
  }

  /** Doubling after each try. */
  #backoffEnd(queued: QueuedPod): number {
    if (queued.attempts === 0) return 0;
    const { initialMs, maxMs } = this.#backoffTimes;
    return queued.triedMs + Math.min(maxMs, initialMs * 2 ** (queued.attempts - 1));
  }

  #armBackoff(): void {
    this.#backoffTimer?.cancel();
    const heaps = [this.#backoff, this.#faulty];
    const ends = heaps.flatMap((heap) => heap.peek() ?? []).map((each) => this.#backoffEnd(each));
    if (ends.length === 0 || this.#stopped) return;
    this.#backoffTimer = this.#clock.after(Math.max(0, Math.min(...ends) - this.#clock.now()), () => {
      for (const heap of heaps) this.#activateDue(heap);
      this.#armBackoff();
    });
  }

  #activateDue(heap: KeyedHeap<QueuedPod>): void {
    const nowMs = this.#clock.now();
    for (let due = heap.peek(); due && this.#backoffEnd(due) <= nowMs; due = heap.peek()) {
      heap.pop();
      this.#activate(due, "BackoffComplete");
    }
  }

  #flushOld(): void {
    const nowMs = this.#clock.now();
    for (const queued of [...this.#unschedulable.values()]) {
      if (nowMs - queued.triedMs < unschedulableMaxMs) continue;
      if (queued.held) continue;
      this.#rouse(queued);
      this.#requeue(queued, "UnschedulableTimeout");
    }
  }
}

/** Waiting pods by what may help them: most of what happens concerns none. */
class Sleepers {
  readonly #byKind = new Map<ClusterEvent["kind"], Map<string, QueuedPod>>();
  /** Pods for which room is being made, by node. */
  readonly #byNomination = new Map<string, Map<string, QueuedPod>>();

  add(queued: QueuedPod, kinds: Iterable<ClusterEvent["kind"]>): void {
    for (const kind of kinds) entered(this.#byKind, kind, queued);
    if (queued.nominated !== undefined) entered(this.#byNomination, queued.nominated, queued);
  }

  delete(queued: QueuedPod): void {
    for (const sleepers of this.#byKind.values()) sleepers.delete(queued.key);
    if (queued.nominated === undefined) return;
    const there = this.#byNomination.get(queued.nominated);
    there?.delete(queued.key);
    if (there?.size === 0) this.#byNomination.delete(queued.nominated);
  }

  /** A pod that made room has done so for those that wait for its node. */
  for(event: ClusterEvent): QueuedPod[] {
    const all = this.#byKind.get(event.kind);
    if (!all || all.size === 0) return [];
    if (event.kind !== "PodDeleted" || !isPreempted(event.pod)) return [...all.values()];
    const nominated = this.#byNomination.get(event.pod.spec.nodeName ?? "");
    return nominated ? [...nominated.values()] : [];
  }
}

function isWokenBy({ wakes }: SchedulerPlugin, event: ClusterEvent): boolean {
  return wakes.some((wake) => wake.on === event.kind);
}

function entered<K>(index: Map<K, Map<string, QueuedPod>>, at: K, queued: QueuedPod): void {
  const there = index.get(at) ?? new Map<string, QueuedPod>();
  there.set(queued.key, queued);
  index.set(at, there);
}
