import { expect, test } from "vitest";
import { type corev1, events, formatMicroTime, leases, nodes, pods } from "#api";
import { type TestWorld, testWorld } from "../kit/world.fixture.ts";
import { evictionRate, healthOf } from "./zones.ts";

const names = ["node-controller", "taint-eviction-controller", "pod-garbage-collector-controller"];

async function addNode(world: TestWorld, name: string, labels: Record<string, string> = {}): Promise<void> {
  const time = "2026-01-01T00:00:00Z";
  await world.create(nodes, {
    metadata: { name, labels },
    spec: {},
    status: {
      conditions: [{ type: "Ready", status: "True", lastHeartbeatTime: time, lastTransitionTime: time }],
    },
  });
  await world.create(leases, {
    metadata: { namespace: "kube-node-lease", name },
    spec: { holderIdentity: name },
  });
}

/** The agents of these nodes live for so long. */
async function beat(world: TestWorld, alive: readonly string[], ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10_000) {
    for (const name of alive) {
      const spec = { renewTime: formatMicroTime(world.clock.now()) };
      await world.client.patch(leases, { namespace: "kube-node-lease", name }, "merge", { spec });
    }
    await world.clock.advance(10_000);
  }
}

async function addPod(
  world: TestWorld,
  name: string,
  tolerationSeconds: number | undefined,
  key = "node.kubernetes.io/unreachable",
): Promise<void> {
  const toleration = { key, operator: "Exists", effect: "NoExecute" };
  await world.create(pods, {
    metadata: { namespace: "default", name },
    spec: {
      nodeName: "b",
      containers: [{ name: "c", image: "x" }],
      tolerations: tolerationSeconds === undefined ? [] : [{ ...toleration, tolerationSeconds } as never],
    },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  });
}

test("a silent node becomes Unknown, is tainted, and its pods leave as they tolerate", async () => {
  const world = testWorld();
  await addNode(world, "a");
  await addNode(world, "b");
  await addPod(world, "at-once", undefined);
  await addPod(world, "later", 60);
  const running = await world.run(...names);
  await beat(world, ["a", "b"], 60_000);
  expect((await world.client.get(nodes, { name: "b" })).spec.taints ?? []).toEqual([]);
  await beat(world, ["a"], 60_000);
  const node = await world.client.get(nodes, { name: "b" });
  expect(node.status.conditions).toContainEqual(
    expect.objectContaining({
      type: "Ready",
      status: "Unknown",
      reason: "NodeStatusUnknown",
      message: "Kubelet stopped posting node status.",
    }),
  );
  expect(node.spec.taints?.map((taint) => `${taint.key}:${taint.effect}`)).toEqual([
    "node.kubernetes.io/unreachable:NoSchedule",
    "node.kubernetes.io/unreachable:NoExecute",
  ]);
  const deleted = async () =>
    (await world.podsOf()).filter((pod) => pod.metadata.deletionTimestamp).map((pod) => pod.metadata.name);
  expect(await deleted()).toEqual(["at-once"]);
  await beat(world, ["a"], 60_000);
  expect(await deleted()).toEqual(["at-once", "later"]);
  const [pod] = await world.podsOf();
  expect(pod?.status.conditions).toContainEqual(expect.objectContaining({ type: "Ready", status: "False" }));
  await running.stop();
});

test("a taint without a time of its own counts from when it was seen; one that goes in time evicts nobody", async () => {
  const world = testWorld();
  await addNode(world, "a");
  await addNode(world, "b");
  await addPod(world, "borne", 60, "own");
  const running = await world.run(...names);
  const taint = { key: "own", effect: "NoExecute" };
  const isDeleted = async () => (await world.podsOf())[0]?.metadata.deletionTimestamp !== undefined;
  const setTaints = (taints: object[]) =>
    world.client.patch(nodes, { name: "b" }, "merge", { spec: { taints } });
  await setTaints([taint]);
  await beat(world, ["a", "b"], 40_000);
  await setTaints([]);
  await beat(world, ["a", "b"], 40_000);
  await setTaints([taint]);
  await beat(world, ["a", "b"], 40_000);
  expect(await isDeleted()).toBe(false);
  await beat(world, ["a", "b"], 40_000);
  expect(await isDeleted()).toBe(true);
  await running.stop();
});

test("when no node is fine, nobody is evicted", async () => {
  const world = testWorld();
  await addNode(world, "b");
  await addPod(world, "kept", undefined);
  const running = await world.run(...names);
  await beat(world, [], 300_000);
  const node = await world.client.get(nodes, { name: "b" });
  expect(node.spec.taints?.map((taint) => taint.effect)).toEqual(["NoSchedule"]);
  expect((await world.podsOf())[0]?.metadata.deletionTimestamp).toBeUndefined();
  await running.stop();
});

