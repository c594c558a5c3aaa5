/**
 * How soon a key may be looked at again. Many events of one burst make one round; and a round that takes long, of a set
 * of thousands of pods, is not begun anew for each of them: all keys together leave time for everybody else.
 */
import type { Clock } from "#base";

const burstMs = 20;
/** A key alone takes a tenth of the time at most, many of them together a quarter. */
const restOfOne = 10;
const restOfMany = 4;
/** However dear it is: what happens is seen within this time. */
const restMaxMs = 5_000;
/** So many keys' last rounds are remembered. */
const recentMax = 10_000;

/** How long a key rests after a round that cost so much, while so many keys wait. */
export function restAfter(costMs: number, waiting: number): number {
  return Math.min(restMaxMs, Math.max(burstMs, costMs * Math.max(restOfOne, restOfMany * waiting)));
}

export class Pace {
  readonly #clock: Clock;
  readonly #notBeforeMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The key may be looked at after this time. */
  waitMs(key: string): number {
    return Math.max(0, (this.#notBeforeMs.get(key) ?? 0) - this.#clock.monotonic());
  }

  rest(key: string, restMs: number): void {
    if (this.#notBeforeMs.size >= recentMax && !this.#notBeforeMs.has(key)) this.#notBeforeMs.clear();
    this.#notBeforeMs.set(key, this.#clock.monotonic() + restMs);
  }
}
