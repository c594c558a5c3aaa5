/** The journal in a SQLite file: read once here at start, written by the writer's thread from then on. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { messageOf, UserError } from "#base";
import { type StoreEntry, StoreUnavailableError } from "./contract.ts";
import { openDatabase } from "./database.ts";
import { checksumOf, type Journal, type JournalContent, type Row } from "./journal.ts";
import type { AppendRequest, WriterData, WriterRequest, WriterResponse } from "./messages.ts";

export interface SqliteOptions {
  path: string;
  quotaBytes: number;
}

/** Opens (or creates) the file and reads all of it. Damage, a lock or a bad path is a `UserError`. */
export function openSqliteJournal(options: SqliteOptions): { journal: Journal; content: JournalContent } {
  try {
    mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
    const content = readAll(options.path);
    const newest = Math.max(content.compactedRevision, content.rows.at(-1)?.revision ?? 1);
    return { journal: new SqliteJournal(options, newest), content };
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw openError(options.path, error);
  }
}

function openError(path: string, error: unknown): UserError {
  const message = messageOf(error);
  if (message.includes("locked")) {
    return new UserError(`the store ${path} is in use by another process`, "stop the other server first", {
      cause: error,
    });
  }
  if (/malformed|not a database|corrupt/.test(message)) return damaged(path, message);
  const mend = "check that the folder exists, is writable and has free space";
  return new UserError(`cannot open the store ${path}: ${message}`, mend, { cause: error });
}

function damaged(path: string, what: string): UserError {
  return new UserError(
    `the store ${path} is damaged: ${what}`,
    "put a copy of the file back (it was left as it is), or begin anew: knarr down --purge",
  );
}

function readAll(path: string): JournalContent {
  const database = openDatabase(path, 0);
  try {
    const meta = database.prepare("SELECT value FROM meta WHERE name = ?");
    const format = meta.get("format")?.value;
    if (format !== 1)
      throw new UserError(`the store ${path} has format ${format}, made by another version of Knarr`);
    const rows: Row[] = [];
    const all = database.prepare(
      "SELECT revision, key, create_revision, value, checksum FROM history ORDER BY revision",
    );
    for (const record of all.iterate()) rows.push(readRow(path, record));
    return { rows, compactedRevision: Number(meta.get("compacted")?.value) };
  } finally {
    database.close();
  }
}

/** A server may be ending: it has the file for itself until it has. */
const readPatienceMs = 10_000;

/**
 * What a file holds at keys like these (SQL's GLOB) while no store has it open. It is not changed; throws a `UserError`.
 */
export function readStoredFile(path: string, patterns: readonly string[]): StoreEntry[] {
  const live = new Map<string, StoreEntry>();
  try {
    const database = new DatabaseSync(path, { readOnly: true, timeout: readPatienceMs });
    try {
      const wanted = patterns.map(() => "key GLOB ?").join(" OR ");
      const found = database.prepare(
        `SELECT revision, key, create_revision, value, checksum FROM history WHERE ${wanted} ORDER BY revision`,
      );
      for (const record of found.iterate(...patterns)) {
        const { key, value, createRevision, revision } = readRow(path, record);
        if (value) live.set(key, { key, value, createRevision, modRevision: revision });
        else live.delete(key);
      }
    } finally {
      database.close();
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw openError(path, error);
  }
  return [...live.values()];
}

function readRow(path: string, record: Record<string, unknown>): Row {
  const blob = record.value as Uint8Array | null;
  const row: Row = {
    revision: Number(record.revision),
    key: String(record.key),
    createRevision: Number(record.create_revision),
    value: blob ? Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength) : undefined,
  };
  if (checksumOf(row.revision, row.key, row.createRevision, row.value) !== Number(record.checksum)) {
    throw damaged(path, `revision ${row.revision} (${row.key}) does not match its checksum`);
  }
  return row;
}

interface Waiting {
  resolve: () => void;
  reject: (error: Error) => void;
}

/** The writer's thread has little code and passes buffers on: with the usual room it takes eight megabytes more. */
const resourceLimits = { maxYoungGenerationSizeMb: 4, codeRangeSizeMb: 4, stackSizeMb: 1 };

class SqliteJournal implements Journal {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #durable: number;
  #dead: Error | undefined;

  constructor(options: SqliteOptions, durableRevision: number) {
    this.#durable = durableRevision;
    const file = import.meta.url.endsWith(".ts") ? "./writer.ts" : "./store-writer.js";
    const workerData: WriterData = { path: options.path, quotaBytes: options.quotaBytes };
    this.#worker = new Worker(new URL(file, import.meta.url), { workerData, resourceLimits });
    this.#worker.on("message", (response: WriterResponse) => this.#answered(response));
    this.#worker.on("error", (error) => this.#died(error));
    this.#worker.on("exit", () => this.#died(new Error("the store's writer has ended")));
  }

  async append(rows: readonly Row[]): Promise<void> {
    const request = packRows(rows, this.#durable);
    await this.#ask(request, [request.values.buffer as ArrayBuffer]);
    this.#durable = rows.at(-1)!.revision;
  }

  trim(compactedRevision: number, revisions: readonly number[]): Promise<void> {
    return this.#ask({ type: "trim", compactedRevision, revisions: [...revisions] });
  }

  async close(): Promise<void> {
    if (!this.#dead) await this.#ask({ type: "close" });
    await this.#worker.terminate();
  }

  #ask(request: WriterRequest, transfer: ArrayBuffer[] = []): Promise<void> {
    if (this.#dead) return Promise.reject(new StoreUnavailableError(this.#dead.message));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(request, transfer);
    });
  }

  #answered(response: WriterResponse): void {
    const waiting = this.#waiting.shift();
    if (response.ok) waiting?.resolve();
    else waiting?.reject(new StoreUnavailableError(response.message));
  }

  #died(error: unknown): void {
    this.#dead ??= error instanceof Error ? error : new Error(messageOf(error));
    for (const waiting of this.#waiting.splice(0))
      waiting.reject(new StoreUnavailableError(this.#dead.message));
  }
}

function packRows(rows: readonly Row[], after: number): AppendRequest {
  let size = 0;
  for (const row of rows) size += row.value?.length ?? 0;
  const values = Buffer.allocUnsafeSlow(size);
  const request: AppendRequest = {
    type: "append",
    after,
    revisions: [],
    createRevisions: [],
    keys: [],
    checksums: [],
    lengths: [],
    values,
  };
  let offset = 0;
  for (const row of rows) {
    request.revisions.push(row.revision);
    request.createRevisions.push(row.createRevision);
    request.keys.push(row.key);
    request.checksums.push(checksumOf(row.revision, row.key, row.createRevision, row.value));
    request.lengths.push(row.value ? row.value.length : -1);
    if (row.value) offset += row.value.copy(values, offset);
  }
  return request;
}
