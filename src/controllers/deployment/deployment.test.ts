import fc from "fast-check";
import { expect, test } from "vitest";
import { type appsv1, deployments, events, pods, replicaSets } from "#api";
import { deepFreeze } from "#client";
import { deploymentDraft, type TestWorld, testWorld } from "../kit/world.fixture.ts";
import { decideDeployment } from "./decide.ts";
import type { ReplicaSet } from "./replica-sets.ts";

const ref = { namespace: "default", name: "web" };
const names = ["deployment-controller", "replicaset-controller"];

/** Lets the rollout go on until nothing moves: pods start and end as on a node. */
async function settle(world: TestWorld, watch?: () => Promise<void>): Promise<void> {
  for (let i = 0; i < 30; i++) {
    await world.clock.advance(100);
    await watch?.();
    await world.startPods();
    await world.finishDeletions();
  }
}

async function setsOf(world: TestWorld): Promise<appsv1.ReplicaSet[]> {
  const { items } = await world.client.list(replicaSets, { namespace: "default" });
  return items.sort((a, b) => Number(a.metadata.resourceVersion) - Number(b.metadata.resourceVersion));
}

const setImage = (image: string) => ({
  spec: {
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image, ports: [{ name: "http", containerPort: 8080 }] }] },
    },
  },
});

test("creates a ReplicaSet, tells of it, and becomes complete", async () => {
  const world = testWorld();
  await world.create(deployments, deploymentDraft());
  const running = await world.run(...names);
  await settle(world);
  const deployment = await world.client.get(deployments, ref);
  const [set] = await setsOf(world);
  expect(deployment.metadata.annotations?.["deployment.kubernetes.io/revision"]).toBe("1");
  expect(deployment.status).toMatchObject({
    replicas: 3,
    updatedReplicas: 3,
    readyReplicas: 3,
    availableReplicas: 3,
    unavailableReplicas: 0,
    observedGeneration: 1,
  });
  expect(deployment.status.conditions).toEqual([
    expect.objectContaining({ type: "Available", status: "True", reason: "MinimumReplicasAvailable" }),
    expect.objectContaining({
      type: "Progressing",
      status: "True",
      reason: "NewReplicaSetAvailable",
      message: `ReplicaSet "${set!.metadata.name}" has successfully progressed.`,
    }),
  ]);
  expect(set!.metadata.name).toMatch(/^web-[bcdfghjklmnpqrstvwxz2456789]+$/);
  expect(set!.metadata.annotations).toMatchObject({
    "deployment.kubernetes.io/desired-replicas": "3",
    "deployment.kubernetes.io/max-replicas": "4",
  });
  await running.stop();
  const told = (await world.client.list(events, { namespace: "default" })).items.map(
    (event) => event.message,
  );
  expect(told).toContain(`Scaled up replica set ${set!.metadata.name} from 0 to 3`);
  expect(told.filter((message) => message?.startsWith("Created pod: "))).toHaveLength(3);
});

test("a rolling update never leaves its bounds, and a rollback takes the old set again", async () => {
  const world = testWorld();
  await world.create(deployments, deploymentDraft({ replicas: 5 }));
  const running = await world.run(...names);
  await settle(world);
  const watch = async () => {
    const all = (await world.podsOf()).filter((pod) => !pod.metadata.deletionTimestamp);
    const ready = all.filter((pod) =>
      pod.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True"),
    );
    expect(all.length).toBeLessThanOrEqual(7);
    expect(ready.length).toBeGreaterThanOrEqual(4);
  };
  await world.client.patch(deployments, ref, "merge", setImage("web:2"));
  await settle(world, watch);
  const images = async () => new Set((await world.podsOf()).map((pod) => pod.spec.containers[0]!.image));
  expect(await images()).toEqual(new Set(["web:2"]));
  await world.client.patch(deployments, ref, "merge", setImage("web:1"));
  await settle(world, watch);
  expect(await images()).toEqual(new Set(["web:1"]));
  const sets = await setsOf(world);
  const first = sets.find((set) => set.spec.replicas === 5);
  expect(sets).toHaveLength(2);
  expect(first?.metadata.annotations).toMatchObject({
    "deployment.kubernetes.io/revision": "3",
    "deployment.kubernetes.io/revision-history": "1",
  });
  await running.stop();
});

