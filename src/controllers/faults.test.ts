/** Whatever goes wrong on the way, everything comes to what it should be: seeded faults, then the truth. */
import { expect, test } from "vitest";
import { deployments, endpointSlices, jobs, pods, replicaSets } from "#api";
import { type Random, seededRandom } from "#base";
import { jobDraft, populate, type TestWorld, testWorld } from "./kit/world.fixture.ts";
import { controllers } from "./registry.ts";

const web = { namespace: "default", name: "web" };
/** The service account controller and others that play no part here would only make it slower. */
const names = controllers.map((each) => each.name).filter((name) => name !== "node-controller");

function withFaults(world: TestWorld, random: Random): void {
  world.api.fault = () => (random.float() < 0.1 ? new Error("connection refused") : undefined);
  world.api.losesAnswer = ({ path }) => !path.includes("watch=true") && random.float() < 0.05;
}

/** What people and nodes do meanwhile. Their own requests always go through. */
async function disturb(world: TestWorld, random: Random, version: number): Promise<void> {
  world.api.fault = undefined;
  world.api.losesAnswer = undefined;
  if (random.float() < 0.3) world.api.dropWatches();
  if (random.float() < 0.1) world.api.compact();
  await world.startPods();
  await world.finishDeletions();
  const all = await world.podsOf();
  const victim = all[random.int(Math.max(1, all.length))];
  if (victim && random.float() < 0.2) await world.client.delete(pods, victim.metadata);
  if (random.float() < 0.2) {
    const container = { name: "c", image: `web:${version}`, ports: [{ name: "http", containerPort: 8080 }] };
    const template = { metadata: { labels: { app: "web" } }, spec: { containers: [container] } };
    await world.client.patch(deployments, web, "merge", { spec: { template, replicas: 1 + random.int(6) } });
  }
  withFaults(world, random);
}

async function finishJobs(world: TestWorld): Promise<void> {
  for (const pod of await world.podsOf()) {
    if (
      pod.metadata.labels?.job !== "once" ||
      pod.status?.phase !== "Running" ||
      pod.metadata.deletionTimestamp
    )
      continue;
    const finishedAt = new Date(world.clock.now()).toISOString();
    const containerStatuses = [{ name: "c", state: { terminated: { exitCode: 0, finishedAt } } }];
    const status = { phase: "Succeeded", containerStatuses };
    await world.client.patch(pods, pod.metadata, "merge", { status }, { subresource: "status" });
  }
}

for (const seed of [1, 2, 3, 4, 5]) {
  test(`faults with seed ${seed}: in the end every object is as it should be`, async () => {
    const world = testWorld();
    const random = seededRandom(seed);
    await populate(world);
    await world.client.delete(jobs, { namespace: "default", name: "once" });
    await world.create(jobs, jobDraft({ completions: 5, parallelism: 2, backoffLimit: 100 }));
    let running = await world.run(...names);
    for (let step = 0; step < 60; step++) {
      await disturb(world, random, step);
      if (random.float() < 0.05) {
        await running.stop();
        running = await world.run(...names);
      }
      await world.clock.advance(500);
    }
    world.api.fault = undefined;
    world.api.losesAnswer = undefined;
    for (let step = 0; step < 60; step++) {
      await world.clock.advance(20_000);
      await world.startPods();
      await finishJobs(world);
      await world.finishDeletions();
    }
    const deployment = await world.client.get(deployments, web);
    const wanted = deployment.spec.replicas;
    expect(deployment.status).toMatchObject({
      replicas: wanted,
      updatedReplicas: wanted,
      availableReplicas: wanted,
    });
    const sets = (await world.client.list(replicaSets, { namespace: "default" })).items;
    expect(sets.reduce((sum, set) => sum + (set.spec.replicas ?? 0), 0)).toBe(wanted);
    const serving = (await world.podsOf()).filter((pod) => pod.metadata.labels?.app === "web");
    const { image } = deployment.spec.template.spec!.containers[0]!;
    expect(serving.map((pod) => pod.spec.containers[0]!.image)).toEqual(
      Array.from({ length: wanted ?? 0 }, () => image),
    );
    const { items: slices } = await world.client.list(endpointSlices, { namespace: "default" });
    expect(slices.flatMap((slice) => (slice.endpoints ?? []).map((e) => e.targetRef?.name)).sort()).toEqual(
      serving.map((pod) => pod.metadata.name).sort(),
    );
    const job = await world.client.get(jobs, { namespace: "default", name: "once" });
    expect(job.status.conditions).toContainEqual(
      expect.objectContaining({ type: "Complete", status: "True" }),
    );
    expect(job.status.succeeded).toBe(5);
    await running.stop();
    expect(world.api.watches).toBe(0);
  });
}
