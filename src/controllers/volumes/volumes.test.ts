import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type corev1,
  type Draft,
  events,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  storageClasses,
  volumeAttributesClasses,
} from "#api";
import { type TestWorld, testWorld } from "../kit/world.fixture.ts";
import { persistentVolumeController } from "./binder.ts";
import { ephemeralVolumeController } from "./ephemeral.ts";
import { bestMatch, type Claim, type Volume } from "./matching.ts";
import {
  attributesClassProtectionController,
  claimProtectionController,
  volumeProtectionController,
} from "./protection.ts";

const controllers = [
  persistentVolumeController,
  ephemeralVolumeController,
  claimProtectionController,
  volumeProtectionController,
].map(({ name }) => name);

const claimSpec = (storage: string, more: Draft<corev1.PersistentVolumeClaimSpec> = {}) => ({
  accessModes: ["ReadWriteOnce" as const],
  storageClassName: "",
  resources: { requests: { storage } },
  ...more,
});
const volumeSpec = (storage: string, more: Draft<corev1.PersistentVolumeSpec> = {}) => ({
  accessModes: ["ReadWriteOnce" as const],
  capacity: { storage },
  hostPath: { path: "/data" },
  persistentVolumeReclaimPolicy: "Retain" as const,
  ...more,
});

async function running() {
  const world = testWorld();
  const controller = await world.run(...controllers);
  const settle = () => world.clock.advance(2_000);
  return { world, settle, controller };
}

async function createClaim(world: TestWorld, name: string, spec = claimSpec("1Gi")) {
  return world.create(persistentVolumeClaims, { metadata: { namespace: "default", name }, spec });
}

const createVolume = (world: TestWorld, name: string, spec = volumeSpec("1Gi")) =>
  world.create(persistentVolumes, { metadata: { name }, spec });
const claimOf = (world: TestWorld, name: string) =>
  world.client.get(persistentVolumeClaims, { namespace: "default", name });
const volumeOf = (world: TestWorld, name: string) => world.client.get(persistentVolumes, { name });
const told = async (world: TestWorld) =>
  (await world.client.list(events, { namespace: "default" })).items.map(({ reason, message }) => [
    reason,
    message,
  ]);

test("a claim gets the smallest volume that is large enough, and both say so", async () => {
  const { world, settle, controller } = await running();
  for (const size of ["500Mi", "10Gi", "2Gi"])
    await createVolume(world, `v-${size.toLowerCase()}`, volumeSpec(size));
  await createClaim(world, "data");
  await settle();
  const claim = await claimOf(world, "data");
  expect(claim.spec.volumeName).toBe("v-2gi");
  expect(claim.status).toMatchObject({
    phase: "Bound",
    capacity: { storage: "2Gi" },
    accessModes: ["ReadWriteOnce"],
  });
  expect(claim.metadata.annotations).toEqual({
    "pv.kubernetes.io/bind-completed": "yes",
    "pv.kubernetes.io/bound-by-controller": "yes",
  });
  expect(claim.metadata.finalizers).toEqual(["kubernetes.io/pvc-protection"]);
  const volume = await volumeOf(world, "v-2gi");
  expect(volume.status?.phase).toBe("Bound");
  expect(volume.spec.claimRef).toMatchObject({ namespace: "default", name: "data", uid: claim.metadata.uid });
  expect((await volumeOf(world, "v-10gi")).status?.phase).toBe("Available");
  await controller.stop();
});

test("an attributes class stays while a claim or a volume names it", async () => {
  const world = testWorld();
  const controller = await world.run(attributesClassProtectionController.name);
  const settle = () => world.clock.advance(1_000);
  const gold = { name: "gold" };
  await world.create(volumeAttributesClasses, { metadata: gold, driverName: "x.io" });
  await createClaim(world, "data", claimSpec("1Gi", { volumeAttributesClassName: "gold" }));
  await settle();
  await world.client.delete(volumeAttributesClasses, gold);
  await settle();
  expect((await world.client.get(volumeAttributesClasses, gold)).metadata).toMatchObject({
    deletionTimestamp: expect.any(String),
    finalizers: ["kubernetes.io/vac-protection"],
  });
  const ref = { namespace: "default", name: "data" };
  await world.client.patch(persistentVolumeClaims, ref, "merge", {
    spec: { volumeAttributesClassName: null },
  });
  await settle();
  expect((await world.client.list(volumeAttributesClasses)).items).toEqual([]);
  await controller.stop();
});

