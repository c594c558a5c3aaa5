/** The control plane at work on the real API server: rollouts, jobs, endpoints, cascades, on simulated nodes. */
import { expect, test } from "vitest";
import {
  configMaps,
  type corev1,
  deployments,
  endpointSlices,
  endpoints,
  events,
  isStatus,
  jobs,
  namespaces,
  nodes,
  pods,
  replicaSets,
  serviceAccounts,
  services,
} from "#api";
import type { Client } from "#client";
import { eventually, start } from "./fixtures/embedded.ts";

const web = { namespace: "default", name: "web" };

const deployment = (image: string, replicas: number) => ({
  metadata: web,
  spec: {
    replicas,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: { containers: [{ name: "c", image, ports: [{ name: "http", containerPort: 8080 }] }] },
    },
  },
});

async function webPods(client: Client): Promise<corev1.Pod[]> {
  const { items } = await client.list(pods, { namespace: "default", labelSelector: "app=web" });
  return items.filter((pod) => !pod.metadata.deletionTimestamp);
}

async function expectRollout(client: Client, image: string, replicas: number): Promise<void> {
  await eventually(async () => {
    const { metadata, status } = await client.get(deployments, web);
    expect(status).toMatchObject({
      observedGeneration: metadata.generation,
      replicas,
      updatedReplicas: replicas,
      availableReplicas: replicas,
    });
    expect((await webPods(client)).map((pod) => pod.spec.containers[0]?.image)).toEqual(
      Array.from({ length: replicas }, () => image),
    );
  });
}

const gone = (read: Promise<unknown>) =>
  expect(read).rejects.toSatisfy((error: unknown) => isStatus(error, "NotFound"));

test("a Deployment is rolled out, updated, rolled back, scaled and deleted to its last pod", async () => {
  const { client } = await start();
  await client.create(services, {
    metadata: web,
    spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: "http" }] },
  });
  await client.create(deployments, deployment("web:1", 3));
  await expectRollout(client, "web:1", 3);
  expect(new Set((await webPods(client)).map((pod) => pod.spec.nodeName)).size).toBe(3);

  await client.patch(deployments, web, "strategic", deployment("web:2", 3));
  await expectRollout(client, "web:2", 3);
  // What `kubectl rollout undo` does: the template of the older ReplicaSet is put back.
  const sets = (await client.list(replicaSets, { namespace: "default" })).items;
  const first = sets.find((set) => set.metadata.annotations?.["deployment.kubernetes.io/revision"] === "1");
  const { labels, ...metadata } = first!.spec.template!.metadata!;
  const { "pod-template-hash": _hash, ...own } = labels!;
  const template = { ...first!.spec.template, metadata: { ...metadata, labels: own } };
  await client.patch(deployments, web, "json", [{ op: "replace", path: "/spec/template", value: template }]);
  await expectRollout(client, "web:1", 3);
  const revisions = (await client.list(replicaSets, { namespace: "default" })).items.map(
    (set) => set.metadata.annotations?.["deployment.kubernetes.io/revision"],
  );
  expect(revisions.sort()).toEqual(["2", "3"]);

  await client.patch(deployments, web, "merge", { spec: { replicas: 5 } });
  await expectRollout(client, "web:1", 5);
  const addresses = (await webPods(client)).map((pod) => pod.status.podIP).sort();
  await eventually(async () => {
    const labelSelector = "kubernetes.io/service-name=web";
    const { items } = await client.list(endpointSlices, { namespace: "default", labelSelector });
    expect(items.flatMap((slice) => (slice.endpoints ?? []).flatMap((e) => e.addresses)).sort()).toEqual(
      addresses,
    );
    const old = await client.get(endpoints, web);
    expect(old.subsets?.flatMap((subset) => subset.addresses?.map((a) => a.ip) ?? []).sort()).toEqual(
      addresses,
    );
    expect(old.subsets?.[0]?.ports).toEqual([{ name: "http", port: 8080, protocol: "TCP" }]);
  });

  await client.delete(deployments, web, { propagationPolicy: "Foreground" });
  await eventually(async () => {
    await gone(client.get(deployments, web));
    expect((await client.list(replicaSets, { namespace: "default" })).items).toEqual([]);
    expect((await client.list(pods, { namespace: "default" })).items).toEqual([]);
  });
  const told = (await client.list(events, { namespace: "default" })).items.map((event) => event.reason);
  expect(told).toEqual(expect.arrayContaining(["ScalingReplicaSet", "SuccessfulCreate", "Scheduled"]));
});

