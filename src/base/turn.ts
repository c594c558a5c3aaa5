/**
 * Turns of the event loop. Work that waits only for work of the same process never leaves a turn: timers and sockets
 * would stand for as long as there is something to do. So what begins in a turn that has lasted long waits for another.
 * https://nodejs.org/en/learn/asynchronous-work/dont-block-the-event-loop
 */
import type { Clock } from "./clock.ts";

const longMs = 10;

export class Turns {
  readonly #clock: Clock;
  /** Of the present turn, once anybody has come in it. */
  #beganMs: number | undefined;
  #waiting: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins `work` now or in a turn to come; first come, first served. */
  async run<R>(work: () => Promise<R>): Promise<R> {
    if (this.#waiting.length === 0 && !this.#isLong()) return work();
    return new Promise<R>((resolve, reject) => {
      this.#waiting.push(() => void work().then(resolve, reject));
    });
  }

  #isLong(): boolean {
    const nowMs = this.#clock.monotonic();
    if (this.#beganMs !== undefined) return nowMs - this.#beganMs > longMs;
    this.#beganMs = nowMs;
    setImmediate(() => this.#next());
    return false;
  }

  #next(): void {
    this.#beganMs = undefined;
    const waiting = this.#waiting;
    let begun = 0;
    while (begun < waiting.length && !this.#isLong()) waiting[begun++]!();
    this.#waiting = waiting.slice(begun);
  }
}
