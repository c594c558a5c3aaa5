/**
 * The queue between events and reconcilers. An item waits at most once; one that is added while it is worked on is
 * worked on again afterwards, never by two workers at a time; failures come back with growing delays.
 * https://github.com/kubernetes/client-go/blob/master/util/workqueue/queue.go
 */
import type { Clock, Counter, Gauge, Metrics, Timer } from "#base";

export interface WorkQueueOptions {
  clock: Clock;
  /** With a name and metrics, depth, adds and retries are counted. */
  name?: string;
  metrics?: Metrics;
  /** The delay after the first failure; it doubles with each further one. */
  baseDelayMs?: number;
  maxDelayMs?: number;
}

interface Counters {
  depth: Gauge<"name">;
  adds: Counter<"name">;
  retries: Counter<"name">;
}

function countersOf(metrics: Metrics): Counters {
  return {
    depth: metrics.gauge("workqueue_depth", "Current depth of workqueue", ["name"]),
    adds: metrics.counter("workqueue_adds_total", "Total number of adds handled by workqueue", ["name"]),
    retries: metrics.counter("workqueue_retries_total", "Total number of retries handled by workqueue", [
      "name",
    ]),
  };
}

/** `K` is compared by identity: use strings. */
export class WorkQueue<K> {
  readonly #options: Required<Pick<WorkQueueOptions, "baseDelayMs" | "maxDelayMs" | "name">> & {
    clock: Clock;
  };
  readonly #counters: Counters | undefined;
  /** Waiting, oldest first. */
  readonly #ready = new Set<K>();
  readonly #processing = new Set<K>();
  /** Added again while processing. */
  readonly #dirty = new Set<K>();
  readonly #delayed = new Map<K, { at: number; timer: Timer }>();
  readonly #failures = new Map<K, number>();
  readonly #takers: ((item: K | undefined) => void)[] = [];
  #stopped = false;

  constructor(options: WorkQueueOptions) {
    this.#options = { baseDelayMs: 5, maxDelayMs: 1_000_000, name: "", ...options };
    this.#counters = options.metrics && options.name ? countersOf(options.metrics) : undefined;
  }

  get length(): number {
    return this.#ready.size;
  }

  /** Those that are to be worked on, now or later. */
  get waiting(): number {
    return this.#ready.size + this.#delayed.size;
  }

  /** Nothing waits, nothing is delayed, nobody works. */
  get idle(): boolean {
    return this.#ready.size + this.#processing.size + this.#delayed.size === 0;
  }

  add(item: K): void {
    if (this.#stopped) return;
    this.#counters?.adds.inc({ name: this.#options.name });
    if (this.#processing.has(item)) {
      this.#dirty.add(item);
      return;
    }
    const taker = this.#ready.has(item) ? undefined : this.#takers.shift();
    if (taker) {
      this.#processing.add(item);
      taker(item);
    } else {
      this.#ready.add(item);
    }
    this.#measure();
  }

  /** Adds after a delay; of two delays for one item the shorter holds. */
  addAfter(item: K, delayMs: number): void {
    if (this.#stopped) return;
    if (delayMs <= 0) {
      this.add(item);
      return;
    }
    const at = this.#options.clock.monotonic() + delayMs;
    const old = this.#delayed.get(item);
    if (old && old.at <= at) return;
    old?.timer.cancel();
    const timer = this.#options.clock.after(delayMs, () => {
      this.#delayed.delete(item);
      this.add(item);
    });
    this.#delayed.set(item, { at, timer });
  }

  /** Adds after the delay of the item's failures so far, and counts one more. */
  addRateLimited(item: K): void {
    const failures = this.#failures.get(item) ?? 0;
    this.#failures.set(item, failures + 1);
    this.#counters?.retries.inc({ name: this.#options.name });
    const { baseDelayMs, maxDelayMs } = this.#options;
    this.addAfter(item, Math.min(maxDelayMs, baseDelayMs * 2 ** Math.min(failures, 40)));
  }

  failures(item: K): number {
    return this.#failures.get(item) ?? 0;
  }

  /** The item went well: the next failure is its first again. */
  forget(item: K): void {
    this.#failures.delete(item);
  }

  /** The next item, when there is one; undefined once the queue is stopped. Each must be given back with `done`. */
  take(): Promise<K | undefined> {
    if (this.#stopped) return Promise.resolve(undefined);
    for (const item of this.#ready) {
      this.#ready.delete(item);
      this.#processing.add(item);
      this.#measure();
      return Promise.resolve(item);
    }
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  done(item: K): void {
    this.#processing.delete(item);
    if (this.#dirty.delete(item)) this.add(item);
  }

  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#ready.clear();
    this.#dirty.clear();
    for (const taker of this.#takers.splice(0)) taker(undefined);
  }

  #measure(): void {
    this.#counters?.depth.set({ name: this.#options.name }, this.#ready.size);
  }
}
