import { expect, test } from "vitest";
import { nodes, podGroups, pods, type schedulingv1alpha2 } from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { type NodeOptions, nodeOf, type PodOptions, podOf } from "../scheduler.fixture.ts";
import { startScheduler } from "../start-scheduler.ts";

const namespace = "default";

async function setUp() {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const stop = new AbortController();
  const informers = createInformers(client, world, { freeze: true });
  const scheduler = await startScheduler({ client, world, informers });
  informers.start(stop.signal);
  return {
    clock,
    api,
    client,
    addNode: (name: string, options?: NodeOptions) => client.create(nodes, nodeOf(name, options)),
    addGroup: (name: string, spec: Partial<schedulingv1alpha2.PodGroupSpec>) =>
      client.create(podGroups, { metadata: { namespace, name }, spec: { schedulingPolicy: {}, ...spec } }),
    addPods: async (group: string, names: readonly string[], options: PodOptions = {}) => {
      const schedulingGroup = { podGroupName: group };
      for (const name of names) await client.create(pods, podOf(name, { ...options, schedulingGroup }));
    },
    addPod: (name: string, options?: PodOptions) => client.create(pods, podOf(name, options)),
    placed: async () => {
      const { items } = await client.list(pods);
      return Object.fromEntries(items.map(({ metadata, spec }) => [metadata.name, spec.nodeName]));
    },
    going: async () => {
      const { items } = await client.list(pods);
      return items.filter(({ metadata }) => metadata.deletionTimestamp).map(({ metadata }) => metadata.name);
    },
    why: async (name: string) => {
      const { status } = await client.get(pods, { namespace, name });
      return status?.conditions?.find(({ type }) => type === "PodScheduled")?.message;
    },
    condition: async (name: string) => {
      const { status } = await client.get(podGroups, { namespace, name });
      return status?.conditions?.find(({ type }) => type === "PodGroupScheduled");
    },
    async stop() {
      stop.abort();
      await scheduler.stop();
    },
  };
}

const gang = (minCount: number) => ({ schedulingPolicy: { gang: { minCount } } });

test("a gang waits for its group and for enough pods, and is then given nodes at once", async () => {
  const s = await setUp();
  await s.addNode("a");
  await s.addPods("g", ["p1", "p2"]);
  await s.clock.advance(1_000);
  expect(await s.placed()).toEqual({ p1: undefined, p2: undefined });
  await s.addGroup("g", gang(3));
  await s.clock.advance(1_000);
  expect(await s.placed()).toEqual({ p1: undefined, p2: undefined });
  await s.addPods("g", ["p3"]);
  await s.clock.advance(1_000);
  expect(await s.placed()).toEqual({ p1: "a", p2: "a", p3: "a" });
  expect(await s.condition("g")).toMatchObject({ status: "True", reason: "Scheduled" });
  await s.stop();
});

test("where not enough of a gang fit, none is bound; each says why; room for all brings all", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "2" });
  await s.addGroup("g", gang(3));
  await s.addPods("g", ["p1", "p2", "p3"], { cpu: "1" });
  await s.clock.advance(1_000);
  expect(await s.placed()).toEqual({ p1: undefined, p2: undefined, p3: undefined });
  const whys = await Promise.all(["p1", "p2", "p3"].map(s.why));
  const waits = "pod group is unschedulable, waiting for minCount pods from a gang to be scheduled";
  expect(whys.filter((why) => why === waits)).toHaveLength(2);
  expect(whys.filter((why) => why?.startsWith("0/1 nodes are available: 1 Insufficient cpu."))).toHaveLength(
    1,
  );
  expect(await s.condition("g")).toMatchObject({
    status: "False",
    reason: "Unschedulable",
    message: "pod group is unschedulable",
  });
  await s.clock.advance(60_000);
  const before = s.api.writes.length;
  await s.clock.advance(60_000);
  expect(s.api.writes.length).toBe(before);
  await s.addNode("b", { cpu: "1" });
  await s.clock.advance(20_000);
  expect(Object.values(await s.placed()).sort()).toEqual(["a", "a", "b"]);
  expect(await s.condition("g")).toMatchObject({ status: "True", reason: "Scheduled" });
  await s.stop();
});

