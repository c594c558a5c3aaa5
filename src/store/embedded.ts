/**
 * The embedded store. All live state is in memory; the journal makes writes durable. A write is compared with the
 * pending state (what will be visible once the writes before it are durable), joins the batch that goes to the journal
 * next, and is published – visible, then told to watches, then acknowledged – when its batch is durable.
 */
import { assert, failpoint, forComponent, messageOf, type World } from "#base";
import {
  CompareError,
  type Store,
  type StoreEntry,
  type StoreEvent,
  type StoreSnapshot,
  StoreUnavailableError,
  type StoreWatch,
  type StoreWrite,
} from "./contract.ts";
import { type Journal, type JournalContent, memoryJournal, type Row } from "./journal.ts";
import { openSqliteJournal } from "./sqlite-journal.ts";
import { StoreState } from "./state.ts";

export interface EmbeddedStoreOptions {
  world: World;
  /** The database file; its folder is made. Not needed in memory. */
  path?: string;
  /** Keep nothing on disk. */
  memory?: boolean;
  /** Changes kept for watches; older ones are compacted away by themselves. */
  historyMaxEvents?: number;
  /** Bytes of superseded values kept in memory for watches. */
  historyMaxBytes?: number;
  /** The database file may not grow beyond this; 0 (the default) leaves it to the disk. */
  quotaBytes?: number;
}

/** A batch that is larger waits for the next commit: bounds the memory and the time of one transaction. */
const batchMaxWrites = 4096;
/** Writes that may wait for the disk; more are refused. */
const queueMaxWrites = 65_536;
/** Rows deleted in one step of a compaction, between two batches. */
const trimStepRows = 256;

export function openEmbeddedStore(options: EmbeddedStoreOptions): Promise<Store> {
  if (options.memory)
    return Promise.resolve(new EmbeddedStore(memoryJournal, { rows: [], compactedRevision: 1 }, options));
  const { path } = options;
  assert(path !== undefined, "a store that is not in memory needs a path");
  try {
    const { journal, content } = openSqliteJournal({ path, quotaBytes: options.quotaBytes ?? 0 });
    return Promise.resolve(new EmbeddedStore(journal, content, options));
  } catch (error) {
    return Promise.reject(error);
  }
}

interface PendingWrite {
  event: StoreEvent;
  row: Row;
  result: StoreEntry | undefined;
  resolve: (entry: StoreEntry | undefined) => void;
  reject: (error: Error) => void;
}

class EmbeddedStore implements Store {
  readonly #journal: Journal;
  readonly #world: World;
  readonly #state: StoreState;
  readonly #historyMaxEvents: number;
  readonly #historyMaxBytes: number;
  /** The newest of the writes to a key that are not durable yet. */
  readonly #pending = new Map<string, StoreEvent>();
  #queue: PendingWrite[] = [];
  #pendingRevision = 1;
  #committing = false;
  #garbage: number[] = [];
  #trimmedTo: number;
  #trimming: Promise<void> | undefined;
  #idle: (() => void)[] = [];
  #closed = false;
  #failure: string | undefined;

  constructor(journal: Journal, content: JournalContent, options: EmbeddedStoreOptions) {
    this.#journal = journal;
    this.#world = forComponent(options.world, "store");
    this.#historyMaxEvents = options.historyMaxEvents ?? 20_000;
    this.#historyMaxBytes = options.historyMaxBytes ?? 64 * 1024 * 1024;
    this.#state = new StoreState(content.compactedRevision);
    this.#trimmedTo = content.compactedRevision;
    for (const row of content.rows) this.#replay(row);
    this.#pendingRevision = this.#state.revision;
    this.#garbage = this.#state.forget(content.compactedRevision);
  }

  get revision(): number {
    return this.#state.revision;
  }