test("a Job completes and keeps its count; a failing one fails", async () => {
  const { client } = await start(1);
  const job = (name: string, annotations: Record<string, string>, spec: object) =>
    client.create(jobs, {
      metadata: { namespace: "default", name },
      spec: {
        template: {
          metadata: { annotations },
          spec: { restartPolicy: "Never", containers: [{ name: "c", image: "job:1" }] },
        },
        ...spec,
      },
    });
  const quick = { "simulator.knarr.dev/run-seconds": "0" };
  await job("many", quick, { completions: 4, parallelism: 2 });
  await job("indexed", quick, { completions: 3, parallelism: 3, completionMode: "Indexed" });
  await job("bad", { ...quick, "simulator.knarr.dev/exit-code": "1" }, { backoffLimit: 0 });
  const status = async (name: string) => (await client.get(jobs, { namespace: "default", name })).status;
  await eventually(async () => {
    const many = await status("many");
    expect(many).toMatchObject({ succeeded: 4 });
    expect(many.conditions?.map((condition) => condition.type)).toEqual(["SuccessCriteriaMet", "Complete"]);
    expect(await status("indexed")).toMatchObject({ succeeded: 3, completedIndexes: "0-2" });
    const bad = await status("bad");
    expect(bad.conditions?.map((condition) => condition.reason)).toEqual([
      "BackoffLimitExceeded",
      "BackoffLimitExceeded",
    ]);
    const { items } = await client.list(pods, { namespace: "default" });
    expect(items.flatMap((pod) => pod.metadata.finalizers ?? [])).toEqual([]);
    expect(items).toHaveLength(8);
  });
  await client.delete(jobs, { namespace: "default", name: "many" }, { propagationPolicy: "Background" });
  await eventually(async () => {
    expect((await client.list(pods, { namespace: "default" })).items).toHaveLength(4);
  });
});

test("a namespace gets what it needs, and goes with everything in it", async () => {
  const { client } = await start(1);
  await client.create(namespaces, { metadata: { name: "team" } });
  await eventually(async () => {
    await client.get(serviceAccounts, { namespace: "team", name: "default" });
    const map = await client.get(configMaps, { namespace: "team", name: "kube-root-ca.crt" });
    expect(map.data?.["ca.crt"]).toContain("BEGIN CERTIFICATE");
  });
  const held = { namespace: "team", name: "held" };
  await client.create(deployments, {
    ...deployment("web:1", 2),
    metadata: { namespace: "team", name: "web" },
  });
  await client.create(configMaps, { metadata: { ...held, finalizers: ["example.com/hold"] } });
  await eventually(async () => {
    expect((await client.list(pods, { namespace: "team" })).items).toHaveLength(2);
  });
  await client.delete(namespaces, { name: "team" });
  await eventually(async () => {
    const { status } = await client.get(namespaces, { name: "team" });
    expect(status.phase).toBe("Terminating");
    expect(status.conditions?.find((c) => c.type === "NamespaceFinalizersRemaining")?.message).toBe(
      "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
    );
    expect((await client.list(pods, { namespace: "team" })).items).toEqual([]);
  });
  await client.patch(configMaps, held, "merge", { metadata: { finalizers: null } });
  await eventually(() => gone(client.get(namespaces, { name: "team" })));
});

test("a pod that fits nowhere says why, and a cordoned node is left alone", async () => {
  const { client } = await start(2);
  await client.create(pods, {
    metadata: { namespace: "default", name: "huge" },
    spec: { containers: [{ name: "c", image: "x", resources: { requests: { cpu: "1000" } } }] },
  });
  await eventually(async () => {
    const { status } = await client.get(pods, { namespace: "default", name: "huge" });
    expect(status.conditions).toContainEqual(
      expect.objectContaining({
        type: "PodScheduled",
        reason: "Unschedulable",
        message: expect.stringMatching(/^0\/2 nodes are available: 2 Insufficient cpu\. preemption: /),
      }),
    );
  });
  await client.patch(nodes, { name: "node-1" }, "merge", { spec: { unschedulable: true } });
  await eventually(async () => {
    const { spec } = await client.get(nodes, { name: "node-1" });
    expect(spec.taints?.map((taint) => taint.key)).toEqual(["node.kubernetes.io/unschedulable"]);
  });
  await client.create(deployments, deployment("web:1", 3));
  await expectRollout(client, "web:1", 3);
  expect(new Set((await webPods(client)).map((pod) => pod.spec.nodeName))).toEqual(new Set(["node-2"]));
});

test("a Service without a selector leads where its Endpoints say", async () => {
  const { client } = await start(1);
  const ref = { namespace: "default", name: "outside" };
  await client.create(services, { metadata: ref, spec: { ports: [{ name: "db", port: 5432 }] } });
  const subsets = [{ addresses: [{ ip: "192.0.2.7" }], ports: [{ name: "db", port: 5432 }] }];
  await client.create(endpoints, { metadata: ref, subsets });
  const slices = async () => {
    const labelSelector = "kubernetes.io/service-name in (outside, kubernetes)";
    return (await client.list(endpointSlices, { namespace: "default", labelSelector })).items;
  };
  await eventually(async () => {
    const mirrored = (await slices()).filter((slice) => slice.metadata.name.startsWith("outside-"));
    expect(mirrored).toMatchObject([
      { ports: [{ name: "db", port: 5432, protocol: "TCP" }], endpoints: [{ addresses: ["192.0.2.7"] }] },
    ]);
  });
  expect((await slices()).filter((slice) => slice.metadata.name.startsWith("kubernetes-"))).toEqual([]);
});
