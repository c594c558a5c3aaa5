import { expect, onTestFinished, test } from "vitest";
import type { corev1, ResourceType } from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient } from "./client.ts";
import { controllerOf, indexByOwner, orphansOf, ownedBy } from "./indexes.ts";
import { createInformers } from "./informers.ts";
import { FakeApi } from "./testing/fake-api.ts";

const configMaps: ResourceType<corev1.ConfigMap> = {
  group: "",
  version: "v1",
  resource: "configmaps",
  kind: "ConfigMap",
  namespaced: true,
};

function setUp() {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const informers = createInformers(client, world, { freeze: true });
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const create = (name: string, data: Record<string, string> = {}) =>
    client.create(configMaps, { metadata: { namespace: "default", name }, data });
  return { clock, api, client, informers, stop, create };
}

test("a copy has all of an object but the owners of its fields", async () => {
  const { clock, client, informers, stop } = setUp();
  const managedFields = [{ manager: "m", operation: "Update", fieldsV1: { "f:data": {} } }];
  const make = (name: string) => {
    const metadata = { namespace: "default", name, labels: { a: "b" }, managedFields };
    return client.create(configMaps, { metadata, data: { k: "v" } });
  };
  await make("listed");
  const informer = informers.of(configMaps);
  informers.start(stop.signal);
  await clock.advance(10);
  await make("watched");
  await clock.advance(10);
  for (const name of ["listed", "watched"]) {
    const there = await client.get(configMaps, { namespace: "default", name });
    expect(there.metadata.managedFields).toHaveLength(1);
    const { managedFields: _, ...metadata } = there.metadata;
    expect(informer.get("default", name)).toStrictEqual({ ...there, metadata });
  }
});

test("follows creations, changes and deletions, and tells its handlers", async () => {
  const { clock, client, informers, stop, create } = setUp();
  await create("a");
  const informer = informers.of(configMaps);
  const seen: string[] = [];
  informer.on({
    add: (o) => seen.push(`add ${o.metadata.name}`),
    update: (o) => seen.push(`update ${o.metadata.name}`),
    delete: (o) => seen.push(`delete ${o.metadata.name}`),
  });
  informers.start(stop.signal);
  await informers.waitForSync();
  await create("b");
  await client.patch(configMaps, { namespace: "default", name: "b" }, "merge", { data: { k: "v" } });
  await client.delete(configMaps, { namespace: "default", name: "a" });
  await clock.advance(1);
  expect(seen).toEqual(["add a", "add b", "update b", "delete a"]);
  expect(informer.list("default").map((o) => o.metadata.name)).toEqual(["b"]);
  expect(informer.get("default", "b")?.data).toEqual({ k: "v" });
});

test("objects of the copy are read-only", async () => {
  const { informers, stop, create } = setUp();
  await create("a");
  const informer = informers.of(configMaps);
  informers.start(stop.signal);
  await informers.waitForSync();
  const object = informer.get("default", "a") as corev1.ConfigMap;
  expect(() => {
    object.metadata.name = "b";
  }).toThrow(TypeError);
});

test("resumes after a lost watch without listing again", async () => {
  const { clock, api, informers, stop, create } = setUp();
  const informer = informers.of(configMaps);
  informers.start(stop.signal);
  await informers.waitForSync();
  await clock.advance(1);
  const lists: string[] = [];
  api.fault = (request) => {
    if (!request.path.includes("watch=true") && request.method === "GET") lists.push(request.path);
    return undefined;
  };
  api.dropWatches();
  await create("late");
  await clock.advance(60_000);
  expect(informer.get("default", "late")).toBeDefined();
  expect(lists).toEqual([]);
});

test("lists again when its revision is gone, and notices what was deleted meanwhile", async () => {
  const { clock, api, client, informers, stop, create } = setUp();
  await create("gone");
  const informer = informers.of(configMaps);
  const deleted: string[] = [];
  informer.on({ delete: (o) => deleted.push(o.metadata.name) });
  informers.start(stop.signal);
  await informers.waitForSync();
  await clock.advance(1);
  api.dropWatches();
  await client.delete(configMaps, { namespace: "default", name: "gone" });
  await create("new");
  api.compact();
  await clock.advance(120_000);
  expect(deleted).toEqual(["gone"]);
  expect(informer.list().map((o) => o.metadata.name)).toEqual(["new"]);
});

test("keeps trying, with pauses, while the server fails", async () => {
  const { clock, api, informers, stop, create } = setUp();
  await create("a");
  let tries = 0;
  api.fault = () => {
    tries++;
    return new Error("connection refused");
  };
  const informer = informers.of(configMaps);
  informers.start(stop.signal);
  await clock.advance(120_000);
  expect(tries).toBeGreaterThan(3);
  expect(tries).toBeLessThan(20);
  expect(informer.hasSynced).toBe(false);
  api.fault = undefined;
  await clock.advance(120_000);
  expect(informer.get("default", "a")).toBeDefined();
});

test("stopping ends the watch at the server", async () => {
  const { clock, api, informers, stop } = setUp();
  informers.of(configMaps);
  informers.start(stop.signal);
  await informers.waitForSync();
  await clock.advance(1);
  expect(api.watches).toBe(1);
  stop.abort();
  await clock.advance(1);
  expect(api.watches).toBe(0);
});

test("asked for twice, an informer is the same; another selection is another", () => {
  const { informers } = setUp();
  expect(informers.of(configMaps)).toBe(informers.of(configMaps));
  expect(informers.of(configMaps, { namespace: "x" })).not.toBe(informers.of(configMaps));
});

test("indexes follow changes of the owner", async () => {
  const { clock, client, informers, stop } = setUp();
  const informer = indexByOwner(informers.of(configMaps));
  informers.start(stop.signal);
  await informers.waitForSync();
  const owner = { apiVersion: "v1", kind: "X", name: "x", uid: "u1", controller: true };
  await client.create(configMaps, { metadata: { namespace: "ns", name: "a", ownerReferences: [owner] } });
  await clock.advance(1);
  expect(ownedBy(informer, "u1").map((o) => controllerOf(o)?.name)).toEqual(["x"]);
  await client.patch(configMaps, { namespace: "ns", name: "a" }, "merge", {
    metadata: { ownerReferences: [] },
  });
  await clock.advance(1);
  expect(ownedBy(informer, "u1")).toEqual([]);
  expect(orphansOf(informer, "ns").map((o) => o.metadata.name)).toEqual(["a"]);
});
