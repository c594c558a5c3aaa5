/** The kinds of workloads as objects of the API: their lives, statuses and collections. */
import { expect } from "vitest";
import {
  type batchv1,
  controllerRevisions,
  cronJobs,
  type Draft,
  daemonSets,
  deployments,
  jobs,
  type KubernetesObject,
  type ResourceType,
  replicaSets,
  replicationControllers,
  statefulSets,
} from "#api";
import { eventually } from "../../eventually.ts";
import type { Resource } from "../kube.ts";
import { livesThroughEveryVerb, statusIsItsOwn } from "../life-cycle.ts";
import { podTemplate } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

const labels = { app: "life" };
const selector = { matchLabels: labels };

const workload = (image: string, replicas: number) => ({
  spec: { replicas, selector, template: podTemplate(image, labels) },
});

function job(image: string, more: Draft<batchv1.JobSpec> = {}): Draft<batchv1.JobSpec> {
  const template = podTemplate(image, labels);
  template.spec!.restartPolicy = "Never";
  return { template, ...more };
}

conformance(
  "apps-1e664a",
  "CronJobs support every operation of the API",
  async ({ kube, namespace, image }) => {
    const make = () => ({
      spec: {
        schedule: "* 0 31 2 *",
        concurrencyPolicy: "Allow" as const,
        jobTemplate: { spec: job(image) },
      },
    });
    await livesThroughEveryVerb(kube, { type: cronJobs, namespace, make, subresources: ["cronjobs/status"] });
    const all = kube.resource(cronJobs, namespace);
    await all.create({ metadata: { name: "status" }, ...make() });
    await statusIsItsOwn(all, "status", { lastScheduleTime: "2026-01-01T00:00:00Z" }, (status) => {
      status.lastScheduleTime = "2026-01-02T00:00:00Z";
    });
  },
);

conformance(
  "apps-326f4b",
  "A suspended Job is patched, replaced, listed and deleted",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(jobs, namespace);
    const name = "suspended";
    await all.create({
      metadata: { name, labels: { "e2e-job": namespace } },
      spec: job(image, { suspend: true, parallelism: 2, completions: 4, backoffLimit: 6 }),
    });
    const patched = await all.patch(name, "strategic", { metadata: { labels: { patched: "true" } } });
    expect(patched.metadata.labels).toMatchObject({ "e2e-job": namespace, patched: "true" });
    const updated = await all.update(name, ({ metadata }) => {
      metadata.annotations = { ...metadata.annotations, updated: "true" };
    });
    expect(updated.metadata.annotations?.updated).toBe("true");
    const labelSelector = `e2e-job=${namespace}`;
    expect((await kube.resource(jobs).list({ labelSelector })).items).toHaveLength(1);
    await all.deleteCollection({ labelSelector }, { propagationPolicy: "Background" });
    await all.untilGone(name);
  },
);

const condition = (type: string) => ({
  type,
  status: "True",
  reason: "E2E",
  message: "Set from e2e test",
  lastTransitionTime: "2026-01-01T00:00:00Z",
});

/** One condition is added by a patch, another one by a replacement; reading shows them. */
async function showsConditions<
  T extends KubernetesObject & { status?: { conditions?: readonly { type: string }[] } },
>(all: Resource<T>, name: string): Promise<void> {
  using watched = await all.watch({ fieldSelector: `metadata.name=${name}` });
  await statusIsItsOwn(all, name, { conditions: [condition("StatusPatched")] }, (status) => {
    status.conditions = [condition("StatusUpdate")];
  });
  for (const type of ["StatusPatched", "StatusUpdate"])
    await watched.next(
      "MODIFIED",
      ({ status }) => status?.conditions?.some((each) => each.type === type) ?? false,
    );
}

