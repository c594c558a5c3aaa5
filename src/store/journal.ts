/**
 * Where the embedded store keeps its history: a journal makes rows durable and forgets them again. State, compare and
 * publication are the store's own (`embedded.ts`), so that memory and SQLite behave alike.
 */
import { crc32 } from "node:zlib";

/** One revision of one key; no value means that the key was deleted. */
export interface Row {
  readonly revision: number;
  readonly key: string;
  readonly createRevision: number;
  readonly value: Buffer | undefined;
}

/** What a journal holds when it is opened. */
export interface JournalContent {
  /** In order of revision. */
  rows: Row[];
  compactedRevision: number;
}

export interface Journal {
  /** Resolves when every row is durable; rejects when none is. */
  append(rows: readonly Row[]): Promise<void>;
  /** Records that history up to `compactedRevision` is gone and deletes these superseded rows. */
  trim(compactedRevision: number, revisions: readonly number[]): Promise<void>;
  close(): Promise<void>;
}

/** Covers everything a row says, so that no torn or swapped row passes. */
export function checksumOf(
  revision: number,
  key: string,
  createRevision: number,
  value: Uint8Array | undefined,
): number {
  const head = crc32(`${revision} ${createRevision} ${value ? "put" : "delete"} ${key}`);
  return value ? crc32(value, head) : head;
}

/**
 * Where nothing waits for a disk, writers that wait for each other would keep the process to themselves: after batches of
 * this size, which come of many writers, timers and sockets get their turn.
 */
const yieldingBatchRows = 16;

/** Keeps nothing: for embedded clusters that live as long as their process. */
export const memoryJournal: Journal = {
  append: (rows) =>
    rows.length < yieldingBatchRows
      ? Promise.resolve()
      : new Promise((resolve) => void setImmediate(resolve)),
  trim: () => Promise.resolve(),
  close: () => Promise.resolve(),
};