test("two gangs that fit only one at a time: one has all its nodes, the other none", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "3" });
  for (const name of ["g", "h"]) await s.addGroup(name, gang(3));
  for (let i = 1; i <= 3; i++)
    for (const name of ["g", "h"]) await s.addPods(name, [`${name}${i}`], { cpu: "1" });
  await s.clock.advance(60_000);
  const placed = await s.placed();
  const ofGroup = (name: string) => Object.keys(placed).filter((pod) => pod.startsWith(name) && placed[pod]);
  expect([ofGroup("g").length, ofGroup("h").length].sort()).toEqual([0, 3]);
  const waiting = ofGroup("g").length === 3 ? "h" : "g";
  const others = waiting === "h" ? "g" : "h";
  for (const name of ofGroup(others))
    await s.client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 });
  await s.clock.advance(20_000);
  expect(Object.values(await s.placed())).toEqual(["a", "a", "a"]);
  await s.stop();
});

test("pods beyond the minimum come when they can, and do not take the group's condition back", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "2" });
  await s.addGroup("g", gang(2));
  await s.addPods("g", ["p1", "p2"], { cpu: "1" });
  await s.clock.advance(1_000);
  await s.addPods("g", ["p3"], { cpu: "1" });
  await s.clock.advance(1_000);
  expect(await s.placed()).toEqual({ p1: "a", p2: "a", p3: undefined });
  expect(await s.why("p3")).toContain("Insufficient cpu");
  expect(await s.condition("g")).toMatchObject({ status: "True" });
  await s.addNode("b");
  await s.clock.advance(20_000);
  expect(await s.placed()).toEqual({ p1: "a", p2: "a", p3: "b" });
  await s.stop();
});

test("pods of a group without a gang go where they can, one without the other", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "1" });
  await s.addGroup("g", { schedulingPolicy: { basic: {} } });
  await s.addPods("g", ["p1", "p2"], { cpu: "1" });
  await s.clock.advance(1_000);
  expect(Object.values(await s.placed()).filter(Boolean)).toEqual(["a"]);
  await s.stop();
});

test("a gang puts out less important pods, all that are in its way or none", async () => {
  const s = await setUp();
  for (const name of ["a", "b"]) await s.addNode(name, { cpu: "1" });
  for (const name of ["low1", "low2"]) await s.addPod(name, { cpu: "1", priority: 1 });
  await s.clock.advance(1_000);
  await s.addGroup("g", gang(3));
  await s.addPods("g", ["p1", "p2", "p3"], { cpu: "1", priority: 10 });
  await s.clock.advance(20_000);
  expect(await s.going()).toEqual([]);
  await s.addNode("c", { cpu: "1" });
  await s.clock.advance(30_000);
  expect(await s.going()).toEqual(["low1", "low2"]);
  for (const name of ["low1", "low2"]) {
    const { p1, p2, p3 } = await s.placed();
    expect([p1, p2, p3]).toEqual([undefined, undefined, undefined]);
    await s.client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 });
    await s.clock.advance(30_000);
  }
  const placed = await s.placed();
  expect(Object.keys(placed).sort()).toEqual(["p1", "p2", "p3"]);
  expect(Object.values(placed).sort()).toEqual(["a", "b", "c"]);
  await s.stop();
});

test("a gang that must be together goes where all of it fits", async () => {
  const s = await setUp();
  for (const [name, zone, cpu] of [
    ["a", "x", "2"],
    ["b", "y", "2"],
    ["c", "y", "2"],
  ] as const)
    await s.addNode(name, { cpu, labels: { zone } });
  await s.addGroup("g", { ...gang(3), schedulingConstraints: { topology: [{ key: "zone" }] } });
  await s.addPods("g", ["p1", "p2", "p3"], { cpu: "1" });
  await s.clock.advance(1_000);
  const at = Object.values(await s.placed());
  expect(at.every((name) => name === "b" || name === "c")).toBe(true);
  await s.addGroup("h", { ...gang(3), schedulingConstraints: { topology: [{ key: "zone" }] } });
  await s.addPods("h", ["q1", "q2", "q3"], { cpu: "1" });
  await s.clock.advance(1_000);
  expect((await s.condition("h"))?.message).toBe(
    "0/2 placements are available, first placement status: pod group is unschedulable",
  );
  await s.stop();
});

test("a pod whose assignment fails is bound later: its place stays the group's", async () => {
  const s = await setUp();
  await s.addNode("a", { cpu: "3" });
  let failures = 0;
  s.api.fault = ({ path }) =>
    path.endsWith("/p2/binding") && failures++ < 2 ? new Error("refused") : undefined;
  await s.addGroup("g", gang(3));
  await s.addPods("g", ["p1", "p2", "p3"], { cpu: "1" });
  await s.clock.advance(20_000);
  expect(await s.placed()).toEqual({ p1: "a", p2: "a", p3: "a" });
  await s.stop();
});
