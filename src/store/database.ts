/**
 * The SQLite file: one table of revisions in WAL mode, each commit synced (https://www.sqlite.org/wal.html). Used by the
 * writer's thread, and once by the store itself to read everything at start.
 */
import { closeSync, openSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";

const pageBytes = 8192;

/** A larger write-ahead log is cut after a checkpoint. */
const walMaxBytes = 32 * 1024 * 1024;

const schema = `
  CREATE TABLE IF NOT EXISTS meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  INSERT OR IGNORE INTO meta VALUES('format', 1), ('compacted', 1);
  CREATE TABLE IF NOT EXISTS history(
    revision INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    create_revision INTEGER NOT NULL,
    value BLOB,
    checksum INTEGER NOT NULL
  );
`;

/** Opens with an exclusive lock: a second process gets `database is locked`. */
export function openDatabase(path: string, quotaBytes: number): DatabaseSync {
  // Secrets lie in it: only its owner reads it. SQLite gives its log the same mode.
  closeSync(openSync(path, "a", 0o600));
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec(
      `PRAGMA page_size=${pageBytes}; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA locking_mode=EXCLUSIVE;`,
    );
    database.exec(
      `PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=${walMaxBytes};`,
    );
    if (quotaBytes > 0)
      database.exec(`PRAGMA max_page_count=${Math.max(8, Math.floor(quotaBytes / pageBytes))};`);
    database.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
  } catch (error) {
    database.close();
    throw error;
  }
  return database;
}

export interface Statements {
  insert: StatementSync;
  remove: StatementSync;
  removeAbove: StatementSync;
  setCompacted: StatementSync;
}

export function prepareStatements(database: DatabaseSync): Statements {
  return {
    insert: database.prepare("INSERT INTO history VALUES(?, ?, ?, ?, ?)"),
    remove: database.prepare("DELETE FROM history WHERE revision = ?"),
    removeAbove: database.prepare("DELETE FROM history WHERE revision > ?"),
    setCompacted: database.prepare("UPDATE meta SET value = max(value, ?) WHERE name = 'compacted'"),
  };
}

/** Runs `work` in one transaction: all of it is durable when this returns, none of it when it throws. */
export function inTransaction(database: DatabaseSync, work: () => void): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    work();
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}