conformance(
  "apps-f873d3",
  "The status of a Job is patched and replaced",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(jobs, namespace);
    await all.create({ metadata: { name: "status" }, spec: job(image, { parallelism: 1, completions: 1 }) });
    await all.until("status", ({ status }) => status?.active === 1 && status.ready === 1);
    const completed = { startTime: (await all.get("status")).status?.startTime };
    await statusIsItsOwn(all, "status", { conditions: [condition("CustomConditionPatched")] }, (status) => {
      status.conditions = [condition("CustomConditionUpdate")];
    });
    expect((await all.get("status", "status")).status?.startTime).toBe(completed.startTime);
    await all.delete("status", { propagationPolicy: "Background" });
    await all.untilGone("status");
  },
);

conformance(
  "apps-417d1c",
  "The status of a DaemonSet is patched and replaced",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(daemonSets, namespace);
    const template = podTemplate(image, labels);
    await all.create({ metadata: { name: "status" }, spec: { selector, template } });
    await all.until("status", ({ status }) => (status?.numberReady ?? 0) > 0);
    await showsConditions(all, "status");
  },
);

conformance(
  "apps-8a2670",
  "The status of a Deployment is patched and replaced",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(deployments, namespace);
    await all.create({ metadata: { name: "status" }, ...workload(image, 1) });
    await all.until("status", ({ status }) => status?.availableReplicas === 1);
    await showsConditions(all, "status");
  },
);

conformance(
  "apps-e21508",
  "The status of a ReplicaSet is patched and replaced",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(replicaSets, namespace);
    await all.create({ metadata: { name: "status" }, ...workload(image, 1) });
    await all.until("status", ({ status }) => status?.availableReplicas === 1);
    await showsConditions(all, "status");
  },
);

conformance(
  "apps-76faa6",
  "The status of a StatefulSet is patched and replaced",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(statefulSets, namespace);
    await all.create({ metadata: { name: "status" }, ...workload(image, 1) });
    await all.until("status", ({ status }) => status?.readyReplicas === 1);
    await showsConditions(all, "status");
  },
);

interface Scale extends KubernetesObject {
  spec: { replicas?: number };
  status: { replicas: number };
}

/** `scale` tells and sets how many there are. */
async function scales(
  { kube, namespace, image }: Given,
  type: ResourceType<Draft<KubernetesObject> & KubernetesObject>,
  bySelector: object = selector,
): Promise<void> {
  const all = kube.resource(type, namespace);
  const spec = { replicas: 1, selector: bySelector, template: podTemplate(image, labels) };
  await all.create({ metadata: { name: "scaled" }, spec } as never);
  const counted = (of: KubernetesObject) => (of as { status?: { replicas?: number } }).status?.replicas;
  await all.until("scaled", (object) => counted(object) === 1);
  const path = all.path("scaled", "scale");
  const scale = await kube.ask<Scale>("GET", path);
  expect(scale).toMatchObject({ apiVersion: "autoscaling/v1", kind: "Scale", spec: { replicas: 1 } });
  expect(scale.status.replicas).toBe(1);
  const { metadata } = scale;
  const body = { ...scale, metadata: { ...metadata, resourceVersion: undefined }, spec: { replicas: 2 } };
  expect((await kube.ask<Scale>("PUT", path, { body })).spec.replicas).toBe(2);
  const replicas = async () =>
    ((await all.get("scaled")) as unknown as { spec: { replicas: number } }).spec.replicas;
  expect(await replicas()).toBe(2);
  const contentType = "application/merge-patch+json";
  await kube.ask<Scale>("PATCH", path, { body: { spec: { replicas: 3 } }, contentType });
  expect(await replicas()).toBe(3);
  await all.until("scaled", (object) => counted(object) === 3);
}

conformance("apps-2656bf", "Deployments are scaled", (given) => scales(given, deployments));
conformance("apps-30767c", "ReplicaSets are scaled", (given) => scales(given, replicaSets));
conformance("apps-913508", "StatefulSets are scaled", (given) => scales(given, statefulSets));
conformance("apps-b0ff41", "ReplicationControllers are scaled", (given) =>
  scales(given, replicationControllers, labels),
);

