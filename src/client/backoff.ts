/** Growing delays with jitter, for connections that fail. */
import type { Random } from "#base";

export interface Backoff {
  /** The delay before the next try. */
  next(): number;
  reset(): void;
}

/** 0.8 s doubling up to 30 s, as client-go's reflector, each stretched by up to its double so that clients spread. */
export function createBackoff(random: Random, baseMs = 800, maxMs = 30_000): Backoff {
  let delayMs = baseMs;
  return {
    next() {
      const current = delayMs;
      delayMs = Math.min(maxMs, delayMs * 2);
      return current * (1 + random.float());
    },
    reset() {
      delayMs = baseMs;
    },
  };
}
