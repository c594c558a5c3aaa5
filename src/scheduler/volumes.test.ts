import { expect, onTestFinished, test } from "vitest";
import {
  type corev1,
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  type Draft,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  type storagev1,
} from "#api";
import { createWorld, seededRandom, silentLogger, VirtualClock } from "#base";
import { createClient, createInformers, FakeApi } from "#client";
import { nodeOf, podOf } from "./scheduler.fixture.ts";
import { startScheduler } from "./start-scheduler.ts";

const namespace = "default";

async function setUp() {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const client = createClient(new FakeApi(clock));
  const stop = new AbortController();
  const informers = createInformers(client, world, { freeze: true });
  const scheduler = await startScheduler({ client, world, informers });
  informers.start(stop.signal);
  onTestFinished(async () => {
    stop.abort();
    await scheduler.stop();
  });
  for (const zone of ["x", "y"]) await client.create(nodes, nodeOf(`in-${zone}`, { labels: { zone } }));
  const claim = (name: string, spec: Draft<corev1.PersistentVolumeClaimSpec>) =>
    client.create(persistentVolumeClaims, { metadata: { namespace, name }, spec });
  const addPod = (name: string, ...claims: string[]) => {
    const volumes = claims.map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } }));
    return client.create(pods, podOf(name, { volumes }));
  };
  const get = (name: string) => client.get(pods, { namespace, name });
  const why = async (name: string) =>
    (await get(name)).status.conditions?.find(({ type }) => type === "PodScheduled")?.message;
  return { clock, client, claim, addPod, get, why };
}

type SetUp = Awaited<ReturnType<typeof setUp>>;

function addClass({ client }: SetUp, name: string, volumeBindingMode: "Immediate" | "WaitForFirstConsumer") {
  return client.create(storageClasses, {
    metadata: { name },
    provisioner: "csi.example.com",
    volumeBindingMode,
  });
}

const storage = (amount: string) => ({ requests: { storage: amount } });
const inZone = (zone: string) => ({
  required: {
    nodeSelectorTerms: [{ matchExpressions: [{ key: "zone", operator: "In" as const, values: [zone] }] }],
  },
});

function addVolume({ client }: SetUp, name: string, more: Draft<corev1.PersistentVolumeSpec> = {}) {
  const spec = {
    capacity: { storage: "10Gi" },
    accessModes: ["ReadWriteOnce"],
    storageClassName: "slow",
    ...more,
  };
  return client.create(persistentVolumes, { metadata: { name }, spec, status: { phase: "Available" } });
}

async function bindTo({ client }: SetUp, claim: string, volume: string): Promise<void> {
  const annotations = { "pv.kubernetes.io/bind-completed": "yes" };
  const patch = { metadata: { annotations }, spec: { volumeName: volume }, status: { phase: "Bound" } };
  await client.patch(persistentVolumeClaims, { namespace, name: claim }, "merge", patch);
}

test("a claim that waits for its consumer learns the node, and the pod waits for the claim", async () => {
  const s = await setUp();
  await addClass(s, "slow", "WaitForFirstConsumer");
  await s.claim("data", {
    storageClassName: "slow",
    accessModes: ["ReadWriteOnce"],
    resources: storage("1Gi"),
  });
  await s.addPod("db", "data");
  await s.clock.advance(1_000);
  expect((await s.get("db")).spec.nodeName).toBeUndefined();
  const claim = await s.client.get(persistentVolumeClaims, { namespace, name: "data" });
  const node = claim.metadata.annotations?.["volume.kubernetes.io/selected-node"];
  expect(["in-x", "in-y"]).toContain(node);
  await addVolume(s, "pv", { csi: { driver: "csi.example.com", volumeHandle: "1" } });
  await bindTo(s, "data", "pv");
  await s.clock.advance(1_000);
  expect((await s.get("db")).spec.nodeName).toBe(node);
});

test("the smallest volume that is there and can be reached is taken before another is made", async () => {
  const s = await setUp();
  await addClass(s, "slow", "WaitForFirstConsumer");
  await addVolume(s, "large", { capacity: { storage: "50Gi" }, nodeAffinity: inZone("x") });
  await addVolume(s, "small", { nodeAffinity: inZone("x") });
  await addVolume(s, "tiny", { capacity: { storage: "1Gi" }, nodeAffinity: inZone("x") });
  await s.client.patch(nodes, { name: "in-y" }, "merge", { spec: { unschedulable: true } });
  await s.claim("data", {
    storageClassName: "slow",
    accessModes: ["ReadWriteOnce"],
    resources: storage("5Gi"),
  });
  await s.addPod("db", "data");
  await s.clock.advance(1_000);
  const volume = await s.client.get(persistentVolumes, { name: "small" });
  expect(volume.spec?.claimRef).toMatchObject({ namespace, name: "data" });
  await bindTo(s, "data", "small");
  await s.clock.advance(1_000);
  expect((await s.get("db")).spec.nodeName).toBe("in-x");
});