test("a claim without a volume waits, is told why, and is bound when one comes", async () => {
  const { world, settle, controller } = await running();
  await createClaim(world, "data");
  await createClaim(world, "classed", claimSpec("1Gi", { storageClassName: "fast" }));
  await settle();
  expect((await claimOf(world, "data")).status?.phase).toBe("Pending");
  expect(await told(world)).toEqual(
    expect.arrayContaining([
      ["FailedBinding", "no persistent volumes available for this claim and no storage class is set"],
      ["ProvisioningFailed", 'storageclass.storage.k8s.io "fast" not found'],
    ]),
  );
  await createVolume(world, "v");
  await world.create(storageClasses, { metadata: { name: "fast" }, provisioner: "example.com/disk" });
  await settle();
  expect((await claimOf(world, "data")).status?.phase).toBe("Bound");
  expect((await claimOf(world, "classed")).metadata.annotations).toMatchObject({
    "volume.kubernetes.io/storage-provisioner": "example.com/disk",
  });
  await controller.stop();
});

test("two claims never share a volume, and a named volume must fit", async () => {
  const { world, settle, controller } = await running();
  await createVolume(world, "v");
  await createVolume(world, "small", volumeSpec("1Mi"));
  await Promise.all(["a", "b", "c"].map((name) => createClaim(world, name)));
  await createClaim(world, "picky", claimSpec("1Gi", { volumeName: "small" }));
  await settle();
  const all = (await world.client.list(persistentVolumeClaims, { namespace: "default" })).items;
  expect(all.filter(({ status }) => status?.phase === "Bound")).toHaveLength(1);
  expect(await told(world)).toContainEqual([
    "VolumeMismatch",
    'Cannot bind to requested volume "small": requested PV is too small',
  ]);
  await controller.stop();
});

test("a released volume stays, and a claim whose volume goes is lost", async () => {
  const { world, settle, controller } = await running();
  await createVolume(world, "v");
  await createClaim(world, "data");
  await settle();
  await world.client.delete(persistentVolumeClaims, { namespace: "default", name: "data" });
  await settle();
  expect((await volumeOf(world, "v")).status?.phase).toBe("Released");
  await createClaim(world, "data");
  await settle();
  expect((await claimOf(world, "data")).status?.phase).toBe("Pending");
  await createVolume(world, "w");
  await settle();
  expect((await claimOf(world, "data")).spec.volumeName).toBe("w");
  await world.client.delete(persistentVolumes, { name: "w" });
  await settle();
  expect((await volumeOf(world, "w")).metadata.deletionTimestamp).toBeDefined();
  await world.client.patch(persistentVolumes, { name: "w" }, "merge", { metadata: { finalizers: [] } });
  await settle();
  expect((await claimOf(world, "data")).status?.phase).toBe("Lost");
  await controller.stop();
});