test("Recreate waits for every old pod to end", async () => {
  const world = testWorld();
  await world.create(deployments, deploymentDraft({ strategy: { type: "Recreate" } }));
  const running = await world.run(...names);
  await settle(world);
  await world.client.patch(deployments, ref, "merge", setImage("web:2"));
  await settle(world, async () => {
    const images = new Set((await world.podsOf()).map((pod) => pod.spec.containers[0]!.image));
    expect(images.size).toBeLessThanOrEqual(1);
  });
  expect((await world.podsOf()).map((pod) => pod.spec.containers[0]!.image)).toEqual([
    "web:2",
    "web:2",
    "web:2",
  ]);
  await running.stop();
});

test("paused: no rollout, but scaling; resumed: the rollout goes on", async () => {
  const world = testWorld();
  await world.create(deployments, deploymentDraft());
  const running = await world.run(...names);
  await settle(world);
  await world.client.patch(deployments, ref, "merge", { spec: { paused: true } });
  await world.client.patch(deployments, ref, "merge", setImage("web:2"));
  await world.client.patch(deployments, ref, "merge", { spec: { replicas: 4 } });
  await settle(world);
  expect(await setsOf(world)).toHaveLength(1);
  expect(await world.podsOf()).toHaveLength(4);
  const paused = await world.client.get(deployments, ref);
  expect(paused.status.conditions).toContainEqual(expect.objectContaining({ reason: "DeploymentPaused" }));
  await world.client.patch(deployments, ref, "merge", { spec: { paused: false } });
  await settle(world);
  expect(await setsOf(world)).toHaveLength(2);
  expect((await world.podsOf()).every((pod) => pod.spec.containers[0]!.image === "web:2")).toBe(true);
  await running.stop();
});

test("a rollout that does not move is called stuck after its deadline", async () => {
  const world = testWorld();
  await world.create(deployments, deploymentDraft({ progressDeadlineSeconds: 60 }));
  const running = await world.run(...names);
  await world.clock.advance(70_000);
  const { status } = await world.client.get(deployments, ref);
  expect(status.conditions).toContainEqual(
    expect.objectContaining({ type: "Progressing", status: "False", reason: "ProgressDeadlineExceeded" }),
  );
  await running.stop();
});

test("old sets beyond the history limit go", async () => {
  const world = testWorld();
  await world.create(deployments, deploymentDraft({ revisionHistoryLimit: 1 }));
  const running = await world.run(...names);
  for (const image of ["web:2", "web:3", "web:4"]) {
    await settle(world);
    await world.client.patch(deployments, ref, "merge", setImage(image));
  }
  await settle(world);
  expect(await setsOf(world)).toHaveLength(2);
  await running.stop();
});

/** A set of one size, some of whose pods serve. */
function setOf(name: string, image: string, replicas: number, available: number): ReplicaSet {
  const labels = { app: "web", "pod-template-hash": name };
  const { template } = setImage(image).spec;
  return deepFreeze({
    apiVersion: "apps/v1",
    kind: "ReplicaSet",
    metadata: {
      namespace: "default",
      name: `web-${name}`,
      uid: name,
      creationTimestamp: "2026-01-01T00:00:00Z",
      resourceVersion: "1",
      labels,
      annotations: { "deployment.kubernetes.io/desired-replicas": "0" },
    },
    spec: { replicas, selector: {}, template: { ...template, metadata: { labels } } },
    status: { replicas, availableReplicas: available, readyReplicas: available, observedGeneration: 1 },
  }) as unknown as ReplicaSet;
}

