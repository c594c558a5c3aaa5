import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { configMaps, type corev1, secrets } from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient, FakeApi } from "#client";
import type { KubeletConfig } from "../config/settings.ts";
import { createObjectSource } from "../object-source.ts";
import { makePod } from "../testing/pods.ts";
import { followingOf } from "./following.ts";
import { machineVolumeHost } from "./host.ts";
import { createVolumeManager } from "./manager.ts";
import { volumePlugins } from "./registry.ts";
import { createTokenSource } from "./tokens.ts";

const root = mkdtempSync(join(tmpdir(), "knarr-volume-manager-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let nodes = 0;

function setUp(strategy: KubeletConfig["changeDetection"] = "Watch") {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const woken: string[] = [];
  const dir = join(root, String(nodes++));
  const manager = createVolumeManager({
    plugins: volumePlugins,
    // Mounts need rights that a test may not have.
    host: {
      ...machineVolumeHost(seededRandom(1)),
      mountTmpfs: async () => {},
      isMounted: async () => false,
      unmount: async () => {},
    },
    client,
    objects: createObjectSource(client),
    tokens: createTokenSource(client, clock),
    certificates: { credentialsFor: async () => ({ key: "", chain: "" }), forget() {} },
    world,
    nodeName: "node-1",
    allocatable: () => ({}),
    podDir: (uid) => join(dir, uid),
    dataDir: dir,
    logDir: dir,
    wake: (uid) => woken.push(uid),
    following: followingOf({ changeDetection: strategy, syncMs: 60_000 }),
    measureMs: 60_000,
  });
  onTestFinished(() => manager.stop());
  const ref = { namespace: "default", name: "facts" };
  return {
    api,
    client,
    clock,
    manager,
    woken,
    ref,
    create: (data: Record<string, string>, more: object = {}) =>
      client.create(configMaps, { metadata: ref, data, ...more }),
    change: (data: Record<string, string>) => client.patch(configMaps, ref, "merge", { data }),
    /** Lets watches tell what they have to tell; answers who was woken since the last time. */
    async news(): Promise<string[]> {
      await clock.advance(1);
      return woken.splice(0).sort();
    },
    read: async (pod: corev1.Pod, file: string) =>
      readFileSync(join((await manager.ensure(pod)).get("v")!, file), "utf8"),
  };
}

function podWith(uid: string, ...volumes: Omit<corev1.Volume, "name">[]): corev1.Pod {
  const pod = makePod({ volumes: volumes.map((v, i) => ({ name: i === 0 ? "v" : `v${i}`, ...v })) });
  return { ...pod, metadata: { ...pod.metadata, uid } };
}

const mounting = (uid: string) => podWith(uid, { configMap: { name: "facts" } });

test("without watches what a ConfigMap says is read at each look, or once a minute", async () => {
  for (const [strategy, afterwards] of [
    ["Get", "red"],
    ["Cache", "blue"],
  ] as const) {
    const { clock, create, change, news, read } = setUp(strategy);
    await create({ colour: "blue" });
    const pod = mounting("a");
    expect(await read(pod, "colour")).toBe("blue");
    await change({ colour: "red" });
    expect(await news()).toEqual([]);
    expect(await read(pod, "colour")).toBe(afterwards);
    await clock.advance(60_000);
    expect(await read(pod, "colour")).toBe("red");
  }
});

test("a changed ConfigMap wakes the pods that mount it, and is in their volumes before any resync", async () => {
  const { api, create, change, manager, news, read } = setUp();
  await create({ colour: "blue" });
  const [a, b, other] = [mounting("a"), mounting("b"), podWith("c", { emptyDir: {} })];
  for (const pod of [a, b, other]) await manager.ensure(pod);
  await news();
  expect(api.watches).toBe(1);
  expect(await news()).toEqual([]);
  await change({ colour: "red" });
  expect(await news()).toEqual(["a", "b"]);
  expect(await read(a, "colour")).toBe("red");
  expect(await read(b, "colour")).toBe("red");
});

test("an object that was read already as the watch shows it wakes nobody", async () => {
  const { create, manager, news } = setUp();
  await create({ colour: "blue" });
  await manager.ensure(mounting("a"));
  await news();
  await manager.ensure(mounting("b"));
  expect(await news()).toEqual([]);
});

test("a Secret in a projected volume is followed too, and what is gone from an optional one goes", async () => {
  const { client, manager, news, read, ref } = setUp();
  const set = (text: string) => ({ data: { password: Buffer.from(text).toString("base64") } });
  await client.create(secrets, { metadata: ref, ...set("old") });
  const pod = podWith("a", { projected: { sources: [{ secret: { name: "facts", optional: true } }] } });
  expect(await read(pod, "password")).toBe("old");
  await news();
  await client.patch(secrets, ref, "merge", set("new"));
  expect(await news()).toEqual(["a"]);
  expect(await read(pod, "password")).toBe("new");
  await client.delete(secrets, ref);
  expect(await news()).toEqual(["a"]);
  await expect(read(pod, "password")).rejects.toThrow("ENOENT");
  expect((await manager.ensure(pod)).size).toBe(1);
});

test("a ConfigMap that a pod waits for wakes it", async () => {
  const { create, manager, news, read } = setUp();
  const pod = mounting("a");
  await expect(manager.ensure(pod)).rejects.toThrow('configmap "facts" not found');
  await news();
  await create({ colour: "blue" });
  expect(await news()).toEqual(["a"]);
  expect(await read(pod, "colour")).toBe("blue");
});

test("the watch ends with the last pod that mounts the object", async () => {
  const { api, create, change, manager, news } = setUp();
  await create({ colour: "blue" });
  for (const uid of ["a", "b"]) await manager.ensure(mounting(uid));
  await news();
  await manager.cleanUp("a");
  await news();
  expect(api.watches).toBe(1);
  await manager.cleanUp("b");
  await change({ colour: "red" });
  expect(await news()).toEqual([]);
  expect(api.watches).toBe(0);
});

test("what cannot change is not watched, nor what no object can be called", async () => {
  const { api, create, manager, news } = setUp();
  await create({ colour: "blue" }, { immutable: true });
  await manager.ensure(mounting("a"));
  const odd = { name: "facts,metadata.name!=x", optional: true };
  await manager.ensure(podWith("b", { configMap: odd }, { configMap: { name: "", optional: true } }));
  await news();
  await news();
  expect(api.watches).toBe(0);
});

test("no pod can make more watches than the connection carries", async () => {
  const { api, manager, news } = setUp();
  const sources = Array.from({ length: 700 }, (_, i) => ({ configMap: { name: `c${i}`, optional: true } }));
  await manager.ensure(podWith("a", { projected: { sources } }));
  await news();
  expect(api.watches).toBe(500);
  manager.stop();
  await news();
  expect(api.watches).toBe(0);
});

test("without a watch a change arrives with the resync", async () => {
  const { api, clock, create, change, read } = setUp();
  await create({ colour: "blue" });
  api.fault = ({ path }) => (path.includes("fieldSelector") ? new Error("cut off") : undefined);
  expect(await read(mounting("a"), "colour")).toBe("blue");
  await change({ colour: "red" });
  expect(await read(mounting("a"), "colour")).toBe("blue");
  await clock.advance(60_000);
  expect(await read(mounting("a"), "colour")).toBe("red");
});

test("a change between the question and its answer is not lost", async () => {
  const { client, clock, create, change, ref } = setUp();
  await create({ colour: "blue" });
  const answer = Promise.withResolvers<void>();
  const slow = {
    ...client,
    async get(...args: Parameters<typeof client.get>) {
      const object = await client.get(...args);
      await answer.promise;
      return object;
    },
  } as typeof client;
  const objects = createObjectSource(slow);
  const early = objects.configMaps("default", ["facts"]);
  await clock.advance(1);
  await change({ colour: "red" });
  objects.outdate(configMaps, ref.namespace, ref.name);
  const late = objects.configMaps("default", ["facts"]);
  await clock.advance(1);
  answer.resolve();
  expect((await early).get("facts")?.data).toEqual({ colour: "blue" });
  expect((await late).get("facts")?.data).toEqual({ colour: "red" });
});
