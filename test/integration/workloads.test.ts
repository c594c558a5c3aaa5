/** The further workloads on the real API server and simulated nodes: what their users see. */
import { expect, test } from "vitest";
import {
  type appsv1,
  controllerRevisions,
  type corev1,
  cronJobs,
  daemonSets,
  deployments,
  jobs,
  nodes,
  podDisruptionBudgets,
  pods,
  priorityClasses,
  type ResourceType,
  statefulSets,
} from "#api";
import type { Client } from "#client";
import { eventually, start } from "./fixtures/embedded.ts";

const web = { namespace: "default", name: "web" };

function workload(image: string) {
  return {
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image }] },
    },
  };
}

async function webPods(client: Client): Promise<corev1.Pod[]> {
  const { items } = await client.list(pods, { namespace: "default", labelSelector: "app=web" });
  return items.filter((pod) => !pod.metadata.deletionTimestamp);
}

/** What `kubectl rollout undo` sends: the patch that a revision holds. */
async function undo(
  client: Client,
  type: ResourceType<appsv1.DaemonSet> | ResourceType<appsv1.StatefulSet>,
  revision: number,
): Promise<void> {
  const { items } = await client.list(controllerRevisions, { namespace: "default" });
  const wanted = items.find((each) => each.revision === revision);
  await client.patch(type as ResourceType, web, "strategic", wanted?.data);
}

test("a DaemonSet runs on every node, is updated and rolled back, and leaves with its pods", async () => {
  const { client } = await start(3);
  const settled = (image: string, count: number) =>
    eventually(async () => {
      const { metadata, status } = await client.get(daemonSets, web);
      expect(status).toMatchObject({
        observedGeneration: metadata.generation,
        desiredNumberScheduled: count,
        currentNumberScheduled: count,
        updatedNumberScheduled: count,
        numberAvailable: count,
      });
      const running = await webPods(client);
      expect(running.map((pod) => pod.spec.containers[0]?.image)).toEqual(Array(count).fill(image));
      expect(new Set(running.map((pod) => pod.spec.nodeName)).size).toBe(count);
    });
  await client.create(daemonSets, { metadata: web, spec: workload("web:1") });
  await settled("web:1", 3);
  await client.patch(daemonSets, web, "strategic", { spec: workload("web:2") });
  await settled("web:2", 3);
  await undo(client, daemonSets, 1);
  await settled("web:1", 3);
  const { items } = await client.list(controllerRevisions, { namespace: "default" });
  expect(items.map((each) => each.revision).sort()).toEqual([2, 3]);
  expect((await client.get(daemonSets, web)).metadata.annotations).toMatchObject({
    "deprecated.daemonset.template.generation": "3",
  });

  const surge = { updateStrategy: { rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } } };
  await client.patch(daemonSets, web, "merge", { spec: { ...surge, ...workload("web:3") } });
  await settled("web:3", 3);
  await client.patch(nodes, { name: "node-1" }, "merge", { spec: { unschedulable: true } });
  await client.patch(nodes, { name: "node-2" }, "merge", {
    spec: { taints: [{ key: "own", effect: "NoExecute" }] },
  });
  await settled("web:3", 2);
  await client.delete(daemonSets, web, { propagationPolicy: "Foreground" });
  await eventually(async () => {
    expect((await client.list(pods, { namespace: "default" })).items).toEqual([]);
    expect((await client.list(controllerRevisions, { namespace: "default" })).items).toEqual([]);
  });
});

test("what a DaemonSet may not say is refused with upstream's words", async () => {
  const { client } = await start(1);
  await expect(
    client.create(daemonSets, {
      metadata: web,
      spec: {
        ...workload("web:1"),
        updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1 } },
      },
    }),
  ).rejects.toThrow(
    'DaemonSet.apps "web" is invalid: spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero',
  );
  await client.create(daemonSets, { metadata: web, spec: workload("web:1") });
  await expect(
    client.patch(daemonSets, web, "merge", {
      spec: {
        selector: { matchLabels: { app: "other" } },
        template: { metadata: { labels: { app: "other" } } },
      },
    }),
  ).rejects.toThrow("spec.selector: Invalid value");
});

