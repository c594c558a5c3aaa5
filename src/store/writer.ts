/**
 * The writer's thread: the only one that changes the database, one transaction for each batch, so that the main thread
 * never waits for a disk. It loads nothing but SQLite, to be there quickly.
 */
import type { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { inTransaction, openDatabase, prepareStatements, type Statements } from "./database.ts";
import type { AppendRequest, TrimRequest, WriterData, WriterRequest, WriterResponse } from "./messages.ts";

/** Free pages given back to the file system after each step of a compaction. */
const vacuumPages = 256;

class Writer {
  readonly #data: WriterData;
  #open: { database: DatabaseSync; statements: Statements } | undefined;

  constructor(data: WriterData) {
    this.#data = data;
  }

  append(request: AppendRequest): void {
    const fresh = this.#open === undefined;
    const { database, statements } = this.#connection();
    inTransaction(database, () => {
      // After a failed commit (or at start) the file may hold rows that nobody was told of.
      if (fresh) statements.removeAbove.run(request.after);
      let offset = 0;
      for (let i = 0; i < request.revisions.length; i++) {
        const length = request.lengths[i]!;
        const value = length < 0 ? null : request.values.subarray(offset, offset + length);
        offset += Math.max(0, length);
        statements.insert.run(
          request.revisions[i]!,
          request.keys[i]!,
          request.createRevisions[i]!,
          value,
          request.checksums[i]!,
        );
      }
    });
  }

  trim(request: TrimRequest): void {
    const { database, statements } = this.#connection();
    inTransaction(database, () => {
      statements.setCompacted.run(request.compactedRevision);
      for (const revision of request.revisions) statements.remove.run(revision);
    });
    database.exec(`PRAGMA incremental_vacuum(${vacuumPages})`);
  }

  close(): void {
    this.#open?.database.close();
    this.#open = undefined;
  }

  /** A connection that has failed is not trusted again: the next request opens a new one. */
  discard(): void {
    try {
      this.close();
    } catch {
      this.#open = undefined;
    }
  }

  #connection(): { database: DatabaseSync; statements: Statements } {
    if (!this.#open) {
      const database = openDatabase(this.#data.path, this.#data.quotaBytes);
      this.#open = { database, statements: prepareStatements(database) };
    }
    return this.#open;
  }
}

function handle(writer: Writer, request: WriterRequest): WriterResponse {
  try {
    if (request.type === "append") writer.append(request);
    else if (request.type === "trim") writer.trim(request);
    else writer.close();
    return { ok: true };
  } catch (error) {
    writer.discard();
    return { ok: false, message: error instanceof Error ? error.message : String(error) };
  }
}

const port = parentPort;
if (port) {
  const writer = new Writer(workerData as WriterData);
  port.on("message", (request: WriterRequest) => {
    port.postMessage(handle(writer, request));
    if (request.type === "close") port.close();
  });
}