test("a late class waits for a pod; a claim in use does not go", async () => {
  const { world, settle, controller } = await running();
  await world.create(storageClasses, {
    metadata: { name: "late" },
    provisioner: "kubernetes.io/no-provisioner",
    volumeBindingMode: "WaitForFirstConsumer",
  });
  await createVolume(world, "v", volumeSpec("1Gi", { storageClassName: "late" }));
  const claim = await createClaim(world, "data", claimSpec("1Gi", { storageClassName: "late" }));
  await settle();
  expect(await told(world)).toContainEqual([
    "WaitForFirstConsumer",
    "waiting for first consumer to be created before binding",
  ]);
  const volumes = [{ name: "data", persistentVolumeClaim: { claimName: "data" } }];
  const pod = { metadata: { namespace: "default", name: "user" }, spec: { volumes, containers: [] } };
  await world.create(pods, pod);
  await settle();
  expect(await told(world)).toContainEqual(["WaitForPodScheduled", "waiting for pod user to be scheduled"]);
  // What the scheduler does.
  const { uid } = claim.metadata;
  const claimRef = { kind: "PersistentVolumeClaim", namespace: "default", name: "data", uid };
  await world.client.patch(persistentVolumes, { name: "v" }, "merge", { spec: { claimRef } });
  await world.startPods();
  await settle();
  expect((await claimOf(world, "data")).status?.phase).toBe("Bound");
  await world.client.delete(persistentVolumeClaims, { namespace: "default", name: "data" });
  await settle();
  expect((await claimOf(world, "data")).metadata.deletionTimestamp).toBeDefined();
  await world.client.delete(pods, { namespace: "default", name: "user" }, { gracePeriodSeconds: 0 });
  await settle();
  await expect(claimOf(world, "data")).rejects.toThrow("not found");
  await controller.stop();
});

test("an ephemeral volume gets a claim of the pod's own, and no other", async () => {
  const { world, settle, controller } = await running();
  const volumeClaimTemplate = { metadata: { labels: { a: "b" } }, spec: claimSpec("1Gi") };
  const volumes = [{ name: "scratch", ephemeral: { volumeClaimTemplate } }];
  await createClaim(world, "late-scratch");
  for (const name of ["early", "late"])
    await world.create(pods, { metadata: { namespace: "default", name }, spec: { volumes, containers: [] } });
  await settle();
  const claim = await claimOf(world, "early-scratch");
  expect(claim.metadata.labels).toEqual({ a: "b" });
  expect(claim.metadata.ownerReferences).toMatchObject([{ kind: "Pod", name: "early", controller: true }]);
  expect(await told(world)).toContainEqual([
    "FailedBinding",
    "ephemeral volume scratch: PVC default/late-scratch was not created for pod default/late (pod is not owner)",
  ]);
  await controller.stop();
});

test("a class that becomes the default is given to claims that wait without one", async () => {
  const { world, settle, controller } = await running();
  const { storageClassName: _none, ...spec } = claimSpec("1Gi");
  await world.create(persistentVolumeClaims, { metadata: { namespace: "default", name: "data" }, spec });
  await settle();
  const annotations = { "storageclass.kubernetes.io/is-default-class": "true" };
  await world.create(storageClasses, {
    metadata: { name: "std", annotations },
    provisioner: "example.com/disk",
  });
  await settle();
  expect((await claimOf(world, "data")).spec.storageClassName).toBe("std");
  await controller.stop();
});

test("property: what is chosen fits, is free, and nothing smaller would do", () => {
  const size = fc.integer({ min: 1, max: 20 });
  const phase = fc.constantFrom("Available", "Bound", "Released");
  const volume = fc.record({ size, phase, storageClassName: fc.constantFrom("", "fast") });
  fc.assert(
    fc.property(fc.array(volume, { maxLength: 12 }), size, (all, wanted) => {
      const volumes = all.map(({ size: gi, phase: status, storageClassName }, i) => ({
        metadata: { name: `v${i}` },
        spec: volumeSpec(`${gi}Gi`, { storageClassName }),
        status: { phase: status },
      })) as unknown as Volume[];
      const claim = {
        metadata: { name: "c", namespace: "d" },
        spec: claimSpec(`${wanted}Gi`),
      } as unknown as Claim;
      const sizes = all
        .filter((v) => v.phase === "Available" && v.storageClassName === "" && v.size >= wanted)
        .map((v) => v.size);
      const chosen = bestMatch(volumes, claim, false);
      expect(chosen?.spec.capacity?.storage).toBe(sizes.length > 0 ? `${Math.min(...sizes)}Gi` : undefined);
      expect(bestMatch(volumes, claim, true)).toBeUndefined();
    }),
  );
});
