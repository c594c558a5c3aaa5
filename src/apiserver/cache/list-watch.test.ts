import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { configMaps, type corev1, pods, serviceAccounts } from "#api";
import { createClient, readText, type WatchEvent, type WatchOptions } from "#client";
import { openEmbeddedStore } from "#store";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(() => server.stop());

const inDefault = (name: string) => ({ namespace: "default", name });
const put = (name: string, labels: Record<string, string> = {}) =>
  server.client.create(configMaps, { metadata: { ...inDefault(name), labels } });
const base = "/api/v1/namespaces/default/configmaps";
const namesOf = (answer: { body: { items?: unknown[] } }) =>
  (answer.body.items as corev1.ConfigMap[]).map((o) => o.metadata.name);

/** Collects the events of a watch until it is told to stop. */
function collect(options: WatchOptions): { events: WatchEvent<corev1.ConfigMap>[]; stop(): Promise<void> } {
  const events: WatchEvent<corev1.ConfigMap>[] = [];
  const stopping = new AbortController();
  const done = (async () => {
    for await (const event of server.client.watch(configMaps, { ...options, signal: stopping.signal }))
      events.push(event);
  })();
  return {
    events,
    stop: async () => {
      // What was published before is delivered within a few turns of the event loop.
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      stopping.abort();
      await done;
    },
  };
}

const brief = (events: readonly WatchEvent<corev1.ConfigMap>[]) =>
  events.map((e) => `${e.type} ${e.object.metadata.name ?? ""}`.trim());

describe("lists", () => {
  it("show one state over all pages, whatever happens in between", async () => {
    const change = fc.record({
      name: fc.integer({ min: 0, max: 12 }).map((n) => `n${n}`),
      remove: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 6 }), async (rounds) => {
        const before = namesOf(await server.send("GET", base));
        const seen: string[] = [];
        let token = "";
        for (let page = 0; ; page++) {
          const answer = await server.send("GET", `${base}?limit=2&continue=${token}`);
          expect(answer.status).toBe(200);
          seen.push(...namesOf(answer));
          token = String(answer.body.metadata?.continue ?? "");
          if (!token) break;
          for (const { name, remove } of rounds[page] ?? []) {
            if (remove) await server.client.delete(configMaps, inDefault(name)).catch(() => {});
            else await put(name).catch(() => {});
          }
        }
        expect(seen).toEqual(before);
        for (let i = 0; i < 13; i++) await put(`n${i}`).catch(() => {});
      }),
      { numRuns: 15 },
    );
  });

  it("say how many remain, and that a token is too old", async () => {
    for (const name of ["a", "b", "c", "d"]) await put(name);
    const first = await server.send("GET", `${base}?limit=1`);
    expect(first.body.metadata).toMatchObject({ remainingItemCount: 3 });
    await put("e");
    await server.store.compact(server.store.revision);
    const late = await server.send("GET", `${base}?limit=1&continue=${first.body.metadata?.continue}`);
    expect(late).toMatchObject({ status: 410, body: { reason: "Expired" } });
    const rest = await server.send("GET", `${base}?limit=9&continue=${late.body.metadata?.continue}`);
    expect(namesOf(rest)).toEqual(["b", "c", "d", "e"]);
    expect((await server.send("GET", `${base}?continue=rubbish`)).status).toBe(400);
  });

  it("follow resourceVersion and resourceVersionMatch", async () => {
    const a = await put("a");
    await put("b");
    const at = a.metadata.resourceVersion;
    expect(
      namesOf(await server.send("GET", `${base}?resourceVersion=${at}&resourceVersionMatch=Exact`)),
    ).toEqual(["a"]);
    expect(
      namesOf(await server.send("GET", `${base}?resourceVersion=${at}&resourceVersionMatch=NotOlderThan`)),
    ).toEqual(["a", "b"]);
    expect(namesOf(await server.send("GET", `${base}?resourceVersion=0`))).toEqual(["a", "b"]);
    expect(await server.send("GET", `${base}?resourceVersion=99999`)).toMatchObject({
      status: 504,
      body: { details: { causes: [{ reason: "ResourceVersionTooLarge" }] } },
    });
    expect((await server.send("GET", `${base}?resourceVersionMatch=Exact`)).status).toBe(422);
    expect((await server.send("GET", `${base}?resourceVersion=x`)).status).toBe(422);
    expect((await server.send("GET", `${base}?limit=many`)).status).toBe(400);
  });

  it("select by labels and fields", async () => {
    await put("a", { app: "x" });
    await put("b", { app: "y" });
    expect(namesOf(await server.send("GET", `${base}?labelSelector=app%3Dx`))).toEqual(["a"]);
    expect(namesOf(await server.send("GET", `${base}?fieldSelector=metadata.name%21%3Da`))).toEqual(["b"]);
    expect((await server.send("GET", `${base}?fieldSelector=data.k%3Dv`)).status).toBe(400);
    expect((await server.send("GET", `${base}?labelSelector=%3D%3D`)).status).toBe(400);
  });
});

