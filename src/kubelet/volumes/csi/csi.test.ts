import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import {
  type corev1,
  csiDrivers,
  csiNodes,
  type Draft,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  type storagev1,
  volumeAttachments,
} from "#api";
import { createWorld, seededRandom, silentLogger } from "#base";
import { createClient, FakeApi } from "#client";
import type { MountRequest } from "#contracts";
import { startPluginWatcher } from "../../plugins/watcher.ts";
import { startTestDriver, type TestDriverOptions } from "../../testing/csi-driver.ts";
import { makePod } from "../../testing/pods.ts";
import { volumeContract } from "../contract.suite.ts";
import { machineVolumeHost } from "../host.ts";
import { behindClaim } from "../persistent-volume-claim.ts";
import { createCsiVolumes } from "./csi.ts";
import { createCsiDrivers } from "./drivers.ts";
import { attachmentNameOf } from "./requests.ts";

const base = mkdtempSync(join(tmpdir(), "knarr-csi-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));
let roots = 0;

const name = "disks.test";
const claimed: corev1.Volume = { name: "v", persistentVolumeClaim: { claimName: "c" } };

type Spec = Draft<storagev1.CSIDriver>["spec"];

type End = () => Promise<void>;

async function setUp(
  more: Partial<TestDriverOptions> = {},
  spec: Spec | null = { attachRequired: false },
  atEnd: (end: End) => void = onTestFinished,
) {
  const root = join(base, String(roots++));
  const world = createWorld({ random: seededRandom(1), log: silentLogger });
  const client = createClient(new FakeApi(world.clock));
  await client.create(nodes, { metadata: { name: "n1" }, spec: {} });
  if (spec) await client.create(csiDrivers, { metadata: { name }, spec });
  const driver = await startTestDriver({ name, root, ...more });
  atEnd(() => driver.stop());
  const drivers = createCsiDrivers({ client, world, nodeName: "n1", root, countPauseMs: 10 });
  const podsDir = join(root, "pods");
  const said: string[] = [];
  const start = () =>
    createCsiVolumes({
      client,
      world,
      drivers,
      tokens: {
        tokenFor: async () => "t",
        heldFor: async (_pod, audience) => ({ token: `for ${audience}`, expirationTimestamp: "later" }),
        forget() {},
      },
      root,
      podsDir,
      inUseChanged() {},
      say: (_pod, _kind, reason, message) => said.push(`${reason}: ${message}`),
    });
  const watcher = startPluginWatcher({
    dir: join(root, "plugins_registry"),
    world,
    handlers: { CSIPlugin: drivers.handler },
  });
  atEnd(async () => {
    await watcher.stop();
    drivers.stop();
  });
  const host = machineVolumeHost(seededRandom(1));
  let csi = start();
  return {
    root,
    client,
    driver,
    drivers,
    watcher,
    host,
    said,
    get csi() {
      return csi;
    },
    restart() {
      csi = start();
    },
    async register() {
      await driver.register();
      await watcher.scan();
    },
    /** Mounts it for a pod; answers where it is, and the folder of the pod's volume. */
    async mount(uid: string, given: corev1.Volume = claimed, request: Partial<MountRequest> = {}) {
      const made = makePod();
      const pod = { ...made, metadata: { ...made.metadata, uid } };
      const volume = await behindClaim(client, pod, given);
      const plan = csi.plugin.plan(
        volume,
        { configMaps: new Map(), secrets: new Map(), tokens: [] },
        { pod, nodeName: "n1", allocatable: {}, dataDir: "/data", logDir: "/logs" },
      );
      const dir = join(podsDir, uid, "volumes", "kubernetes.io~csi", "v");
      return { plan, dir, path: await csi.plugin.mount({ plan, dir, ...request }, host) };
    },
    unmount: (dir: string) => csi.plugin.unmount(dir, host),
    usage: (where: { dir: string; path: string }) => csi.plugin.usage(where, host),
  };
}

const ends: End[] = [];
const kept = await setUp({}, { attachRequired: false, volumeLifecycleModes: ["Ephemeral"] }, (end) =>
  ends.push(end),
);
await kept.register();
afterAll(async () => {
  for (const end of ends) await end();
});

describe("a volume of a driver is like any other", () => {
  volumeContract(
    {
      plugin: kept.csi.plugin,
      volume: { name: "v", csi: { driver: name } },
      sources: { configMaps: new Map(), secrets: new Map(), tokens: [] },
    },
    () => ({ host: kept.host, root: join(kept.root, "pods", "x", "volumes") }),
  );
});

async function bind(
  client: ReturnType<typeof createClient>,
  spec: Draft<corev1.PersistentVolumeSpec> = {},
  status: corev1.PersistentVolumeClaimStatus = {},
): Promise<void> {
  const claim = await client.create(persistentVolumeClaims, {
    metadata: { namespace: "default", name: "c" },
    spec: { volumeName: "pv" },
    status: { phase: "Bound", ...status },
  });
  await client.create(persistentVolumes, {
    metadata: { name: "pv" },
    spec: {
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "1Gi" },
      claimRef: { uid: claim.metadata.uid },
      csi: { driver: name, volumeHandle: "handle", volumeAttributes: { kind: "fast" }, fsType: "ext4" },
      ...spec,
    },
  });
}

test("a driver that registers stands in the node's CSINode, labels and annotation, and goes with its socket", async () => {
  const { client, driver, register, watcher, root } = await setUp({
    topology: { "disks.test/zone": "z1" },
    maxVolumesPerNode: 5,
  });
  await register();
  expect(driver.told).toEqual([{ pluginRegistered: true, error: "" }]);
  expect((await client.get(csiNodes, { name: "n1" })).spec.drivers).toEqual([
    { name, nodeID: "node-id", topologyKeys: ["disks.test/zone"], allocatable: { count: 5 } },
  ]);
  const node = await client.get(nodes, { name: "n1" });
  expect(node.metadata.labels).toEqual({ "disks.test/zone": "z1" });
  expect(node.metadata.annotations?.["csi.volume.kubernetes.io/nodeid"]).toBe(`{"${name}":"node-id"}`);
  rmSync(join(root, "plugins_registry", `${name}-reg.sock`));
  await watcher.scan();
  expect((await client.get(csiNodes, { name: "n1" })).spec.drivers).toEqual([]);
  expect((await client.get(nodes, { name: "n1" })).metadata.annotations).toEqual({});
});

test("how many volumes fit is asked again, as often as the driver says", async () => {
  const { client, driver, drivers, register } = await setUp(
    { maxVolumesPerNode: 5 },
    { nodeAllocatableUpdatePeriodSeconds: 10 },
  );
  await register();
  driver.answers.NodeGetInfo = () => ({ nodeId: "node-id", maxVolumesPerNode: 7 });
  await drivers.announce();
  const first = async () => (await client.get(csiNodes, { name: "n1" })).spec.drivers[0];
  await expect.poll(first).toMatchObject({ allocatable: { count: 7 }, nodeID: "node-id" });
});

test("a driver never says of the node what others have said otherwise", async () => {
  const { client, driver, register } = await setUp({ topology: { zone: "z1" } });
  await client.patch(nodes, { name: "n1" }, "merge", { metadata: { labels: { zone: "z2" } } });
  await register();
  expect(driver.told[0]?.error).toBe(
    'error updating Node object with CSI driver node info: detected topology value collision: driver reported "zone":"z1" but existing label is "zone":"z2"',
  );
});

test("a driver that does not say what it calls the node is refused, and told why", async () => {
  const { driver, register, drivers } = await setUp({ nodeId: "" });
  await register();
  expect(driver.told).toEqual([
    { pluginRegistered: false, error: `driver ${name} did not say what it calls this node` },
  ]);
  expect(() => drivers.driver(name)).toThrow("not found in the list of registered CSI drivers");
});

test("a volume is staged once, published for each pod, and taken back in the opposite order", async () => {
  const world = await setUp();
  const { driver, register, mount, unmount, client, root } = world;
  await bind(client);
  await expect(mount("a")).rejects.toThrow(
    `attacher.MountDevice failed to create newCsiDriverClient: driver name ${name} not found in the list of registered CSI drivers`,
  );
  await register();
  const a = await mount("a");
  const b = await mount("b");
  expect(await mount("a")).toMatchObject({ path: a.path });
  const staged = driver.requestsOf("NodeStageVolume");
  expect(staged).toEqual([
    {
      volumeId: "handle",
      stagingTargetPath: expect.stringContaining(`${root}/plugins/kubernetes.io/csi/${name}/`),
      volumeCapability: {
        mount: { fsType: "ext4" },
        accessMode: { mode: "SINGLE_NODE_WRITER" },
      },
      volumeContext: { kind: "fast" },
    },
  ]);
  expect(driver.requestsOf("NodePublishVolume").map(({ targetPath }) => targetPath)).toEqual([
    a.path,
    b.path,
  ]);
  await unmount(a.dir);
  expect(driver.requestsOf("NodeUnstageVolume")).toEqual([]);
  await unmount(b.dir);
  await unmount(b.dir);
  expect(driver.asked.slice(-2).map(({ method }) => method)).toEqual([
    "NodeUnpublishVolume",
    "NodeUnstageVolume",
  ]);
  for (const { dir } of [a, b]) expect(existsSync(dir)).toBe(false);
  expect(readdirSync(join(root, "plugins/kubernetes.io/csi", name))).toEqual([]);
});

test("what a process before this one asked for is taken back by this one", async () => {
  const { driver, register, mount, unmount, client, restart, csi, ...world } = await setUp();
  await bind(client);
  await register();
  driver.answers.NodePublishVolume = () => {
    throw new Error("disk is on fire");
  };
  await expect(mount("a")).rejects.toThrow("rpc error: code = Internal desc = disk is on fire");
  restart();
  await unmount(join(world.root, "pods/a/volumes/kubernetes.io~csi/v"));
  expect(driver.asked.slice(-2).map(({ method }) => method)).toEqual([
    "NodeUnpublishVolume",
    "NodeUnstageVolume",
  ]);
  delete driver.answers.NodePublishVolume;
  await mount("b");
  restart();
  // The pod is gone with its folder, and the volume is still staged.
  rmSync(join(world.root, "pods"), { recursive: true });
  await csi.removeOrphans();
  expect(driver.requestsOf("NodeUnstageVolume").length).toBe(2);
});

test("an attachable volume waits for its attachment, whose words the driver is given", async () => {
  const world = await setUp({}, null);
  const { driver, register, mount, unmount, client } = world;
  await bind(client);
  await register();
  await expect(mount("a")).rejects.toThrow("is not attached to this node yet");
  expect(world.csi.volumesInUse()).toEqual([`kubernetes.io/csi/${name}^handle`]);
  const id = attachmentNameOf({ handle: "handle", driver: name, nodeName: "n1" } as never);
  await client.create(volumeAttachments, {
    metadata: { name: id },
    spec: { attacher: name, nodeName: "n1", source: { persistentVolumeName: "pv" } },
    status: { attached: true, attachmentMetadata: { device: "/dev/x" } },
  });
  const { dir } = await mount("a");
  for (const method of ["NodeStageVolume", "NodePublishVolume"] as const)
    expect(driver.requestsOf(method)[0]!.publishContext).toEqual({ device: "/dev/x" });
  await unmount(dir);
  expect(world.csi.volumesInUse()).toEqual([]);
});

test("a driver that asks for it is told of the pod, given tokens, and asked again", async () => {
  const { driver, register, mount, client } = await setUp(
    {},
    {
      attachRequired: false,
      podInfoOnMount: true,
      requiresRepublish: true,
      tokenRequests: [{ audience: "vault" }],
      volumeLifecycleModes: ["Ephemeral"],
    },
  );
  await register();
  const inline: corev1.Volume = { name: "v", csi: { driver: name, volumeAttributes: { key: "k" } } };
  await mount("a", inline);
  await mount("a", inline);
  const published = driver.requestsOf("NodePublishVolume");
  expect(published.length).toBe(2);
  expect(published[0]).toMatchObject({
    volumeId: expect.stringMatching(/^csi-[0-9a-f]{64}$/),
    volumeContext: {
      key: "k",
      "csi.storage.k8s.io/pod.name": "web",
      "csi.storage.k8s.io/pod.uid": "a",
      "csi.storage.k8s.io/ephemeral": "true",
      "csi.storage.k8s.io/serviceAccount.tokens":
        '{"vault":{"token":"for vault","expirationTimestamp":"later"}}',
    },
  });
  expect(driver.requestsOf("NodeStageVolume")).toEqual([]);
  await bind(client);
  await expect(mount("b")).rejects.toThrow('(only supports ["Ephemeral"])');
});

test("a driver that cannot make volumes for one pod is not asked to", async () => {
  const { register, mount } = await setUp({}, null);
  await register();
  await expect(mount("a", { name: "v", csi: { driver: name } })).rejects.toThrow(
    `volume mode "Ephemeral" not supported by driver ${name} (no CSIDriver object)`,
  );
});

test("a larger volume is enlarged on the node too, and the claim says so", async () => {
  const { driver, register, mount, client, said } = await setUp({
    capabilities: ["STAGE_UNSTAGE_VOLUME", "EXPAND_VOLUME"],
  });
  await bind(
    client,
    { capacity: { storage: "2Gi" } },
    {
      capacity: { storage: "1Gi" },
      conditions: [{ type: "FileSystemResizePending", status: "True" }],
    },
  );
  await register();
  await mount("a");
  await mount("a");
  expect(driver.requestsOf("NodeExpandVolume")).toMatchObject([
    { volumeId: "handle", capacityRange: { requiredBytes: 2 * 1024 ** 3 } },
  ]);
  const { status } = await client.get(persistentVolumeClaims, { namespace: "default", name: "c" });
  expect(status).toMatchObject({ capacity: { storage: "2Gi" }, conditions: [] });
  expect(said).toEqual([
    'FileSystemResizeSuccessful: MountVolume.NodeExpandVolume succeeded for volume "pv" n1',
  ]);
});

test("what a driver counts is what a volume holds", async () => {
  const { driver, register, mount, client, usage } = await setUp({ capabilities: ["GET_VOLUME_STATS"] });
  await bind(client);
  await register();
  driver.answers.NodeGetVolumeStats = () => ({
    usage: [
      { unit: "BYTES", total: 100, available: 60, used: 40 },
      { unit: "INODES", total: 10, available: 7, used: 3 },
    ],
  });
  expect(await usage(await mount("a"))).toEqual({
    usedBytes: 40,
    capacityBytes: 100,
    availableBytes: 60,
    inodes: 10,
    inodesFree: 7,
    inodesUsed: 3,
  });
});

test("a driver in a container is told paths as it knows them", async () => {
  const endpoint = `/var/lib/kubelet/plugins/${name}/csi.sock`;
  const { driver, register, mount, client } = await setUp({ endpoint });
  await bind(client);
  await register();
  driver.answers.NodePublishVolume = () => ({});
  await mount("a");
  expect(driver.requestsOf("NodePublishVolume")[0]).toMatchObject({
    targetPath: "/var/lib/kubelet/pods/a/volumes/kubernetes.io~csi/v/mount",
    stagingTargetPath: expect.stringMatching(/^\/var\/lib\/kubelet\/plugins\//),
  });
});

test("a plugin that does not answer holds up no other", async () => {
  const { driver, watcher, root } = await setUp();
  const mute = createServer(() => {});
  await new Promise<void>((resolve) => mute.listen(join(root, "plugins_registry", "mute.sock"), resolve));
  onTestFinished(() => void mute.close());
  await driver.register();
  void watcher.scan();
  await expect.poll(() => driver.told).toEqual([{ pluginRegistered: true, error: "" }]);
});

test("a block volume is published as a device", async () => {
  const { driver, register, mount, client } = await setUp();
  await bind(client, { volumeMode: "Block" });
  await register();
  await mount("a");
  expect(driver.requestsOf("NodePublishVolume")[0]!.volumeCapability).toEqual({
    block: {},
    accessMode: { mode: "SINGLE_NODE_WRITER" },
  });
});