/** Created, found by a label, and deleted together with their pods. */
async function collected(
  { kube, namespace }: Given,
  type: ResourceType<KubernetesObject>,
  spec: object,
  count: number,
  ready: (object: KubernetesObject) => boolean,
): Promise<void> {
  const all = kube.resource(type, namespace);
  const labelSelector = "e2e-set=collected";
  for (let index = 0; index < count; index++)
    await all.create({
      metadata: { name: `set-${index}`, labels: { "e2e-set": "collected" } },
      spec,
    } as never);
  for (let index = 0; index < count; index++) await all.until(`set-${index}`, ready);
  expect((await kube.resource(type).list({ labelSelector })).items.length).toBeGreaterThanOrEqual(count);
  const patched = await all.patch("set-0", "strategic", { metadata: { labels: { patched: "true" } } });
  expect(patched.metadata.labels).toMatchObject({ patched: "true" });
  await all.deleteCollection({ labelSelector });
  await eventually("the end of the collection", async () =>
    (await all.list({ labelSelector })).items.length === 0 ? true : undefined,
  );
}

const statusOf = (object: KubernetesObject) => (object as { status?: Record<string, unknown> }).status ?? {};

conformance("apps-30407a", "ReplicaSets are deleted as a collection", (given) =>
  collected(given, replicaSets, workload(given.image, 3).spec, 1, (set) => statusOf(set).replicas === 3),
);

conformance("apps-3b6de4", "DaemonSets are deleted as a collection", (given) =>
  collected(
    given,
    daemonSets,
    { selector, template: podTemplate(given.image, labels) },
    1,
    (set) => Number(statusOf(set).numberReady) > 0,
  ),
);

conformance("apps-62c440", "StatefulSets are patched and deleted as a collection", async (given) => {
  const { kube, namespace, image } = given;
  const all = kube.resource(statefulSets, namespace);
  await all.create({ metadata: { name: "patched" }, ...workload(image, 1) });
  await all.until("patched", ({ status }) => status?.readyReplicas === 1);
  const terminationGracePeriodSeconds = 2;
  const patched = await all.patch("patched", "strategic", {
    metadata: { labels: { "e2e-set": "collected" } },
    spec: { replicas: 2, template: { spec: { terminationGracePeriodSeconds } } },
  });
  expect(patched.spec?.template.spec?.terminationGracePeriodSeconds).toBe(terminationGracePeriodSeconds);
  await all.until("patched", ({ status }) => status?.readyReplicas === 2 && status.updatedReplicas === 2);
  await all.deleteCollection({ labelSelector: "e2e-set=collected" });
  await all.untilGone("patched");
});

conformance(
  "apps-d9c9af",
  "A Deployment lives: patched, scaled, told its status, deleted",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(deployments, namespace);
    const labelSelector = `test-deployment-static=${namespace}`;
    using watched = await all.watch({ labelSelector });
    const own = { "test-deployment-static": namespace };
    await all.create({ metadata: { name: "lived", labels: own }, ...workload(image, 2) });
    await watched.next("ADDED");
    await watched.next("MODIFIED", ({ status }) => status?.availableReplicas === 2);
    await all.patch("lived", "strategic", {
      metadata: { labels: { "test-deployment": "patched" } },
      spec: { replicas: 1, template: { spec: { terminationGracePeriodSeconds: 2 } } },
    });
    await watched.next("MODIFIED", ({ metadata }) => metadata.labels?.["test-deployment"] === "patched");
    await watched.next(
      "MODIFIED",
      ({ status, spec }) => spec?.replicas === 1 && status?.availableReplicas === 1,
    );
    const { items } = await kube.resource(deployments).list({ labelSelector });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(["lived"]);
    await all.update("lived", ({ spec }) => {
      spec!.replicas = 2;
    });
    await all.until("lived", ({ status }) => status?.readyReplicas === 2);
    const patched = await all.patch(
      "lived",
      "strategic",
      { status: { readyReplicas: 0, availableReplicas: 0 } },
      "status",
    );
    expect(patched.status?.readyReplicas ?? 0).toBe(0);
    // The controller knows better.
    await all.until("lived", ({ status }) => status?.readyReplicas === 2);
    await all.deleteCollection({ labelSelector });
    await watched.next("DELETED");
  },
);

