import { expect, test } from "vitest";
import { configMaps, deployments, nodes, pods, replicaSets } from "#api";
import { deploymentDraft, type TestWorld, testWorld } from "./kit/world.fixture.ts";

const web = { namespace: "default", name: "web" };

async function settle(world: TestWorld): Promise<void> {
  for (let i = 0; i < 10; i++) {
    await world.clock.advance(500);
    await world.finishDeletions();
  }
}

async function runningDeployment() {
  const world = testWorld();
  await world.create(deployments, deploymentDraft());
  const running = await world.run(
    "garbage-collector-controller",
    "deployment-controller",
    "replicaset-controller",
  );
  await world.clock.advance(500);
  await world.startPods();
  await world.clock.advance(500);
  expect(await world.podsOf()).toHaveLength(3);
  const left = async () => ({
    deployments: (await world.client.list(deployments, { namespace: "default" })).items.length,
    sets: (await world.client.list(replicaSets, { namespace: "default" })).items.length,
    pods: (await world.podsOf()).length,
  });
  return { world, running, left };
}

test("in the background, a deletion cascades to the last pod", async () => {
  const { world, running, left } = await runningDeployment();
  await world.client.delete(deployments, web, { propagationPolicy: "Background" });
  await settle(world);
  expect(await left()).toEqual({ deployments: 0, sets: 0, pods: 0 });
  await running.stop();
});

test("in the foreground, the owner goes last", async () => {
  const { world, running, left } = await runningDeployment();
  await world.client.delete(deployments, web, { propagationPolicy: "Foreground" });
  await world.clock.advance(2_000);
  expect(await left()).toEqual({ deployments: 1, sets: 1, pods: 3 });
  await settle(world);
  expect(await left()).toEqual({ deployments: 0, sets: 0, pods: 0 });
  await running.stop();
});

test("orphaned, the dependents stay and belong to nobody", async () => {
  const { world, running, left } = await runningDeployment();
  await world.client.delete(deployments, web, { propagationPolicy: "Orphan" });
  await settle(world);
  expect(await left()).toEqual({ deployments: 0, sets: 1, pods: 3 });
  const [set] = (await world.client.list(replicaSets, { namespace: "default" })).items;
  expect(set!.metadata.ownerReferences).toEqual([]);
  await running.stop();
});

test("an owner of the same name but another uid, or of another namespace, is no owner", async () => {
  const world = testWorld();
  const owner = await world.create(configMaps, { metadata: { namespace: "other", name: "owner" } });
  const reference = (uid: string) => ({ apiVersion: "v1", kind: "ConfigMap", name: "owner", uid });
  const make = (namespace: string, name: string, uid: string) =>
    world.create(configMaps, { metadata: { namespace, name, ownerReferences: [reference(uid)] } });
  await make("other", "kept", owner.metadata.uid);
  await make("other", "stale", "another-uid");
  await make("default", "crossing", owner.metadata.uid);
  const running = await world.run("garbage-collector-controller");
  await settle(world);
  const left = (await world.client.list(configMaps)).items.map((each) => each.metadata.name).sort();
  expect(left).toEqual(["kept", "owner"]);
  await running.stop();
});

test("an object with one living owner only loses the reference to the dead one", async () => {
  const world = testWorld();
  const owner = await world.create(nodes, { metadata: { name: "n" } });
  const ownerReferences = [
    { apiVersion: "v1", kind: "Node", name: "n", uid: owner.metadata.uid },
    { apiVersion: "v1", kind: "Node", name: "gone", uid: "gone" },
    { apiVersion: "example.com/v1", kind: "Unknown", name: "x", uid: "x" },
  ];
  const pod = await world.create(pods, { metadata: { namespace: "default", name: "p", ownerReferences } });
  const running = await world.run("garbage-collector-controller");
  await settle(world);
  const kept = await world.client.get(pods, pod.metadata);
  expect(kept.metadata.ownerReferences?.map((each) => each.name)).toEqual(["n", "x"]);
  await running.stop();
});
