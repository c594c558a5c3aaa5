/**
 * Pods that wait for a node: those to be tried now in order, those that failed a moment ago, and those that nothing
 * can be done for until something changes. https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
 */
import type { Clock, Timer } from "#base";
import type { Pod } from "./cache.ts";
import type { ClusterEvent, SchedulerPlugin } from "./define-plugin.ts";
import { KeyedHeap } from "./heap.ts";
import type { SchedulerProfile } from "./profile.ts";

const backoffBaseMs = 1_000;
const backoffMaxMs = 10_000;
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
}

export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #plugins: ReadonlyMap<string, SchedulerPlugin>;
  readonly #gates: readonly SchedulerPlugin[];
  readonly #active: KeyedHeap<QueuedPod>;
  readonly #backoff: KeyedHeap<QueuedPod>;
  readonly #unschedulable = new Map<string, QueuedPod>();
  readonly #gated = new Map<string, Pod>();
  readonly #inFlight = new Set<string>();
  readonly #flush: Timer;
  #backoffTimer: Timer | undefined;
  #wakeReader: (() => void) | undefined;
  #stopped = false;

  constructor(clock: Clock, profile: SchedulerProfile) {
    this.#clock = clock;
    const plugins = profile.plugins.map(({ plugin }) => plugin);
    this.#plugins = new Map(plugins.map((plugin) => [plugin.name, plugin]));
    this.#gates = plugins.filter((plugin) => plugin.gate);
    const sort = plugins.find((plugin) => plugin.compare);
    const before = (a: QueuedPod, b: QueuedPod) => (sort?.compare?.(a, b) ?? a.queuedMs - b.queuedMs) < 0;
    this.#active = new KeyedHeap((each) => each.key, before);
    this.#backoff = new KeyedHeap(
      (each) => each.key,
      (a, b) => backoffEnd(a) < backoffEnd(b),
    );
    this.#flush = clock.every(flushMs, () => this.#flushOld());
  }

  get sizes(): { active: number; backoff: number; unschedulable: number; gated: number } {
    return {
      active: this.#active.size,
      backoff: this.#backoff.size,
      unschedulable: this.#unschedulable.size,
      gated: this.#gated.size,
    };
  }

  /** A new pod, or a change of one that waits. */
  set(key: string, pod: Pod, changed: boolean): void {
    if (this.#stopped || this.#inFlight.has(key)) return;
    if (this.#gates.some((plugin) => plugin.gate?.(pod) !== undefined)) {
      this.delete(key);
      this.#gated.set(key, pod);
      return;
    }
    this.#gated.delete(key);
    const known = this.#active.get(key) ?? this.#backoff.get(key) ?? this.#unschedulable.get(key);
    if (!known) {
      const nowMs = this.#clock.now();
      this.#activate({ key, pod, queuedMs: nowMs, attempts: 0, triedMs: 0, rejectedBy: new Set() });
      return;
    }
    known.pod = pod;
    if (changed && this.#unschedulable.delete(key)) this.#requeue(known);
  }

  delete(key: string): void {
    this.#active.delete(key);
    this.#backoff.delete(key);
    this.#unschedulable.delete(key);
    this.#gated.delete(key);
  }

  /** The next pod to try; undefined once the queue is stopped. One reader at a time. */
  async take(): Promise<QueuedPod | undefined> {
    while (!this.#stopped) {
      const next = this.#active.pop();
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

  /** The pod has a node, or is gone. */
  done(key: string): void {
    this.#inFlight.delete(key);
  }

  /** No node would do: it waits until something changes that a plugin which rejected it waits for. */
  reject(queued: QueuedPod, rejectedBy: ReadonlySet<string>): void {
    this.#inFlight.delete(queued.key);
    this.#tried(queued, rejectedBy);
    this.#unschedulable.set(queued.key, queued);
  }

  /** A passing fault: tried again after its backoff. */
  retry(queued: QueuedPod): void {
    this.#inFlight.delete(queued.key);
    this.#tried(queued, new Set());
    this.#requeue(queued);
  }

  /** Something happened: whoever it may help is tried again. */
  wake(event: ClusterEvent): void {
    for (const queued of [...this.#unschedulable.values()]) {
      if (!this.#mayHelp(queued, event)) continue;
      this.#unschedulable.delete(queued.key);
      this.#requeue(queued);
    }
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

  #mayHelp(queued: QueuedPod, event: ClusterEvent): boolean {
    for (const name of queued.rejectedBy) {
      const wakes = this.#plugins.get(name)?.wakes ?? [];
      if (wakes.some((wake) => wake.on === event.kind && (wake.helps?.(queued.pod, event) ?? true)))
        return true;
    }
    return false;
  }

  #requeue(queued: QueuedPod): void {
    if (backoffEnd(queued) <= this.#clock.now()) {
      this.#activate(queued);
      return;
    }
    this.#backoff.set(queued);
    this.#armBackoff();
  }

  /** The reader goes on only when all that came at once is in order. */
  #activate(queued: QueuedPod): void {
    this.#active.set(queued);
    this.#wakeReader?.();
  }

  #armBackoff(): void {
    this.#backoffTimer?.cancel();
    const next = this.#backoff.peek();
    if (!next || this.#stopped) return;
    this.#backoffTimer = this.#clock.after(Math.max(0, backoffEnd(next) - this.#clock.now()), () => {
      for (
        let due = this.#backoff.peek();
        due && backoffEnd(due) <= this.#clock.now();
        due = this.#backoff.peek()
      ) {
        this.#backoff.pop();
        this.#activate(due);
      }
      this.#armBackoff();
    });
  }

  #flushOld(): void {
    const nowMs = this.#clock.now();
    for (const queued of [...this.#unschedulable.values()]) {
      if (nowMs - queued.triedMs < unschedulableMaxMs) continue;
      this.#unschedulable.delete(queued.key);
      this.#requeue(queued);
    }
  }
}

/** Doubling from one second to ten after each try. */
function backoffEnd(queued: QueuedPod): number {
  if (queued.attempts === 0) return 0;
  return queued.triedMs + Math.min(backoffMaxMs, backoffBaseMs * 2 ** (queued.attempts - 1));
}
