import { expect, test } from "vitest";
import { csiDrivers, nodes, persistentVolumeClaims, persistentVolumes, pods, volumeAttachments } from "#api";
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
