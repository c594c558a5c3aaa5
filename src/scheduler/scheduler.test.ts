import fc from "fast-check";
import { expect, test } from "vitest";
import { declaredFeatures, events, nodes, pods } from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { KeyedHeap } from "./heap.ts";
import { type NodeOptions, nodeOf, type PodOptions, podOf } from "./scheduler.fixture.ts";
import { startScheduler } from "./start-scheduler.ts";

function withFeatures(node: ReturnType<typeof nodeOf>): ReturnType<typeof nodeOf> {
  return {
    ...node,
    status: { ...node.status, declaredFeatures: declaredFeatures({ hasExclusiveCpus: true }) },
  };
}

async function setUp() {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const stop = new AbortController();
  const informers = createInformers(client, world, { freeze: true });
  const scheduler = await startScheduler({ client, world, informers });
  informers.start(stop.signal);
  const ref = (name: string) => ({ namespace: "default", name });
  return {
    clock,
    api,
    client,
    addNode: (name: string, options?: NodeOptions) => client.create(nodes, nodeOf(name, options)),
    addPod: (name: string, options?: PodOptions) => client.create(pods, podOf(name, options)),
    get: (name: string) => client.get(pods, ref(name)),
    nodeOf: async (name: string) => (await client.get(pods, ref(name))).spec.nodeName,
    messages: async () =>
      (await client.list(events, { namespace: "default" })).items.map((e) => `${e.reason}: ${e.message}`),
    metrics: () => world.metrics.text(),
    async stop() {
      stop.abort();
      await scheduler.stop();
    },
  };
}

test("a pod gets a node, and people are told", async () => {
  const s = await setUp();
  await s.addNode("a");
  await s.addPod("web");
  await s.clock.advance(100);
  expect(await s.nodeOf("web")).toBe("a");
  await s.stop();
  expect(await s.messages()).toEqual(["Scheduled: Successfully assigned default/web to a"]);
});

test("what asks for something new goes where a node declares it", async () => {
  const s = await setUp();
  await s.addNode("old");
  const rules = [{ action: "RestartAllContainers", exitCodes: { operator: "In", values: [1] } }];
  const pod = podOf("anew");
  pod.spec.containers[0]!.restartPolicy = "Never";
  pod.spec.containers[0]!.restartPolicyRules = rules;
  await s.client.create(pods, pod);
  await s.clock.advance(100);
  expect((await s.get("anew")).status.conditions?.[0]?.message).toContain(
    "0/1 nodes are available: 1 node(s) didn't match Pod's required features.",
  );
  await s.client.create(nodes, withFeatures(nodeOf("new")));
  await s.clock.advance(20_000);
  expect(await s.nodeOf("anew")).toBe("new");
  await s.stop();
});

test("a pod that fits nowhere says why, and gets its node when there is room", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "1" });
  await s.addPod("first", { cpu: "1" });
  await s.clock.advance(100);
  await s.addPod("second", { cpu: "1" });
  await s.clock.advance(100);
  expect((await s.get("second")).status.conditions).toEqual([
    expect.objectContaining({
      type: "PodScheduled",
      status: "False",
      reason: "Unschedulable",
      message: expect.stringContaining("0/1 nodes are available: 1 Insufficient cpu. preemption: "),
    }),
  ]);
  const before = s.api.writes.length;
  await s.clock.advance(60_000);
  expect(s.api.writes.length).toBe(before);
  await s.client.delete(pods, { namespace: "default", name: "first" }, { gracePeriodSeconds: 0 });
  // Nobody else is to be tried: its backoff is not waited for.
  await s.clock.advance(100);
  expect(await s.nodeOf("second")).toBe("a");
  await s.stop();
});

test("a burst is assigned without overcommitting: what is under way counts", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "4" });
  await s.addNode("b", { cpu: "4" });
  for (let i = 0; i < 10; i++) await s.addPod(`p${i}`, { cpu: "1" });
  await s.clock.advance(1_000);
  const placed = await Promise.all(Array.from({ length: 10 }, (_, i) => s.nodeOf(`p${i}`)));
  expect(placed.filter((name) => name === "a")).toHaveLength(4);
  expect(placed.filter((name) => name === "b")).toHaveLength(4);
  expect(placed.filter((name) => name === undefined)).toHaveLength(2);
  await s.stop();
});

