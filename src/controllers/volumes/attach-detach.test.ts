import { expect, test } from "vitest";
import {
  csiDrivers,
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  volumeAttachments,
} from "#api";
import { testWorld } from "../kit/world.fixture.ts";
import { attachDetachController } from "./attach-detach.ts";

async function worldWithVolume() {
  const world = testWorld();
  for (const name of ["n1", "n2"]) await world.create(nodes, { metadata: { name }, spec: {} });
  const claim = await world.create(persistentVolumeClaims, {
    metadata: { namespace: "default", name: "data" },
    spec: { volumeName: "v" },
  });
  const claimRef = { namespace: "default", name: "data", uid: claim.metadata.uid };
  const csi = { driver: "disk.example.com", volumeHandle: "h1" };
  await world.create(persistentVolumes, {
    metadata: { name: "v" },
    spec: { accessModes: ["ReadWriteOnce"], claimRef, csi },
  });
  const running = await world.run(attachDetachController.name);
  const pod = (name: string, nodeName: string) =>
    world.create(pods, {
      metadata: { namespace: "default", name },
      spec: {
        nodeName,
        volumes: [{ name: "d", persistentVolumeClaim: { claimName: "data" } }],
        containers: [],
      },
    });
  const settle = (ms = 1_000) => world.clock.advance(ms);
  const attachments = async () => (await world.client.list(volumeAttachments)).items;
  return { world, running, pod, settle, attachments };
}

test("a volume is attached where its pod runs, and detached once nothing uses it there", async () => {
  const { world, running, pod, settle, attachments } = await worldWithVolume();
  await pod("a", "n1");
  await settle();
  const [attachment, ...more] = await attachments();
  expect(more).toEqual([]);
  expect(attachment?.spec).toEqual({
    attacher: "disk.example.com",
    nodeName: "n1",
    source: { persistentVolumeName: "v" },
  });
  expect(attachment?.metadata.name).toMatch(/^csi-[0-9a-f]{64}$/);
  const ref = attachment!.metadata;
  await world.client.patch(
    volumeAttachments,
    ref,
    "merge",
    { status: { attached: true } },
    { subresource: "status" },
  );
  await settle();
  const name = "kubernetes.io/csi/disk.example.com^h1";
  const attachedTo = async (node: string) =>
    (await world.client.get(nodes, { name: node })).status?.volumesAttached;
  expect(await attachedTo("n1")).toEqual([{ name, devicePath: "" }]);
  const inUse = (volumesInUse: string[]) =>
    world.client.patch(
      nodes,
      { name: "n1" },
      "merge",
      { status: { volumesInUse } },
      { subresource: "status" },
    );
  await inUse([name]);
  await world.client.delete(pods, { namespace: "default", name: "a" }, { gracePeriodSeconds: 0 });
  await pod("b", "n2");
  await settle();
  expect((await attachments()).map(({ spec }) => spec.nodeName)).toEqual(["n1"]);
  await inUse([]);
  await settle();
  expect((await attachments()).map(({ spec }) => spec.nodeName)).toEqual(["n2"]);
  expect(await attachedTo("n1")).toEqual([]);
  await running.stop();
});

test("drivers that need no attaching are left alone", async () => {
  const { world, running, pod, settle, attachments } = await worldWithVolume();
  await world.create(csiDrivers, { metadata: { name: "disk.example.com" }, spec: { attachRequired: false } });
  await settle();
  await pod("a", "n1");
  await settle();
  expect(await attachments()).toEqual([]);
  await running.stop();
});

test("a node that answers keeps a volume as long as it uses it; one that does not, for six minutes", async () => {
  const { world, running, pod, settle, attachments } = await worldWithVolume();
  const status = (ready: string, volumesInUse: string[]) =>
    world.client.patch(
      nodes,
      { name: "n1" },
      "merge",
      { status: { volumesInUse, conditions: [{ type: "Ready", status: ready }] } },
      { subresource: "status" },
    );
  await pod("a", "n1");
  await settle();
  // Attached for long: what counts is since when nobody wants it.
  await settle(10 * 60_000);
  await status("True", ["kubernetes.io/csi/disk.example.com^h1"]);
  await world.client.delete(pods, { namespace: "default", name: "a" }, { gracePeriodSeconds: 0 });
  await settle(7 * 60_000);
  expect((await attachments()).length).toBe(1);
  await status("Unknown", ["kubernetes.io/csi/disk.example.com^h1"]);
  await settle();
  expect(await attachments()).toEqual([]);
  await running.stop();
});

test("pods are told when their volume is attached, and why it cannot be", async () => {
  const { world, running, pod, settle, attachments } = await worldWithVolume();
  await pod("a", "n1");
  await settle();
  const told = async () => {
    const all = (await world.client.list(events)).items;
    return all.map(({ reason, message }) => `${reason}: ${message}`);
  };
  expect(await told()).toEqual([]);
  const [attachment] = await attachments();
  const say = (status: object) =>
    world.client.patch(
      volumeAttachments,
      attachment!.metadata,
      "merge",
      { status },
      { subresource: "status" },
    );
  await say({ attachError: { message: "no room" } });
  await settle();
  expect(await told()).toEqual(['FailedAttachVolume: AttachVolume.Attach failed for volume "v" : no room']);
  await say({ attached: true, attachError: null });
  await settle();
  expect(await told()).toContain('SuccessfulAttachVolume: AttachVolume.Attach succeeded for volume "v" ');
  await running.stop();
});
