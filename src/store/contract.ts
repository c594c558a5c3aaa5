/**
 * The store: etcd's role. One revision counter for everything; every write is a compare-and-swap on one key; readers
 * see a write only once it is durable. The embedded store and a real etcd stand behind the same contract, and the same
 * suite (`contract.suite.ts`) runs against both.
 */

/** One live key. `value` is shared and never changed by anybody: it is also what goes over the wire. */
export interface StoreEntry {
  readonly key: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
}

/** One change, in revision order. `previous` is what the key held before; a deletion has no `entry`. */
export interface StoreEvent {
  readonly revision: number;
  readonly key: string;
  readonly entry: StoreEntry | undefined;
  readonly previous: StoreEntry | undefined;
}

/** The state of a range at one revision. */
export interface StoreSnapshot {
  readonly revision: number;
  readonly entries: readonly StoreEntry[];
}

/** A write: `expect` is the modRevision the key must have now, 0 for «must not exist», undefined for «whatever». */
export interface StoreWrite {
  key: string;
  expect: number | undefined;
  /** Called once, in the order of commits, with the revision the write gets; undefined deletes the key. */
  value: ((revision: number) => Buffer) | undefined;
}

/** The compare failed: `actual` is what the key holds now (including writes that are not durable yet). */
export class CompareError extends Error {
  override name = "CompareError";
  readonly actual: StoreEntry | undefined;
  constructor(key: string, actual: StoreEntry | undefined) {
    super(`${key} is at revision ${actual?.modRevision ?? 0}`);
    this.actual = actual;
  }
}

/** The revision asked for has been compacted away; `compacted` is the oldest that is not. */
export class CompactedError extends Error {
  override name = "CompactedError";
  readonly compacted: number;
  constructor(compacted: number) {
    super(`required revision has been compacted to ${compacted}`);
    this.compacted = compacted;
  }
}

/** The store cannot take writes (disk full, database damaged, closed). Nothing was written. */
export class StoreUnavailableError extends Error {
  override name = "StoreUnavailableError";
}

export interface Store {
  /** The newest revision that readers may see. Starts at 1 in an empty store, as etcd does. */
  readonly revision: number;
  /** The oldest revision that `watch` can start from. */
  readonly compactedRevision: number;
  /** Why the newest attempt to write failed, for the store's own reasons; undefined while all is well. */
  readonly failure: string | undefined;

  get(key: string): Promise<StoreEntry | undefined>;
  /** Every key that starts with `prefix`, in byte order. */
  list(prefix: string): Promise<StoreSnapshot>;

  /** Resolves when durable, with the entry written (or the one deleted). Throws `CompareError`, `StoreUnavailableError`. */
  write(write: StoreWrite): Promise<StoreEntry | undefined>;

  /**
   * Calls `onEvent` for every change with a revision above `afterRevision` under `prefix`, past ones first, in order,
   * exactly once; synchronously at publication, before the writer's promise resolves. Throws `CompactedError`.
   */
  watch(prefix: string, afterRevision: number, onEvent: (event: StoreEvent) => void): StoreWatch;

  /** Forgets history up to `revision`: the live state stays. */
  compact(revision: number): Promise<void>;
  close(): Promise<void>;
}

export interface StoreWatch {
  stop(): void;
}
