import { expect, test } from "vitest";
import { type appsv1, persistentVolumeClaims, statefulSets } from "#api";
import { garbageCollector } from "../garbage-collector.ts";
import { statefulSetDraft, testWorld } from "../kit/world.fixture.ts";

const storage = { accessModes: ["ReadWriteOnce" as const], resources: { requests: { storage: "1Gi" } } };
const policyOf = (whenDeleted: "Retain" | "Delete", whenScaled: "Retain" | "Delete") => ({
  persistentVolumeClaimRetentionPolicy: { whenDeleted, whenScaled },
});

async function worldWith(spec: Partial<appsv1.StatefulSetSpec>) {
  const world = testWorld();
  const labels = { tier: "data" };
  const volumeClaimTemplates = [{ metadata: { name: "data", labels }, spec: storage }];
  await world.create(statefulSets, statefulSetDraft({ replicas: 2, volumeClaimTemplates, ...spec }));
  const running = await world.run("statefulset-controller", garbageCollector.name);
  const settle = async () => {
    for (let i = 0; i < 6; i++) {
      await world.clock.advance(1_000);
      await world.startPods();
      await world.finishDeletions();
    }
    await world.clock.advance(60_000);
  };
  const claims = async () =>
    (await world.client.list(persistentVolumeClaims, { namespace: "default" })).items;
  const owners = async () =>
    Object.fromEntries(
      (await claims()).map(({ metadata }) => [
        metadata.name,
        metadata.ownerReferences?.map((o) => `${o.kind}/${o.name}`),
      ]),
    );
  const scale = (replicas: number) =>
    world.client.patch(statefulSets, { namespace: "default", name: "db" }, "merge", { spec: { replicas } });
  return { world, running, settle, claims, owners, scale };
}

test("each pod gets a claim of each template, and its volume names it", async () => {
  const { world, running, settle, claims } = await worldWith({});
  await settle();
  expect((await claims()).map(({ metadata, spec }) => [metadata.name, metadata.labels, spec])).toEqual([
    ["data-db-0", { app: "db", tier: "data" }, storage],
    ["data-db-1", { app: "db", tier: "data" }, storage],
  ]);
  const volumes = (await world.podsOf()).map(({ spec }) => spec.volumes);
  expect(volumes).toEqual([
    [{ name: "data", persistentVolumeClaim: { claimName: "data-db-0" } }],
    [{ name: "data", persistentVolumeClaim: { claimName: "data-db-1" } }],
  ]);
  await running.stop();
});

test("Retain: claims outlive pods and set, and belong to nobody", async () => {
  const { running, settle, owners, scale } = await worldWith(policyOf("Retain", "Retain"));
  await settle();
  await scale(1);
  await settle();
  expect(await owners()).toEqual({ "data-db-0": undefined, "data-db-1": undefined });
  await running.stop();
});

test("whenScaled Delete: the claim of a pod that is one too many goes with it, and a new one comes", async () => {
  const { world, running, settle, owners, scale } = await worldWith(policyOf("Retain", "Delete"));
  await settle();
  await scale(1);
  await settle();
  expect(await owners()).toEqual({ "data-db-0": undefined });
  await scale(2);
  await settle();
  expect(Object.keys(await owners())).toEqual(["data-db-0", "data-db-1"]);
  expect((await world.podsOf()).map(({ metadata }) => metadata.name)).toEqual(["db-0", "db-1"]);
  await running.stop();
});

test("whenDeleted Delete: the set owns the claims, again after the policy changes", async () => {
  const { world, running, settle, owners } = await worldWith(policyOf("Delete", "Retain"));
  await settle();
  const owned = { "data-db-0": ["StatefulSet/db"], "data-db-1": ["StatefulSet/db"] };
  expect(await owners()).toEqual(owned);
  const change = (whenDeleted: string) =>
    world.client.patch(statefulSets, { namespace: "default", name: "db" }, "merge", {
      spec: { persistentVolumeClaimRetentionPolicy: { whenDeleted } },
    });
  await change("Retain");
  await settle();
  expect(
    Object.values(await owners())
      .flat()
      .filter(Boolean),
  ).toEqual([]);
  await change("Delete");
  await settle();
  expect(await owners()).toEqual(owned);
  await running.stop();
});

test("a claim that is being deleted holds its pod up", async () => {
  const { world, running, settle } = await worldWith({ replicas: 0 });
  await world.create(persistentVolumeClaims, {
    metadata: { namespace: "default", name: "data-db-0", finalizers: ["example.com/hold"] },
    spec: storage,
  });
  await world.client.delete(persistentVolumeClaims, { namespace: "default", name: "data-db-0" });
  await world.client.patch(statefulSets, { namespace: "default", name: "db" }, "merge", {
    spec: { replicas: 1 },
  });
  await settle();
  expect(await world.podsOf()).toEqual([]);
  await running.stop();
});