test("a node that comes back loses its taints; others' taints stay", async () => {
  const world = testWorld();
  await addNode(world, "a");
  await addNode(world, "b");
  const own = { key: "team", value: "x", effect: "NoSchedule" };
  await world.client.patch(nodes, { name: "b" }, "merge", { spec: { taints: [own] } });
  const running = await world.run(...names);
  await beat(world, ["a"], 60_000);
  expect((await world.client.get(nodes, { name: "b" })).spec.taints).toHaveLength(3);
  const ready = { type: "Ready", status: "True", reason: "KubeletReady" };
  await world.client.patch(
    nodes,
    { name: "b" },
    "merge",
    { status: { conditions: [ready] } },
    { subresource: "status" },
  );
  await beat(world, ["a", "b"], 20_000);
  expect((await world.client.get(nodes, { name: "b" })).spec.taints).toEqual([own]);
  await running.stop();
});

test("a node is told of once, when it is first seen", async () => {
  const world = testWorld();
  await addNode(world, "a");
  const running = await world.run("node-controller");
  await beat(world, ["a"], 60_000);
  await running.stop();
  const { items } = await world.client.list(events);
  const told = items.filter(({ reason }) => reason === "RegisteredNode");
  expect(told).toMatchObject([
    {
      involvedObject: { kind: "Node", name: "a" },
      source: { component: "node-controller" },
      message: "Node a event: Registered Node a in Controller",
      count: 1,
    },
  ]);
});

test("a cordoned node is tainted", async () => {
  const world = testWorld();
  await addNode(world, "b");
  const running = await world.run(...names);
  await world.client.patch(nodes, { name: "b" }, "merge", { spec: { unschedulable: true } });
  await world.clock.advance(100);
  expect((await world.client.get(nodes, { name: "b" })).spec.taints).toEqual([
    { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" },
  ]);
  await running.stop();
});

test("pods of nodes that are gone are marked failed and removed", async () => {
  const world = testWorld();
  await addNode(world, "a");
  await addPod(world, "lost", 600);
  const running = await world.run(...names);
  await world.clock.advance(30_000);
  expect(await world.podsOf()).toEqual([]);
  expect(world.api.writes).toContain("PATCH pods/status");
  await running.stop();
});

const ready = { status: { conditions: [{ type: "Ready", status: "True" }] } };

const drivenFrom = async (world: TestWorld) => {
  const { items } = await world.client.list(nodes);
  const isDriven = (taint: corev1.Taint) => taint.effect === "NoExecute";
  return items.filter(({ spec }) => spec?.taints?.some(isDriven)).map(({ metadata }) => metadata.name);
};

test("ill nodes of a zone are left one after the other; each zone has its own turn", async () => {
  const world = testWorld();
  const zoned = (zone: string) => ({ "topology.kubernetes.io/zone": zone });
  for (const name of ["a1", "a2", "a3", "a4", "a5", "a6"]) await addNode(world, name, zoned("a"));
  for (const name of ["b1", "b2"]) await addNode(world, name, zoned("b"));
  const running = await world.run("node-controller");
  await beat(world, ["a4", "a5", "a6", "b2"], 40_000);
  const first = await drivenFrom(world);
  expect(first.filter((name) => name.startsWith("a"))).toHaveLength(1);
  expect(first).toContain("b1");
  await beat(world, ["a4", "a5", "a6", "b2"], 10_000);
  expect(await drivenFrom(world)).toHaveLength(3);
  await beat(world, ["a4", "a5", "a6", "b2"], 20_000);
  expect(await drivenFrom(world)).toEqual(["a1", "a2", "a3", "b1"]);
  await running.stop();
});

test("when most of a small zone is gone its pods stay, and when all nodes are those that were driven may too", async () => {
  const world = testWorld();
  for (const name of ["a", "b", "c", "d"]) await addNode(world, name);
  const running = await world.run("node-controller");
  await beat(world, ["a", "b", "c"], 60_000);
  expect(await drivenFrom(world)).toEqual(["d"]);
  await beat(world, ["a"], 120_000);
  expect(await drivenFrom(world)).toEqual(["d"]);
  await beat(world, [], 60_000);
  expect(await drivenFrom(world)).toEqual([]);
  for (const name of ["a", "b"])
    await world.client.patch(nodes, { name }, "merge", ready, { subresource: "status" });
  await beat(world, ["a", "b"], 60_000);
  expect(await drivenFrom(world)).toEqual(["c", "d"]);
  await running.stop();
});

test("how fast nodes are left, as the documentation has it", () => {
  expect([healthOf(1, 2), healthOf(2, 3), healthOf(3, 3), healthOf(0, 1)]).toEqual([
    "normal",
    "partly disrupted",
    "normal",
    "disrupted",
  ]);
  expect([50, 51].map((size) => evictionRate("partly disrupted", size))).toEqual([0, 0.01]);
  expect(evictionRate("disrupted", 3)).toBe(0.1);
});