describe("watches", () => {
  it("begin with the state, or after a version", async () => {
    const a = await put("a");
    await put("b");
    const whole = collect({ namespace: "default" });
    const rest = collect({ namespace: "default", resourceVersion: a.metadata.resourceVersion });
    await server.client.patch(configMaps, inDefault("a"), "merge", { data: { k: "v" } });
    await server.client.delete(configMaps, inDefault("b"));
    await whole.stop();
    await rest.stop();
    expect(brief(whole.events)).toEqual(["ADDED a", "ADDED b", "MODIFIED a", "DELETED b"]);
    expect(brief(rest.events)).toEqual(["ADDED b", "MODIFIED a", "DELETED b"]);
    expect(rest.events.at(-1)?.object.metadata.resourceVersion).toBe(String(server.store.revision));
  });

  it("hand readers of the same process what they would have read, the same object to all", async () => {
    const stopping = new AbortController();
    const transport = server.api.transport({ username: "admin", groups: ["system:masters"] });
    const reader = (sharesObjects: boolean) => {
      const events: unknown[] = [];
      const send: typeof transport.send = (request) => transport.send({ ...request, sharesObjects });
      const client = createClient({ send, close: async () => {} });
      const done = (async () => {
        const options = { namespace: "default", signal: stopping.signal };
        for await (const event of client.watch(pods, options)) events.push(event);
      })();
      return { events, done };
    };
    const readers = [reader(false), reader(true), reader(true)] as const;
    await server.client.create(serviceAccounts, { metadata: inDefault("default") });
    const spec = { containers: [{ name: "c", image: "x", env: [{ name: "__proto__", value: "é" }] }] };
    await server.client.create(pods, { metadata: { ...inDefault("p"), labels: { a: "1" } }, spec });
    const status = { conditions: [{ type: "Ready", status: "True" }] };
    await server.client.patch(pods, inDefault("p"), "strategic", { status }, { subresource: "status" });
    await server.client.delete(pods, inDefault("p"));
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    stopping.abort();
    await Promise.all(readers.map(({ done }) => done));
    const [read, shared, also] = readers.map(({ events }) => events);
    expect(read).toHaveLength(3);
    expect(shared).toStrictEqual(read);
    expect(shared!.every((event, i) => event === also![i])).toBe(true);
  });

  it("tell of objects that enter and leave the selection", async () => {
    await put("a", { on: "yes" });
    const watch = collect({ labelSelector: "on=yes" });
    const label = (value: string) =>
      server.client.patch(configMaps, inDefault("a"), "merge", { metadata: { labels: { on: value } } });
    await label("no");
    await label("maybe");
    await label("yes");
    await watch.stop();
    expect(brief(watch.events)).toEqual(["ADDED a", "DELETED a", "ADDED a"]);
  });

  it("mark the end of the initial events when asked (WatchList)", async () => {
    await put("a");
    const path = `${base}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1`;
    const response = await server.api
      .transport({ username: "informer", groups: ["system:masters"] })
      .send({ method: "GET", path });
    const revision = String(server.store.revision);
    await put("b");
    await server.clock.advance(2000);
    const text = await readText(response.body);
    const frames = text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as WatchEvent<corev1.ConfigMap>);
    expect(brief(frames)).toEqual(["ADDED a", "BOOKMARK", "ADDED b", "BOOKMARK"]);
    expect(frames[1]?.object.metadata).toMatchObject({
      resourceVersion: revision,
      annotations: { "k8s.io/initial-events-end": "true" },
    });
    expect((await server.send("GET", `${base}?watch=1&sendInitialEvents=true`)).status).toBe(422);
  });

  it("send bookmarks, and end after their time with one: nobody comes back with a version of long ago", async () => {
    const before = String(server.store.revision);
    const watch = collect({
      allowWatchBookmarks: true,
      timeoutSeconds: 90,
      resourceVersion: String(server.store.revision),
    });
    await server.clock.advance(61_000);
    await server.client.create(serviceAccounts, { metadata: inDefault("of-another-kind") });
    const after = String(server.store.revision);
    await server.clock.advance(60_000);
    await watch.stop();
    expect(watch.events.map((e) => [e.type, e.object.metadata.resourceVersion])).toEqual([
      ["BOOKMARK", before],
      ["BOOKMARK", after],
    ]);
  });

  it("refuse versions that are gone", async () => {
    for (const name of ["a", "b", "c"]) await put(name);
    await server.store.compact(server.store.revision);
    const answer = await server.send("GET", `${base}?watch=1&resourceVersion=2`);
    expect(answer).toMatchObject({ status: 410, body: { reason: "Expired" } });
  });

  it("go on from a version of before a restart", async () => {
    const { world } = server;
    const store = await openEmbeddedStore({ world, memory: true });
    const first = await startTestServer({ store });
    const a = await first.client.create(configMaps, { metadata: inDefault("a") });
    await first.client.create(configMaps, { metadata: inDefault("b") });
    await first.api.stop();
    const second = await startTestServer({ store });
    const page = await second.send(
      "GET",
      `${base}?resourceVersion=${a.metadata.resourceVersion}&resourceVersionMatch=Exact`,
    );
    expect(namesOf(page)).toEqual(["a"]);
    await second.stop();
  });

  it("drop a watcher that does not read", async () => {
    const response = await server.api
      .transport({ username: "slow", groups: ["system:masters"] })
      .send({ method: "GET", path: `${base}?watch=1` });
    const big = "x".repeat(1_000_000);
    await server.client.create(configMaps, { metadata: inDefault("big"), data: { big } });
    for (let i = 0; i < 40; i++)
      await server.client.patch(configMaps, inDefault("big"), "merge", { data: { i: `${i}` } });
    let text = "";
    for await (const chunk of response.body) text += Buffer.from(chunk).toString();
    const frames = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; object: { code?: number } });
    expect(frames.at(-1)).toMatchObject({ type: "ERROR", object: { code: 410 } });
  });
});