test("a StatefulSet comes up in order, is scaled, updated and rolled back, and keeps its names", async () => {
  const { client } = await start(2);
  const settled = (image: string, count: number) =>
    eventually(async () => {
      const { metadata, status } = await client.get(statefulSets, web);
      expect(status).toMatchObject({
        observedGeneration: metadata.generation,
        replicas: count,
        updatedReplicas: count,
        currentReplicas: count,
        availableReplicas: count,
        currentRevision: status.updateRevision,
      });
      const running = await webPods(client);
      expect(running.map((pod) => [pod.metadata.name, pod.spec.containers[0]?.image]).sort()).toEqual(
        Array.from({ length: count }, (_, i) => [`web-${i}`, image]),
      );
    });
  await client.create(statefulSets, {
    metadata: web,
    spec: { replicas: 3, serviceName: "web", ...workload("web:1") },
  });
  await settled("web:1", 3);
  const created = (await webPods(client)).sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const revisions = created.map((pod) => Number(pod.status.startTime ? Date.parse(pod.status.startTime) : 0));
  expect(revisions).toEqual([...revisions].sort((a, b) => a - b));
  expect(created[1]?.spec).toMatchObject({ hostname: "web-1", subdomain: "web" });
  await client.patch(statefulSets, web, "merge", { spec: { replicas: 1 } }, { subresource: "scale" });
  await settled("web:1", 1);
  await client.patch(statefulSets, web, "merge", { spec: { replicas: 3 } });
  await settled("web:1", 3);
  await client.patch(statefulSets, web, "strategic", { spec: workload("web:2") });
  await settled("web:2", 3);
  await undo(client, statefulSets, 1);
  await settled("web:1", 3);

  const partition = { updateStrategy: { rollingUpdate: { partition: 2 } } };
  await client.patch(statefulSets, web, "merge", { spec: { ...partition, ...workload("web:3") } });
  await eventually(async () => {
    expect((await client.get(statefulSets, web)).status).toMatchObject({
      updatedReplicas: 1,
      readyReplicas: 3,
    });
  });
  await client.delete(pods, { namespace: "default", name: "web-0" });
  await eventually(async () => {
    const images = (await webPods(client)).map((pod) => [pod.metadata.name, pod.spec.containers[0]?.image]);
    expect(images.sort()).toEqual([
      ["web-0", "web:1"],
      ["web-1", "web:1"],
      ["web-2", "web:3"],
    ]);
  });
  await expect(client.patch(statefulSets, web, "merge", { spec: { serviceName: "other" } })).rejects.toThrow(
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template'",
  );
  await client.delete(statefulSets, web, { propagationPolicy: "Foreground" });
  await eventually(async () => {
    expect((await client.list(pods, { namespace: "default" })).items).toEqual([]);
  });
});

test("a CronJob starts its job on time, keeps its history, and pauses", async () => {
  const { client } = await start(1);
  const ref = { namespace: "default", name: "tick" };
  const template = {
    metadata: { annotations: { "simulator.knarr.dev/run-seconds": "0" } },
    spec: { restartPolicy: "Never" as const, containers: [{ name: "c", image: "job:1" }] },
  };
  const spec = { schedule: "@every 1s", timeZone: "Europe/Oslo", jobTemplate: { spec: { template } } };
  await client.create(cronJobs, { metadata: ref, spec: { ...spec, successfulJobsHistoryLimit: 1 } });
  await eventually(async () => {
    const { status } = await client.get(cronJobs, ref);
    expect(status.lastScheduleTime).toBeDefined();
    expect(status.lastSuccessfulTime).toBeDefined();
    const { items } = await client.list(jobs, { namespace: "default" });
    expect(items.length).toBeGreaterThan(0);
    expect(items[0]?.metadata).toMatchObject({
      name: expect.stringMatching(/^tick-\d+$/),
      annotations: {
        "batch.kubernetes.io/cronjob-scheduled-timestamp": expect.stringMatching(/[+]0[12]:00$/),
      },
    });
  });
  await client.patch(cronJobs, ref, "merge", { spec: { suspend: true } });
  await client.delete(cronJobs, ref, { propagationPolicy: "Foreground" });
  await eventually(async () => {
    expect((await client.list(jobs, { namespace: "default" })).items).toEqual([]);
  });
  await expect(
    client.create(cronJobs, { metadata: ref, spec: { ...spec, schedule: "* * * *", timeZone: "Mars/Base" } }),
  ).rejects.toThrow(
    '[spec.schedule: Invalid value: "* * * *": expected exactly 5 fields, found 4: [* * * *], spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base]',
  );
});

