/**
 * A bucket of tokens: so many a second, and a burst of them at once where none were taken for a while.
 * https://pkg.go.dev/k8s.io/client-go/util/flowcontrol
 */
import type { Clock } from "./clock.ts";

export class Rate {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /** Without a number a second there is no limit. */
  constructor(clock: Clock, perSecond: number, burst: number) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#burst = Math.max(1, burst);
    this.#tokens = this.#burst;
    this.#atMs = clock.monotonic();
  }

  /** Takes a token where there is one. */
  tryTake(): boolean {
    if (this.#perSecond <= 0) return true;
    this.#fill();
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Takes the next token, waiting for it: first come, first served. An abort ends the waiting alone. */
  async take(signal?: AbortSignal): Promise<void> {
    if (this.#perSecond <= 0) return;
    this.#fill();
    this.#tokens--;
    if (this.#tokens < 0) await this.#clock.sleep((-this.#tokens / this.#perSecond) * 1000, signal);
  }

  #fill(): void {
    const nowMs = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = nowMs;
  }
}