conformance(
  "apps-b93e50",
  "A ReplicationController lives: patched, scaled, told its status, deleted",
  async (given) => {
    const { kube, namespace, image } = given;
    const all = kube.resource(replicationControllers, namespace);
    const labelSelector = `test-rc-static=${namespace}`;
    using watched = await all.watch({ labelSelector });
    const spec = { replicas: 1, selector: labels, template: podTemplate(image, labels) };
    await all.create({ metadata: { name: "lived", labels: { "test-rc-static": namespace } }, spec });
    await watched.next("ADDED");
    await watched.next("MODIFIED", ({ status }) => status?.readyReplicas === 1);
    await all.patch("lived", "strategic", { metadata: { labels: { "test-rc": "patched" } } });
    await watched.next("MODIFIED", ({ metadata }) => metadata.labels?.["test-rc"] === "patched");
    const patched = await all.patch(
      "lived",
      "strategic",
      { status: { readyReplicas: 0, availableReplicas: 0 } },
      "status",
    );
    expect(patched.status?.readyReplicas ?? 0).toBe(0);
    expect((await all.get("lived", "status")).kind).toBe("ReplicationController");
    const path = all.path("lived", "scale");
    await kube.ask("PATCH", path, {
      body: { spec: { replicas: 2 } },
      contentType: "application/merge-patch+json",
    });
    await watched.next("MODIFIED", ({ status }) => status?.readyReplicas === 2);
    const { items } = await kube.resource(replicationControllers).list({ labelSelector });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(["lived"]);
    await all.deleteCollection({ labelSelector });
    await watched.next("DELETED");
  },
);

conformance("apps-40d6b5", "ControllerRevisions of a DaemonSet live", async ({ kube, namespace, image }) => {
  const sets = kube.resource(daemonSets, namespace);
  const all = kube.resource(controllerRevisions, namespace);
  const labelSelector = "daemonset-name=lived";
  const own = { "daemonset-name": "lived" };
  const found = async () => (await all.list({ labelSelector })).items;
  const count = (wanted: number) =>
    eventually(`${wanted} revisions`, async () => {
      const items = await found();
      return items.length === wanted ? items : undefined;
    });
  const template = podTemplate(image, own);
  const created = await sets.create({
    metadata: { name: "lived", labels: own },
    spec: { selector: { matchLabels: own }, template },
  });
  const [first] = await count(1);
  const firstName = first?.metadata.name ?? "";
  const patched = await all.patch(firstName, "strategic", {
    metadata: { labels: { [firstName]: "patched" } },
  });
  expect(patched.metadata.labels?.[firstName]).toBe("patched");

  expect(first?.metadata.ownerReferences?.[0]?.uid).toBe(created.metadata.uid);
  await all.create({
    metadata: { name: "lived-by-hand", labels: own, ownerReferences: first?.metadata.ownerReferences ?? [] },
    data: first?.data as never,
    revision: (first?.revision ?? 0) + 1,
  });
  await count(2);
  await all.delete(firstName);
  const [left] = await count(1);
  expect(left?.metadata.name).toBe("lived-by-hand");
  const updated = await all.update("lived-by-hand", ({ metadata }) => {
    metadata.labels = { ...metadata.labels, "by-hand": "updated" };
  });
  expect(updated.metadata.labels?.["by-hand"]).toBe("updated");
  await sets.patch("lived", "strategic", {
    spec: { template: { spec: { terminationGracePeriodSeconds: 2 } } },
  });
  await count(2);
  await all.deleteCollection({ labelSelector: "by-hand=updated" });
  const [last] = await count(1);
  expect(last?.revision).toBe(3);
});