test("why volumes keep a pod from its node, as upstream words it; it is tried again when that changes", async () => {
  const s = await setUp();
  await s.addPod("lost", "nowhere");
  await s.clock.advance(500);
  expect(await s.why("lost")).toBe(
    '0/2 nodes are available: persistentvolumeclaim "nowhere" not found. ' +
      "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.",
  );
  await addClass(s, "fast", "Immediate");
  await s.claim("nowhere", { storageClassName: "fast", accessModes: ["ReadWriteOnce"] });
  await s.clock.advance(12_000);
  expect(await s.why("lost")).toContain("pod has unbound immediate PersistentVolumeClaims");
  await addVolume(s, "pv", { nodeAffinity: inZone("y") });
  await bindTo(s, "nowhere", "pv");
  await s.clock.advance(12_000);
  expect((await s.get("lost")).spec.nodeName).toBe("in-y");
  await addVolume(s, "far", { nodeAffinity: inZone("z") });
  await s.claim("away", { storageClassName: "fast", accessModes: ["ReadWriteOnce"] });
  await bindTo(s, "away", "far");
  await s.addPod("stranded", "away");
  await s.clock.advance(500);
  expect(await s.why("stranded")).toContain("2 node(s) didn't match PersistentVolume's node affinity");
});

test("no more volumes than the node attaches, and no second pod with a claim for one", async () => {
  const s = await setUp();
  await s.client.patch(nodes, { name: "in-y" }, "merge", { spec: { unschedulable: true } });
  const drivers = [{ name: "csi.example.com", nodeID: "1", allocatable: { count: 1 } }];
  await s.client.create(csiNodes, { metadata: { name: "in-x" }, spec: { drivers } });
  await addClass(s, "fast", "Immediate");
  for (const name of ["one", "two"]) {
    await addVolume(s, name, { csi: { driver: "csi.example.com", volumeHandle: name } });
    await s.claim(name, { storageClassName: "fast", accessModes: ["ReadWriteOncePod"] });
    await bindTo(s, name, name);
  }
  await s.addPod("first", "one");
  await s.clock.advance(500);
  expect((await s.get("first")).spec.nodeName).toBe("in-x");
  await s.addPod("second", "two");
  await s.addPod("third", "one");
  await s.clock.advance(500);
  expect(await s.why("second")).toContain("1 node(s) exceed max volume count");
  expect(await s.why("third")).toContain("ReadWriteOncePod access mode already in-use by another pod");
});

test("a claim waits where no volume of its size can be made, as its driver tells", async () => {
  const s = await setUp();
  await addClass(s, "slow", "WaitForFirstConsumer");
  await s.client.create(csiDrivers, {
    metadata: { name: "csi.example.com" },
    spec: { storageCapacity: true },
  });
  await s.claim("data", {
    storageClassName: "slow",
    accessModes: ["ReadWriteOnce"],
    resources: storage("10Gi"),
  });
  await s.addPod("db", "data");
  await s.clock.advance(500);
  expect(await s.why("db")).toContain("0/2 nodes are available: 2 node(s) did not have enough free storage.");
  const room = (name: string, zone: string, more: Draft<storagev1.CSIStorageCapacity>) =>
    s.client.create(csiStorageCapacities, {
      metadata: { namespace: "kube-system", name },
      storageClassName: "slow",
      nodeTopology: { matchLabels: { zone } },
      ...more,
    });
  await room("other-class", "x", { storageClassName: "fast", capacity: "1Ti" });
  await room("too-little", "x", { capacity: "9Gi" });
  await room("in-small-pieces", "x", { capacity: "1Ti", maximumVolumeSize: "5Gi" });
  await room("nowhere", "z", { capacity: "1Ti" });
  await s.clock.advance(12_000);
  expect(await s.why("db")).toContain("2 node(s) did not have enough free storage");
  await room("enough", "y", { capacity: "10Gi" });
  await s.clock.advance(12_000);
  const claim = await s.client.get(persistentVolumeClaims, { namespace, name: "data" });
  expect(claim.metadata.annotations?.["volume.kubernetes.io/selected-node"]).toBe("in-y");
});

test("a claim whose volume has gone keeps its pods from every node", async () => {
  const s = await setUp();
  await addClass(s, "fast", "Immediate");
  await s.claim("data", { storageClassName: "fast", accessModes: ["ReadWriteOnce"] });
  await bindTo(s, "data", "gone");
  await s.addPod("db", "data");
  await s.clock.advance(500);
  expect(await s.why("db")).toContain(
    "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
  );
});
