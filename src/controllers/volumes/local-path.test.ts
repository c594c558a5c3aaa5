import { expect, test } from "vitest";
import {
  type Draft,
  events,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  storageClasses,
  type storagev1,
} from "#api";
import { type TestWorld, testWorld } from "../kit/world.fixture.ts";
import { persistentVolumeController } from "./binder.ts";
import { volumeExpandController } from "./expand.ts";
import { localPathController, localPathProvisioner } from "./local-path.ts";
import { claimProtectionController, volumeProtectionController } from "./protection.ts";

const controllers = [
  persistentVolumeController,
  localPathController,
  volumeExpandController,
  claimProtectionController,
  volumeProtectionController,
].map(({ name }) => name);

const selected = "volume.kubernetes.io/selected-node";
const at = { namespace: "default", name: "data" };

async function running(more: Draft<storagev1.StorageClass> | object = {}) {
  const world = testWorld();
  await world.create(storageClasses, {
    metadata: { name: "standard" },
    provisioner: localPathProvisioner,
    reclaimPolicy: "Delete",
    volumeBindingMode: "WaitForFirstConsumer",
    ...more,
  });
  await world.create(nodes, {
    metadata: {
      name: "n1",
      labels: { "kubernetes.io/hostname": "host-1" },
      annotations: { "simulator.knarr.dev/simulated": "true" },
    },
    status: { conditions: [{ type: "Ready", status: "True" }] },
  });
  await world.run(...controllers);
  const claim = (annotations: Record<string, string>, spec = {}) =>
    world.create(persistentVolumeClaims, {
      metadata: { ...at, annotations },
      spec: {
        accessModes: ["ReadWriteOnce"],
        storageClassName: "standard",
        resources: { requests: { storage: "1Gi" } },
        ...spec,
      },
    });
  return { world, claim, settle: () => world.clock.advance(30_000) };
}

const claimOf = (world: TestWorld) => world.client.get(persistentVolumeClaims, at);
const volumesOf = async (world: TestWorld) => (await world.client.list(persistentVolumes)).items;
const reasons = async (world: TestWorld) =>
  (await world.client.list(events, { namespace: "default" })).items.map(({ reason, message }) => [
    reason,
    message,
  ]);

test("a claim waits for its node, gets a volume there, and takes it along when it goes", async () => {
  const { world, claim, settle } = await running();
  await claim({});
  await settle();
  expect(await volumesOf(world)).toEqual([]);
  await world.client.patch(persistentVolumeClaims, at, "merge", {
    metadata: { annotations: { [selected]: "n1" } },
  });
  await settle();
  const bound = await claimOf(world);
  expect(bound.status?.phase).toBe("Bound");
  const [volume] = await volumesOf(world);
  expect(volume).toMatchObject({
    metadata: { name: `pvc-${bound.metadata.uid}` },
    spec: {
      capacity: { storage: "1Gi" },
      local: { path: `/var/lib/knarr/volumes/pvc-${bound.metadata.uid}` },
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [
            { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: ["host-1"] }] },
          ],
        },
      },
      persistentVolumeReclaimPolicy: "Delete",
    },
    status: { phase: "Bound" },
  });
  expect(await reasons(world)).toContainEqual([
    "ProvisioningSucceeded",
    `Successfully provisioned volume pvc-${bound.metadata.uid}`,
  ]);
  await world.client.delete(persistentVolumeClaims, at);
  await settle();
  expect(await volumesOf(world)).toEqual([]);
});

test("a volume that is to be retained stays", async () => {
  const { world, claim, settle } = await running({ reclaimPolicy: "Retain" });
  await claim({ [selected]: "n1" });
  await settle();
  await world.client.delete(persistentVolumeClaims, at);
  await settle();
  expect((await volumesOf(world)).map(({ status }) => status?.phase)).toEqual(["Released"]);
});

test("without a chosen node any ready one will do where the class says so", async () => {
  const { world, claim, settle } = await running({ volumeBindingMode: "Immediate" });
  await claim({});
  await settle();
  expect((await claimOf(world)).status?.phase).toBe("Bound");
});

test("a node that is gone is chosen anew", async () => {
  const { world, claim, settle } = await running();
  await claim({ [selected]: "gone" });
  await settle();
  expect((await claimOf(world)).metadata.annotations).not.toHaveProperty([selected]);
});

test.each([
  [{ volumeMode: "Block" }, "block volumes are not supported"],
  [{ selector: { matchLabels: { a: "b" } } }, "claim Selector is not supported"],
  [{ dataSource: { kind: "PersistentVolumeClaim", name: "other" } }, "a data source is not supported"],
])("%o is refused with a reason", async (spec, why) => {
  const { world, claim, settle } = await running();
  await claim({ [selected]: "n1" }, spec);
  await settle();
  const told = (await reasons(world)).find(([reason]) => reason === "ProvisioningFailed");
  expect(told?.[1]).toContain(`failed to provision volume with StorageClass "standard": ${why}`);
});

test("a claim that asks for more gets it: a folder has no size", async () => {
  const { world, claim, settle } = await running();
  await claim({ [selected]: "n1" });
  await settle();
  await world.client.patch(persistentVolumeClaims, at, "merge", {
    spec: { resources: { requests: { storage: "2Gi" } } },
  });
  await settle();
  expect((await claimOf(world)).status?.capacity).toEqual({ storage: "2Gi" });
  expect((await volumesOf(world))[0]?.spec.capacity).toEqual({ storage: "2Gi" });
});
