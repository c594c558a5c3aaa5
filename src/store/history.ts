/** The changes that watches can still ask for: a bounded window at the end of all revisions. */
import type { StoreEvent } from "./contract.ts";

export class History {
  #events: StoreEvent[] = [];
  #bytes = 0;

  /** Bytes of superseded values that only history still holds. */
  get bytes(): number {
    return this.#bytes;
  }

  get length(): number {
    return this.#events.length;
  }

  push(event: StoreEvent): void {
    this.#events.push(event);
    this.#bytes += event.previous?.value.length ?? 0;
  }

  /** The revision that leaves the newest `keep` events when history is compacted to it. */
  revisionKeeping(keep: number): number {
    return this.#events[Math.max(0, this.#events.length - keep) - 1]?.revision ?? 0;
  }

  /** Events above `revision`, oldest first. */
  *after(revision: number): Generator<StoreEvent> {
    for (let i = this.#indexAfter(revision); i < this.#events.length; i++) yield this.#events[i]!;
  }

  /** Forgets events up to `revision` and answers the revisions that nothing refers to any more. */
  dropUpTo(revision: number): number[] {
    const superseded: number[] = [];
    const end = this.#indexAfter(revision);
    for (let i = 0; i < end; i++) {
      const event = this.#events[i]!;
      this.#bytes -= event.previous?.value.length ?? 0;
      if (event.previous) superseded.push(event.previous.modRevision);
      if (!event.entry) superseded.push(event.revision);
    }
    this.#events = this.#events.slice(end);
    return superseded;
  }

  #indexAfter(revision: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle]!.revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
