/** What every store holds in memory: live entries in order, the changes that watches may still ask for, the watches. */
import {
  CompactedError,
  type StoreEntry,
  type StoreEvent,
  type StoreSnapshot,
  type StoreWatch,
} from "./contract.ts";
import { History } from "./history.ts";
import { SortedKeys } from "./sorted-keys.ts";

interface Watcher {
  prefix: string;
  onEvent: (event: StoreEvent) => void;
}

export class StoreState {
  readonly #entries = new Map<string, StoreEntry>();
  readonly #keys = new SortedKeys();
  readonly #history = new History();
  readonly #watchers = new Set<Watcher>();
  #revision: number;
  #compacted: number;

  /** Empty, at the revision up to which history is gone. */
  constructor(compacted: number) {
    this.#compacted = compacted;
    this.#revision = compacted;
  }

  get revision(): number {
    return this.#revision;
  }

  get compacted(): number {
    return this.#compacted;
  }

  get(key: string): StoreEntry | undefined {
    return this.#entries.get(key);
  }

  list(prefix: string): StoreSnapshot {
    const entries: StoreEntry[] = [];
    for (const key of this.#keys.scan(prefix)) entries.push(this.#entries.get(key)!);
    return { revision: this.#revision, entries };
  }

  /** An entry as it was found, without a history. */
  put(entry: StoreEntry): void {
    this.#entries.set(entry.key, entry);
    this.#keys.add(entry.key);
  }

  /** Becomes visible; nobody is told yet. */
  apply(event: StoreEvent): void {
    if (event.entry) {
      this.#entries.set(event.key, event.entry);
      if (!event.previous) this.#keys.add(event.key);
    } else {
      this.#entries.delete(event.key);
      this.#keys.delete(event.key);
    }
    this.#history.push(event);
    this.#revision = Math.max(this.#revision, event.revision);
  }

  /** Becomes visible, and whoever watched before is told. */
  publish(event: StoreEvent): void {
    const watchers = [...this.#watchers];
    this.apply(event);
    for (const watcher of watchers) {
      if (event.key.startsWith(watcher.prefix) && this.#watchers.has(watcher)) watcher.onEvent(event);
    }
  }

  watch(prefix: string, afterRevision: number, onEvent: (event: StoreEvent) => void): StoreWatch {
    if (afterRevision < this.#compacted) throw new CompactedError(this.#compacted);
    const watcher: Watcher = { prefix, onEvent };
    for (const event of this.#history.after(afterRevision)) if (event.key.startsWith(prefix)) onEvent(event);
    this.#watchers.add(watcher);
    return { stop: () => void this.#watchers.delete(watcher) };
  }

  /** Forgets history; answers the revisions that nothing refers to any more. */
  forget(upTo: number): number[] {
    this.#compacted = Math.max(this.#compacted, upTo);
    return this.#history.dropUpTo(this.#compacted);
  }

  /** Up to where to forget so that history keeps within its bounds, with room for a while; undefined while it does. */
  excess(maxEvents: number, maxBytes: number): number | undefined {
    const { length, bytes } = this.#history;
    if (length <= maxEvents && bytes <= maxBytes) return undefined;
    return this.#history.revisionKeeping(Math.floor(Math.min(length, maxEvents) * 0.75));
  }

  stopWatches(): void {
    this.#watchers.clear();
  }
}
