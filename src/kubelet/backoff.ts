/**
 * Growing waits by key, for containers that crash and images that cannot be pulled.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy
 */

interface Entry {
  delayMs: number;
  updatedMs: number;
}

/** The first wait of what crashes. */
export const crashBackoffMs = 10_000;
const backoffMaxMs = 300_000;
const resetMs = 600_000;

/** Pure but for its own memory: the caller brings the time. */
export class KeyedBackoff {
  readonly #entries = new Map<string, Entry>();
  readonly #initialMs: number;
  readonly #maxMs: number;

  constructor(initialMs = crashBackoffMs, maxMs = backoffMaxMs) {
    this.#initialMs = initialMs;
    this.#maxMs = maxMs;
  }

  /** How long after the event at `eventMs` the next try still has to wait; 0 when it may be made. */
  remainingMs(key: string, eventMs: number, nowMs: number): number {
    const entry = this.#entries.get(key);
    if (!entry || this.#expired(entry, eventMs)) return 0;
    // A clock that went back makes nobody wait longer than the delay.
    return Math.max(0, entry.delayMs - Math.max(0, nowMs - eventMs));
  }

  /** The delay that now applies to the key; 0 when none does. */
  delayMs(key: string): number {
    return this.#entries.get(key)?.delayMs ?? 0;
  }

  /** Counts a try made at `nowMs` because of the event at `eventMs`. */
  next(key: string, eventMs: number, nowMs: number): void {
    const entry = this.#entries.get(key);
    const fresh = !entry || this.#expired(entry, eventMs);
    const delayMs = fresh ? this.#initialMs : Math.min(entry.delayMs * 2, this.#maxMs);
    this.#entries.set(key, { delayMs, updatedMs: nowMs });
  }

  reset(key: string): void {
    this.#entries.delete(key);
  }

  /** Forgets every key of a pod that is gone. */
  forget(prefix: string): void {
    for (const key of this.#entries.keys()) if (key.startsWith(prefix)) this.#entries.delete(key);
  }

  /** What went well for ten minutes starts over, however short the longest delay is. */
  #expired(entry: Entry, eventMs: number): boolean {
    return eventMs - entry.updatedMs > resetMs;
  }
}

/** `10s`, `1m20s`, `5m0s`: as Go prints a duration. */
export function goDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m${seconds % 60}s`;
  return `${Math.floor(minutes / 60)}h${minutes % 60}m${seconds % 60}s`;
}
