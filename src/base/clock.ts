/**
 * Time, injected. Every component reads the clock and sets timers through this interface, so that a test can put
 * virtual time in its place. Units are milliseconds throughout.
 */

/** A timer that has been set; `unref` lets the process end while it waits. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock: milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds on a clock that never jumps; only differences mean anything. */
  monotonic(): number;
  /** Calls `fn` once after `delayMs`. */
  after(delayMs: number, fn: () => void): Timer;
  /** Calls `fn` every `periodMs` until cancelled. */
  every(periodMs: number, fn: () => void): Timer;
  /** Resolves after `delayMs`; resolves early (never rejects) when `signal` aborts. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

/** Node refuses longer timers: it would fire at once. */
const timerMaxMs = 2 ** 31 - 1;

class SystemClock implements Clock {
  now(): number {
    return Date.now();
  }

  monotonic(): number {
    return performance.now();
  }

  after(delayMs: number, fn: () => void): Timer {
    const handle = setTimeout(fn, Math.min(Math.max(0, delayMs), timerMaxMs));
    return { cancel: () => clearTimeout(handle) };
  }

  every(periodMs: number, fn: () => void): Timer {
    const handle = setInterval(fn, Math.min(periodMs, timerMaxMs));
    return { cancel: () => clearInterval(handle) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }
}

/** The machine's own clock. */
export const systemClock: Clock = new SystemClock();

/** `sleep` for any clock that has `after`. */
function sleepOn(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      timer.cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(delayMs, done);
    signal?.addEventListener("abort", done, { once: true });
  });
}

interface Pending {
  at: number;
  order: number;
  fn: () => void;
}

/** A clock that stands still until `advance` moves it: timers fire in order of time, then of creation. */
export class VirtualClock implements Clock {
  #nowMs: number;
  #order = 0;
  #pending = new Set<Pending>();

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(delayMs: number, fn: () => void): Timer {
    const pending: Pending = { at: this.#nowMs + Math.max(0, delayMs), order: this.#order++, fn };
    this.#pending.add(pending);
    return { cancel: () => this.#pending.delete(pending) };
  }

  every(periodMs: number, fn: () => void): Timer {
    let timer: Timer;
    const tick = () => {
      timer = this.after(periodMs, tick);
      fn();
    };
    timer = this.after(periodMs, tick);
    return { cancel: () => timer.cancel() };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  /** Moves time on by `durationMs`, firing what falls due and letting promises settle after each timer. */
  async advance(durationMs: number): Promise<void> {
    const until = this.#nowMs + durationMs;
    // Timers that promises under way are about to set belong to this time too.
    await settle();
    for (let next = this.#next(until); next; next = this.#next(until)) {
      this.#pending.delete(next);
      this.#nowMs = next.at;
      next.fn();
      await settle();
    }
    this.#nowMs = until;
    await settle();
  }

  #next(until: number): Pending | undefined {
    let best: Pending | undefined;
    for (const p of this.#pending) {
      if (p.at <= until && (!best || p.at < best.at || (p.at === best.at && p.order < best.order))) best = p;
    }
    return best;
  }
}

/** Lets every promise that can settle without a timer settle. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