test("an assignment that fails is tried again after its backoff", async () => {
  const s = await setUp();
  await s.addNode("a");
  let failures = 0;
  s.api.fault = (request) =>
    request.path.endsWith("/binding") && failures++ < 2 ? new Error("refused") : undefined;
  await s.addPod("web");
  await s.clock.advance(500);
  expect(await s.nodeOf("web")).toBeUndefined();
  await s.clock.advance(5_000);
  expect(await s.nodeOf("web")).toBe("a");
  await s.stop();
});

test("refused requests, lost answers and broken watches: everybody gets a node, none gets too many", async () => {
  const s = await setUp();
  const random = seededRandom(3);
  for (const name of ["a", "b", "c"]) await s.addNode(name, { cpu: "5" });
  s.api.fault = ({ method }) => (method !== "GET" && random.float() < 0.2 ? new Error("refused") : undefined);
  s.api.losesAnswer = ({ path }) => path.endsWith("/binding") && random.float() < 0.4;
  for (let i = 0; i < 20; i++) {
    while (!(await s.addPod(`p${i}`, { cpu: "1" }).catch(() => undefined))) await s.clock.advance(10);
    if (i % 4 === 0) s.api.dropWatches();
    await s.clock.advance(300);
  }
  await s.clock.advance(120_000);
  const { items } = await s.client.list(pods);
  const placed = items.map((pod) => pod.spec.nodeName);
  for (const name of ["a", "b", "c"]) expect(placed.filter((each) => each === name)).toHaveLength(5);
  expect(placed.filter((each) => each === undefined)).toHaveLength(5);
  await s.stop();
});

test("pods of another scheduler and gated pods are left alone; ungated, a pod is tried", async () => {
  const s = await setUp();
  await s.addNode("a");
  await s.addPod("other", { schedulerName: "mine" });
  await s.addPod("gated", { schedulingGates: [{ name: "wait" }] });
  await s.clock.advance(1_000);
  expect(await s.nodeOf("other")).toBeUndefined();
  expect(await s.nodeOf("gated")).toBeUndefined();
  await s.client.patch(pods, { namespace: "default", name: "gated" }, "merge", {
    spec: { schedulingGates: [] },
  });
  await s.clock.advance(100);
  expect(await s.nodeOf("gated")).toBe("a");
  await s.stop();
});

test("higher priority goes first", async () => {
  const s = await setUp();
  await s.addPod("low", { cpu: "1", priority: 1 });
  await s.addPod("high", { cpu: "1", priority: 10 });
  await s.clock.advance(20_000);
  await s.addNode("a", { cpu: "1" });
  await s.clock.advance(20_000);
  expect(await s.nodeOf("high")).toBe("a");
  expect(await s.nodeOf("low")).toBeUndefined();
  await s.stop();
});

test("a heap gives its items in order, whatever was taken out from its middle", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer(), { maxLength: 40 }), fc.array(fc.nat(39)), (items, removed) => {
      const heap = new KeyedHeap<number>(String, (a, b) => a < b);
      for (const item of items) heap.set(item);
      const left = new Set(items);
      for (const place of removed) {
        const item = items[place];
        if (item === undefined) continue;
        expect(heap.delete(String(item)) !== undefined).toBe(left.delete(item));
      }
      const popped: number[] = [];
      for (let item = heap.pop(); item !== undefined; item = heap.pop()) popped.push(item);
      expect(popped).toEqual([...left].sort((a, b) => a - b));
    }),
  );
});

test("what was tried, put out and waited for is counted under upstream's names", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "1" });
  await s.addPod("first", { cpu: "1" });
  await s.clock.advance(100);
  await s.addPod("second", { cpu: "1", priority: 10 });
  await s.clock.advance(100);
  await s.client.delete(pods, { namespace: "default", name: "first" }, { gracePeriodSeconds: 0 });
  await s.clock.advance(12_000);
  expect(await s.nodeOf("second")).toBe("a");
  const told = (await s.metrics()).split("\n");
  for (const line of [
    "scheduler_preemption_victims_sum 1",
    "scheduler_pod_scheduling_attempts_sum 3",
    "scheduler_pod_scheduling_attempts_count 2",
    'scheduler_pod_scheduling_sli_duration_seconds_count{attempts="2"} 1',
    'scheduler_queue_incoming_pods_total{queue="active",event="UnscheduledPodAdd"} 2',
    'scheduler_queue_incoming_pods_total{queue="unschedulable",event="ScheduleAttemptFailure"} 1',
  ])
    expect(told).toContain(line);
  await s.stop();
});
