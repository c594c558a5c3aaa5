/** The store contract on a real etcd, and what happens when that goes away. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { configMaps } from "#api";
import { createWorld, silentLogger } from "#base";
import { openEtcdStore, parseDatastore, type Store } from "#store";
import { startTestServer } from "../../src/apiserver/testing/start.ts";
import { storeContract } from "../../src/store/contract.suite.ts";
import { type EtcdProcess, hasEtcd, startEtcd } from "./fixtures/etcd.ts";

const world = createWorld({ log: silentLogger });
const available = await hasEtcd();
const running: EtcdProcess[] = [];

async function fresh(): Promise<EtcdProcess> {
  const etcd = await startEtcd();
  running.push(etcd);
  return etcd;
}

const open = (etcd: EtcdProcess) => openEtcdStore({ world, endpoints: parseDatastore(etcd.datastore) });
const bytes = (text: string) => () => Buffer.from(text);

afterAll(async () => {
  for (const etcd of running) await etcd.remove();
});

describe.skipIf(!available)("on etcd (skipped where etcd-server is absent and cannot be installed)", () => {
  storeContract("etcd", async () => open(await fresh()));

  describe("the store on etcd", () => {
    let etcd: EtcdProcess;
    const stores: Store[] = [];
    const opened = async () => {
      const store = await open(etcd);
      stores.push(store);
      return store;
    };
    beforeAll(async () => {
      etcd = await fresh();
    });
    afterEach(async () => {
      for (const store of stores.splice(0)) await store.close();
    });

    it("keeps everything while nobody looks, with the revisions inside", async () => {
      const first = await opened();
      const value = (revision: number) => Buffer.from(`{"rv":"${revision}"}`);
      const written = await first.write({ key: "/kept", expect: 0, value });
      expect(String(written?.value)).toBe(`{"rv":"${written?.modRevision}"}`);
      await first.close();
      const second = await opened();
      expect(await second.get("/kept")).toEqual(written);
      expect(second.revision).toBe(first.revision);
    });

    it("two servers see each other's writes, and only one wins", async () => {
      const [a, b] = [await opened(), await opened()];
      const seen: string[] = [];
      b.watch("/both/", b.revision, (event) => seen.push(`${event.key} ${event.entry?.value}`));
      const results = await Promise.allSettled([
        a.write({ key: "/both/k", expect: 0, value: bytes("a") }),
        b.write({ key: "/both/k", expect: 0, value: bytes("b") }),
      ]);
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      await expect.poll(() => seen).toHaveLength(1);
      expect(await b.get("/both/k")).toMatchObject({ key: "/both/k" });
    });

    it("goes on after etcd was killed; what was acknowledged is there", async () => {
      const store = await opened();
      const events: number[] = [];
      store.watch("/crash/", store.revision, (event) => events.push(event.revision));
      await store.write({ key: "/crash/before", expect: 0, value: bytes("1") });
      await etcd.kill();
      await expect(store.write({ key: "/crash/lost", expect: 0, value: bytes("1") })).rejects.toMatchObject({
        name: "StoreUnavailableError",
      });
      expect(store.failure).toMatch(/etcd/);
      await etcd.start();
      await expect
        .poll(
          () =>
            store
              .write({ key: "/crash/after", expect: undefined, value: bytes("1") })
              .then(Boolean, () => false),
          {
            timeout: 20_000,
          },
        )
        .toBe(true);
      expect(store.failure).toBeUndefined();
      expect(await store.get("/crash/before")).toBeDefined();
      expect(await store.get("/crash/lost")).toBeUndefined();
      expect(events.length).toBeGreaterThanOrEqual(2);
      expect(events).toEqual([...events].sort((x, y) => x - y));
    });

    it("learns what it missed even when etcd has compacted it away", async () => {
      const [away, here] = [await opened(), await opened()];
      await here.write({ key: "/gap/gone", expect: undefined, value: bytes("1") });
      await here.write({ key: "/gap/kept", expect: undefined, value: bytes("1") });
      await expect.poll(() => away.get("/gap/kept").then(Boolean)).toBe(true);
      const seen = new Map<string, string | undefined>();
      away.watch("/gap/", away.revision, (event) =>
        seen.set(event.key, event.entry && String(event.entry.value)),
      );
      // Both lose their watches at the same time; one of them is quicker to write and to compact.
      await etcd.kill();
      await etcd.start();
      const write = (key: string, text?: string) =>
        here.write({ key, expect: undefined, value: text === undefined ? undefined : bytes(text) });
      await expect
        .poll(() => write("/gap/kept", "2").then(Boolean, () => false), { timeout: 20_000 })
        .toBe(true);
      await write("/gap/gone");
      await write("/gap/new", "3");
      await here.compact(here.revision).catch(() => {});
      await expect
        .poll(() => Object.fromEntries(seen), { timeout: 20_000 })
        .toEqual({
          "/gap/kept": "2",
          "/gap/gone": undefined,
          "/gap/new": "3",
        });
    });

    it("carries an API server", async () => {
      const store = await opened();
      const server = await startTestServer({ store });
      const before = store.revision;
      const created = await server.client.create(configMaps, {
        metadata: { name: "on-etcd", namespace: "default" },
        data: { k: "v" },
      });
      // The server writes objects of its own beside.
      expect(Number(created.metadata.resourceVersion)).toBeGreaterThan(before);
      expect(Number(created.metadata.resourceVersion)).toBeLessThanOrEqual(store.revision);
      const updated = await server.client.update(configMaps, { ...created, data: { k: "w" } });
      expect(Number(updated.metadata.resourceVersion)).toBeGreaterThan(
        Number(created.metadata.resourceVersion),
      );
      await expect(server.client.update(configMaps, { ...created, data: { k: "x" } })).rejects.toMatchObject({
        code: 409,
      });
      const { items } = await server.client.list(configMaps, { namespace: "default" });
      expect(items.find(({ metadata }) => metadata.name === "on-etcd")).toEqual(updated);
      await server.stop();
    });
  });
});

it("says what is wrong with a datastore", () => {
  expect(parseDatastore("etcd=http://a:1,http://b")).toEqual({ addresses: ["a:1", "b:2379"] });
  expect(parseDatastore("etcd=https://a:1")).toEqual({ addresses: ["a:1"], tls: {} });
  for (const text of [
    "mysql://x",
    "etcd=",
    "etcd=ftp://a",
    "etcd=http://a,https://b",
    "etcd=http://a/path",
    "etcd=https://a?ca=/nowhere/ca.pem",
    "etcd=https://a?user=me",
  ]) {
    expect(() => parseDatastore(text)).toThrow(expect.objectContaining({ name: "UserError" }));
  }
});