  get compactedRevision(): number {
    return this.#state.compacted;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  get(key: string): Promise<StoreEntry | undefined> {
    return Promise.resolve(this.#state.get(key));
  }

  list(prefix: string): Promise<StoreSnapshot> {
    return Promise.resolve(this.#state.list(prefix));
  }

  write(write: StoreWrite): Promise<StoreEntry | undefined> {
    if (this.#closed) return Promise.reject(new StoreUnavailableError("the store is closed"));
    if (this.#queue.length >= queueMaxWrites)
      return Promise.reject(new StoreUnavailableError("too many writes wait"));
    const { key } = write;
    const pending = this.#pending.get(key);
    const current = pending ? pending.entry : this.#state.get(key);
    if (write.expect !== undefined && write.expect !== (current?.modRevision ?? 0)) {
      return Promise.reject(new CompareError(key, current));
    }
    if (!write.value && !current) return Promise.resolve(undefined);
    const revision = this.#pendingRevision + 1;
    let entry: StoreEntry | undefined;
    try {
      const value = write.value && ownBuffer(write.value(revision));
      entry = value && {
        key,
        value,
        createRevision: current?.createRevision ?? revision,
        modRevision: revision,
      };
    } catch (error) {
      return Promise.reject(error);
    }
    this.#pendingRevision = revision;
    const row = { revision, key, createRevision: entry?.createRevision ?? 0, value: entry?.value };
    const event = { revision, key, entry, previous: current };
    this.#pending.set(key, event);
    return new Promise((resolve, reject) => {
      this.#queue.push({ event, row, result: entry ?? current, resolve, reject });
      this.#schedule();
    });
  }

  watch(prefix: string, afterRevision: number, onEvent: (event: StoreEvent) => void): StoreWatch {
    return this.#state.watch(prefix, afterRevision, onEvent);
  }

  compact(revision: number): Promise<void> {
    const target = Math.min(revision, this.#state.revision);
    if (target > this.#state.compacted) {
      for (const row of this.#state.forget(target)) this.#garbage.push(row);
    }
    return this.#trim();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#committing) await new Promise<void>((resolve) => this.#idle.push(resolve));
    this.#state.stopWatches();
    await this.#trimming?.catch(() => {});
    await this.#journal.close();
  }

  /** A row read at start; history before the compacted revision is dropped afterwards. */
  #replay(row: Row): void {
    const { key, revision } = row;
    const previous = this.#state.get(key);
    const entry = row.value && {
      key,
      value: row.value,
      createRevision: row.createRevision,
      modRevision: revision,
    };
    this.#state.apply({ revision, key, entry, previous });
  }

  /** Writes made in one turn of the event loop go together. */
  #schedule(): void {
    if (this.#committing) return;
    this.#committing = true;
    queueMicrotask(() => void this.#commitAll());
  }

  async #commitAll(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.length > batchMaxWrites ? this.#queue.splice(0, batchMaxWrites) : this.#queue;
      if (batch === this.#queue) this.#queue = [];
      try {
        failpoint("store/append");
        await this.#journal.append(batch.map((write) => write.row));
        failpoint("store/appended");
      } catch (error) {
        this.#rollBack(batch, error);
        continue;
      }
      this.#publish(batch);
    }
    this.#committing = false;
    for (const wake of this.#idle.splice(0)) wake();
  }

  #publish(batch: readonly PendingWrite[]): void {
    this.#failure = undefined;
    for (const { event } of batch) {
      this.#state.publish(event);
      if (this.#pending.get(event.key) === event) this.#pending.delete(event.key);
    }
    for (const write of batch) write.resolve(write.result);
    this.#boundHistory();
  }

  /** Everything behind a failed batch was compared with state that never came to be: it fails too. */
  #rollBack(batch: readonly PendingWrite[], cause: unknown): void {
    const failed = [...batch, ...this.#queue];
    this.#queue = [];
    this.#pending.clear();
    this.#pendingRevision = this.#state.revision;
    this.#failure = messageOf(cause);
    this.#world.log.error({ err: cause, writes: failed.length }, "the store cannot take writes");
    for (const write of failed) {
      write.reject(new StoreUnavailableError(`the store cannot take writes: ${messageOf(cause)}`, { cause }));
    }
    // Space may be had by forgetting what is only kept for old watches.
    if (/full/.test(messageOf(cause))) this.compact(this.#state.revision).catch(() => {});
  }

  #boundHistory(): void {
    const excess = this.#state.excess(this.#historyMaxEvents, this.#historyMaxBytes);
    if (excess === undefined) return;
    this.compact(excess).catch((error) => {
      this.#world.log.warn(
        { err: error },
        "history could not be compacted; it is tried again with the next compaction",
      );
    });
  }

  #trim(): Promise<void> {
    this.#trimming ??= this.#trimSteps().finally(() => {
      this.#trimming = undefined;
    });
    return this.#trimming;
  }

  async #trimSteps(): Promise<void> {
    while (this.#trimmedTo < this.#state.compacted || this.#garbage.length > 0) {
      const step = this.#garbage.slice(0, trimStepRows);
      const { compacted } = this.#state;
      await this.#journal.trim(compacted, step);
      this.#garbage.splice(0, step.length);
      this.#trimmedTo = compacted;
      if (this.#closed) return;
    }
  }
}

/** Small buffers share a slab that would be kept alive as a whole; a stored value owns its bytes. */
function ownBuffer(value: Buffer): Buffer {
  if (value.buffer.byteLength === value.length) return value;
  const own = Buffer.allocUnsafeSlow(value.length);
  value.copy(own);
  return own;
}
