import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createWorld, silentLogger, UserError } from "#base";
import { storeContract } from "./contract.suite.ts";
import type { Store, StoreEvent } from "./contract.ts";
import { type EmbeddedStoreOptions, openEmbeddedStore } from "./embedded.ts";

const world = createWorld({ log: silentLogger });
const folder = mkdtempSync(join(tmpdir(), "knarr-store-"));
let files = 0;
const newPath = () => join(folder, `store-${files++}`, "state.db");
afterAll(() => rmSync(folder, { recursive: true }));

const open = (path: string, more: Partial<EmbeddedStoreOptions> = {}) =>
  openEmbeddedStore({ world, path, ...more });
const put = (store: Store, key: string, text: string) =>
  store.write({ key, expect: undefined, value: () => Buffer.from(text) });

function query(path: string, sql: string): unknown[] {
  const database = new DatabaseSync(path);
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
}

storeContract("memory", () => openEmbeddedStore({ world, memory: true }));
storeContract("SQLite", () => open(newPath()));

describe("the embedded store on disk", () => {
  it("has everything again after a restart: state, revisions, history to watch from", async () => {
    const path = newPath();
    const first = await open(path);
    await put(first, "/a", "1");
    await put(first, "/a", "2");
    await put(first, "/b", "1");
    await first.write({ key: "/b", expect: undefined, value: undefined });
    await first.compact(2);
    await first.close();

    const second = await open(path);
    expect(second.revision).toBe(5);
    expect(second.compactedRevision).toBe(2);
    expect((await second.list("/")).entries).toMatchObject([
      { key: "/a", createRevision: 2, modRevision: 3 },
    ]);
    const seen: StoreEvent[] = [];
    second.watch("/", 2, (event) => seen.push(event));
    expect(seen.map((e) => [e.revision, e.key, e.previous?.modRevision])).toEqual([
      [3, "/a", 2],
      [4, "/b", undefined],
      [5, "/b", 4],
    ]);
    await second.compact(5);
    await second.close();

    expect(query(path, "SELECT revision FROM history")).toMatchObject([{ revision: 3 }]);
    const third = await open(path);
    expect(third.revision).toBe(5);
    expect((await put(third, "/c", "1"))?.modRevision).toBe(6);
    await third.close();
  });

  it("bounds its history by itself", async () => {
    const path = newPath();
    const store = await open(path, { historyMaxEvents: 100 });
    for (let i = 0; i < 450; i++) await put(store, "/k", `${i}`);
    expect(store.revision - store.compactedRevision).toBeLessThanOrEqual(100);
    await store.compact(store.compactedRevision);
    await store.close();
    expect(query(path, "SELECT revision FROM history").length).toBeLessThanOrEqual(101);
  });

  it("refuses a damaged row, a file that is no database, and a second server", async () => {
    const path = newPath();
    const store = await open(path);
    await put(store, "/a", "precious");
    await expect(open(path)).rejects.toThrow(/in use by another process/);
    await store.close();
    const database = new DatabaseSync(path);
    database.exec("UPDATE history SET value = CAST('precioux' AS BLOB)");
    database.close();
    await expect(open(path)).rejects.toThrow(/revision 2 \(\/a\) does not match its checksum/);

    const other = newPath();
    await (await open(other)).close();
    writeFileSync(other, "no database at all, only words".repeat(500));
    await expect(open(other)).rejects.toBeInstanceOf(UserError);
    await expect(open("/dev/null/state.db")).rejects.toBeInstanceOf(UserError);
  });

  it("refuses writes when its quota is used up, loses nothing, and goes on when there is space", async () => {
    const path = newPath();
    const store = await open(path, { quotaBytes: 400_000 });
    const kept: string[] = [];
    const failure = await (async () => {
      for (let i = 0; i < 200; i++) {
        const key = `/k${String(i).padStart(3, "0")}`;
        try {
          await put(store, key, "x".repeat(7000));
          kept.push(key);
        } catch (error) {
          return error;
        }
      }
      return undefined;
    })();
    expect(failure).toMatchObject({ name: "StoreUnavailableError" });
    expect((await store.list("/")).entries.map((e) => e.key)).toEqual(kept);
    const revision = store.revision;
    await store.close();
    const again = await open(path);
    expect(again.revision).toBe(revision);
    expect((await again.list("/")).entries.map((e) => e.key)).toEqual(kept);
    expect((await put(again, "/more", "y"))?.modRevision).toBe(revision + 1);
    await again.close();
  });
});

describe.skipIf(process.getuid?.() !== 0)("the embedded store on a full disk", () => {
  const disk = join(folder, "disk");
  beforeAll(() => {
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]);
  });
  afterAll(() => void execFileSync("umount", [disk]));

  it("recovers by itself when space is back (needs the right to mount)", async () => {
    const store = await open(join(disk, "state.db"));
    await put(store, "/first", "1");
    const filler = join(disk, "filler");
    execFileSync("sh", ["-c", 'head -c 1048576 /dev/zero > "$0" || true', filler], { stdio: "ignore" });
    const failures = await Promise.allSettled(
      Array.from({ length: 40 }, (_, i) => put(store, `/bulk${i}`, "z".repeat(20_000))),
    );
    expect(failures.some((r) => r.status === "rejected")).toBe(true);
    rmSync(filler);
    const entry = await put(store, "/after", "2");
    expect(entry?.modRevision).toBe(store.revision);
    const before = (await store.list("/")).entries.map((e) => [e.key, e.modRevision]);
    await store.close();
    const again = await open(join(disk, "state.db"));
    expect((await again.list("/")).entries.map((e) => [e.key, e.modRevision])).toEqual(before);
    await again.close();
  });
});