test("a pod has the priority of its class, and classes keep their rules", async () => {
  const { client } = await start(1);
  const names = (await client.list(priorityClasses)).items.map((each) => each.metadata.name).sort();
  expect(names).toEqual(["system-cluster-critical", "system-node-critical"]);
  const pod = (name: string, spec: Partial<corev1.PodSpec> = {}) =>
    client.create(pods, {
      metadata: { namespace: "default", name },
      spec: { containers: [{ name: "c", image: "x:1" }], ...spec },
    });
  expect((await pod("plain")).spec).toMatchObject({ priority: 0, preemptionPolicy: "PreemptLowerPriority" });
  await client.create(priorityClasses, {
    metadata: { name: "high" },
    value: 5000,
    preemptionPolicy: "Never",
    globalDefault: true,
  });
  const high = { priorityClassName: "high", priority: 5000, preemptionPolicy: "Never" };
  expect((await pod("by-name", { priorityClassName: "high" })).spec).toMatchObject(high);
  expect((await pod("by-default")).spec).toMatchObject(high);
  await expect(pod("none", { priorityClassName: "missing" })).rejects.toThrow(
    'pods "none" is forbidden: no PriorityClass with name missing was found',
  );
  await expect(pod("own", { priority: 7 })).rejects.toThrow(
    "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 5000",
  );
  await expect(
    client.create(priorityClasses, { metadata: { name: "second" }, value: 1, globalDefault: true }),
  ).rejects.toThrow("PriorityClass high is already marked as default. Only one default can exist");
  await expect(client.patch(priorityClasses, { name: "high" }, "merge", { value: 1 })).rejects.toThrow(
    "value: Forbidden: may not be changed in an update.",
  );
  await expect(
    client.create(priorityClasses, { metadata: { name: "system-mine" }, value: 1 }),
  ).rejects.toThrow("system-mine is not a known system priority class");
  await expect(client.delete(priorityClasses, { name: "system-node-critical" })).rejects.toThrow(
    "this is a system priority class and cannot be deleted",
  );
});

test("evictions stop where the budget ends, however many come at once", async () => {
  const { client } = await start(2);
  await client.create(podDisruptionBudgets, {
    metadata: web,
    spec: { minAvailable: 3, selector: { matchLabels: { app: "web" } } },
  });
  // Its pods live on when their ReplicaSet does not: nobody makes new ones during the test.
  await client.create(deployments, { metadata: web, spec: { replicas: 5, ...workload("web:1") } });
  await eventually(async () => {
    const { status } = await client.get(podDisruptionBudgets, web);
    expect(status).toMatchObject({
      expectedPods: 5,
      currentHealthy: 5,
      desiredHealthy: 3,
      disruptionsAllowed: 2,
    });
  });
  await client.delete(deployments, web, { propagationPolicy: "Orphan" });
  const evict = (pod: corev1.Pod, apiVersion = "policy/v1") =>
    client.post(pods, pod.metadata, "eviction", {
      apiVersion,
      kind: "Eviction",
      metadata: { namespace: "default", name: pod.metadata.name },
      deleteOptions: { gracePeriodSeconds: 30 },
    });
  const results = await Promise.allSettled((await webPods(client)).map((pod) => evict(pod)));
  const refused = results.filter((result) => result.status === "rejected");
  expect(refused).toHaveLength(3);
  for (const { reason } of refused) {
    expect(reason.status).toMatchObject({
      code: 429,
      reason: "TooManyRequests",
      message: "Cannot evict pod as it would violate the pod's disruption budget.",
      details: { causes: [{ reason: "DisruptionBudget" }] },
    });
  }
  await client.patch(podDisruptionBudgets, web, "merge", { spec: { minAvailable: 0 } });
  const [first] = await webPods(client);
  await eventually(async () => {
    // As kubectl before 1.22 says it.
    await evict(first as corev1.Pod, "policy/v1beta1");
  });
  await expect(
    client.create(podDisruptionBudgets, {
      metadata: { namespace: "default", name: "both" },
      spec: { minAvailable: 1, maxUnavailable: 1 },
    }),
  ).rejects.toThrow("minAvailable and maxUnavailable cannot be both set");
});
