/**
 * How many things a runtime is asked to make at once. A hundred pods that come together are made by as many programs as
 * the machine has processors for, not by all at the same time: they would only push each other aside, and read through
 * each other's mounts (docs/decisions/0014-pods-in-turns.md). What is begun is finished before more is begun.
 */
import type { Clock } from "#base";
import { InterruptedError } from "./abortable.ts";

/** Of each processor; some of a call is waiting. */
const perProcessor = 3;
const leastAtOnce = 4;
/** What takes longer waits for something else than a processor, and does not keep others waiting. */
const slowMs = 2_000;

/** What makes a pod whole goes before what begins another. */
export type TurnKind = "container" | "sandbox";

interface Waiter {
  begin(): void;
}

export class RuntimeTurns {
  readonly #clock: Clock;
  readonly #atOnce: number;
  readonly #waiting: Record<TurnKind, Set<Waiter>> = { container: new Set(), sandbox: new Set() };
  #busy = 0;

  constructor(clock: Clock, processors: number) {
    this.#clock = clock;
    this.#atOnce = Math.max(leastAtOnce, perProcessor * processors);
  }

  /** Begins `work` in its turn, first come, first served; throws `InterruptedError` when `signal` aborts before. */
  async run<R>(kind: TurnKind, signal: AbortSignal, work: () => Promise<R>): Promise<R> {
    await this.#turn(kind, signal);
    let isOver = false;
    const over = () => {
      if (isOver) return;
      isOver = true;
      this.#next();
    };
    const slow = this.#clock.after(slowMs, over);
    try {
      return await work();
    } finally {
      slow.cancel();
      over();
    }
  }

  #turn(kind: TurnKind, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(new InterruptedError());
    if (this.#busy < this.#atOnce) {
      this.#busy++;
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#waiting[kind].delete(waiter);
        reject(new InterruptedError());
      };
      const waiter: Waiter = {
        begin: () => {
          signal.removeEventListener("abort", leave);
          resolve();
        },
      };
      this.#waiting[kind].add(waiter);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  /** The turn goes on to whoever waits: nobody gets in between. */
  #next(): void {
    const { container, sandbox } = this.#waiting;
    for (const waiting of [container, sandbox]) {
      for (const waiter of waiting) {
        waiting.delete(waiter);
        waiter.begin();
        return;
      }
    }
    this.#busy--;
  }
}