test("whatever state a rollout is found in, one step keeps the bounds, and steps come to an end", () => {
  const size = fc.integer({ min: 0, max: 12 });
  const bound = fc.oneof(
    fc.integer({ min: 0, max: 4 }),
    fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`),
  );
  fc.assert(
    fc.property(size, bound, bound, fc.array(size, { maxLength: 3 }), size, fc.nat(100), (...input) => {
      const [replicas, maxSurge, maxUnavailable, oldSizes, newSize, servingPercent] = input;
      const draft = deploymentDraft({
        replicas,
        strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge, maxUnavailable } },
        ...setImage("web:new").spec,
      }) as appsv1.Deployment;
      const surge =
        typeof maxSurge === "number" ? maxSurge : Math.ceil((Number.parseInt(maxSurge, 10) * replicas) / 100);
      const off =
        typeof maxUnavailable === "number"
          ? maxUnavailable
          : Math.floor((Number.parseInt(maxUnavailable, 10) * replicas) / 100);
      const allowedOff = Math.min(replicas, surge === 0 && off === 0 ? 1 : off);
      const serving = (n: number) => Math.floor((n * servingPercent) / 100);
      const annotate = (set: ReplicaSet): ReplicaSet => ({
        ...set,
        metadata: {
          ...set.metadata,
          annotations: { "deployment.kubernetes.io/desired-replicas": String(replicas) },
        },
      });
      let sets = [
        ...oldSizes.map((n, i) => annotate(setOf(`old${i}`, `web:${i}`, n, serving(n)))),
        annotate(setOf("new", "web:new", Math.min(newSize, replicas), 0)),
      ];
      const total = (list: readonly ReplicaSet[]) =>
        list.reduce((sum, set) => sum + (set.spec.replicas ?? 0), 0);
      const available = () => sets.reduce((sum, set) => sum + (set.status.availableReplicas ?? 0), 0);
      for (let step = 0; step < 100; step++) {
        const state = {
          deployment: deepFreeze(draft),
          sets: { claimed: sets, adopt: [], release: [] },
          running: new Set<string>(),
        };
        const plan = decideDeployment(state, 0);
        const resized = plan.update.filter(({ from, to }) => from.spec.replicas !== to.spec.replicas);
        if (resized.length === 0 && available() === total(sets)) {
          expect(sets.find((set) => set.metadata.uid === "new")?.spec.replicas).toBe(replicas);
          expect(total(sets)).toBe(replicas);
          return;
        }
        const next = sets.map((set) => plan.update.find((each) => each.from === set)?.to ?? set);
        const grew = total(next) > total(sets);
        if (grew) expect(total(next)).toBeLessThanOrEqual(replicas + surge);
        // The worst case: of a set that shrinks, the serving pods go last, as the ReplicaSet controller chooses.
        const left = next.map((set) => Math.min(set.status.availableReplicas ?? 0, set.spec.replicas ?? 0));
        const stillThere = left.reduce((sum, n) => sum + n, 0);
        expect(stillThere).toBeGreaterThanOrEqual(Math.min(available(), replicas - allowedOff));
        // Then every pod that is left becomes available.
        sets = next.map((set) => ({
          ...set,
          status: {
            ...set.status,
            replicas: set.spec.replicas ?? 0,
            availableReplicas: set.spec.replicas ?? 0,
          },
        }));
      }
      throw new Error("the rollout does not come to an end");
    }),
    { numRuns: 300 },
  );
});

test("a name that another object has taken counts as a collision", async () => {
  const world = testWorld();
  const running = await world.run("deployment-controller");
  const created = await world.create(deployments, deploymentDraft());
  await world.clock.advance(100);
  const [set] = await setsOf(world);
  await running.stop();
  await world.client.delete(deployments, ref);
  await world.client.delete(replicaSets, set!.metadata);
  await world.create(replicaSets, {
    metadata: { namespace: "default", name: set!.metadata.name, labels: { app: "other" } },
    spec: { selector: { matchLabels: { app: "other" } } },
  });
  const again = await world.run("deployment-controller");
  await world.create(deployments, deploymentDraft());
  await world.clock.advance(1_000);
  expect((await world.client.get(deployments, ref)).status.collisionCount).toBe(1);
  expect(await setsOf(world)).toHaveLength(2);
  expect(created.metadata.name).toBe("web");
  await again.stop();
});

test("a ReplicaSet adopts what matches, lets go of what does not, and replaces it", async () => {
  const world = testWorld();
  const orphan = await world.create(pods, {
    metadata: { namespace: "default", name: "stray", labels: { app: "web" } },
    spec: { containers: [{ name: "c", image: "web:1" }] },
  });
  await world.create(replicaSets, {
    metadata: { namespace: "default", name: "rs" },
    spec: {
      replicas: 2,
      selector: { matchLabels: { app: "web" } },
      template: setImage("web:1").spec.template,
    },
  });
  const running = await world.run("replicaset-controller");
  await world.clock.advance(100);
  expect(await world.podsOf()).toHaveLength(2);
  const adopted = await world.client.get(pods, orphan.metadata);
  expect(adopted.metadata.ownerReferences).toMatchObject([
    { kind: "ReplicaSet", name: "rs", controller: true },
  ]);
  await world.client.patch(pods, orphan.metadata, "merge", { metadata: { labels: { app: "else" } } });
  await world.clock.advance(100);
  const released = await world.client.get(pods, orphan.metadata);
  expect(released.metadata.ownerReferences).toEqual([]);
  expect(await world.podsOf()).toHaveLength(3);
  await running.stop();
});
