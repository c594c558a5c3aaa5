/** Devices from the driver's word to the running pod and back: scheduler, claim controller and device taints together. */
import { expect, test } from "vitest";
import { deviceClasses, deviceTaintRules, events, pods, resourceClaims } from "#api";
import { Cluster } from "#distro";
import { eventually } from "../eventually.ts";

const namespace = "default";
const driver = "gpu.example.com";

const gpus = `
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: gpu}
spec: {selectors: [{cel: {expression: 'device.driver == "${driver}"'}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: gpus}
spec:
  driver: ${driver}
  nodeName: NODE
  pool: {name: NODE, generation: 1, resourceSliceCount: 1}
  devices:
  - {name: small, attributes: {memory: {int: 8}}}
  - {name: big, attributes: {memory: {int: 40}}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: big}
spec:
  spec:
    devices:
      requests:
      - name: gpu
        exactly:
          deviceClassName: gpu
          selectors: [{cel: {expression: 'device.attributes["${driver}"].memory > 10'}}]
`;

const podNamed = (name: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  containers: [{name: c, image: "c:1", resources: {claims: [{name: gpu}]}}]
  resourceClaims: [{name: gpu, resourceClaimTemplateName: big}]
`;

async function start() {
  const cluster = await Cluster.start({ listen: false, nodes: 3 });
  const { client } = cluster;
  await cluster.apply(gpus.replaceAll("NODE", "node-1"));
  const pod = (name: string) => client.get(pods, { namespace, name });
  const running = (name: string) =>
    eventually("the pod runs", async () =>
      (await pod(name)).status.phase === "Running" ? pod(name) : undefined,
    );
  const claims = async () => (await client.list(resourceClaims, { namespace })).items;
  return { cluster, client, pod, running, claims };
}

test("a pod gets the device its claim asks for, the next one waits for it, and gets it when the first is gone", async () => {
  const { cluster, client, pod, running, claims } = await start();
  await using _ = cluster;
  await cluster.apply(podNamed("first"));
  const first = await running("first");
  expect(first.spec.nodeName).toBe("node-1");
  const [claim] = await claims();
  expect(claim?.status.allocation?.devices?.results).toEqual([
    { request: "gpu", driver, pool: "node-1", device: "big" },
  ]);
  expect(claim?.status.reservedFor).toEqual([{ resource: "pods", name: "first", uid: first.metadata.uid }]);
  await cluster.apply(podNamed("second"));
  const message = await eventually(
    "the pod is told why it waits",
    async () => (await pod("second")).status.conditions?.find(({ type }) => type === "PodScheduled")?.message,
  );
  expect(message).toBe(
    "0/3 nodes are available: 3 cannot allocate all claims. still not schedulable, preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.",
  );
  await client.delete(pods, { namespace, name: "first" }, { gracePeriodSeconds: 0 });
  await running("second");
  await eventually("the claim of the first pod is gone", async () =>
    (await claims()).length === 1 ? true : undefined,
  );
});

test("a tainted device is left by the pod that uses it, and not given again", async () => {
  const { cluster, client, pod, running } = await start();
  await using _ = cluster;
  await cluster.apply(podNamed("first"));
  await running("first");
  await cluster.apply(`
apiVersion: resource.k8s.io/v1beta2
kind: DeviceTaintRule
metadata: {name: broken}
spec: {deviceSelector: {device: big}, taint: {key: broken, effect: NoExecute}}
`);
  await eventually("the pod is gone", async () => {
    const { items } = await client.list(pods, { namespace });
    return items.length === 0 ? true : undefined;
  });
  const { items } = await client.list(events, { namespace });
  expect(items.map(({ reason }) => reason)).toContain("DeviceTaintManagerEviction");
  await cluster.apply(podNamed("second"));
  await eventually("the pod is not given the device again", async () =>
    (await pod("second")).status.conditions?.find(({ message }) =>
      message?.includes("cannot allocate all claims"),
    ),
  );
  const rule = await client.get(deviceTaintRules, { name: "broken" });
  expect(rule.status.conditions?.map(({ type, status }) => [type, status])).toEqual([
    ["EvictionInProgress", expect.any(String)],
  ]);
  await client.delete(deviceTaintRules, { name: "broken" });
  await running("second");
});

test("a resource that a node has as devices becomes a claim, whose end is that of its pod", async () => {
  const { cluster, client, pod, running, claims } = await start();
  await using _ = cluster;
  const asking = (name: string, count: number) =>
    cluster.apply(`
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  containers:
  - {name: c, image: "c:1", resources: {limits: {example.com/gpu: ${count}}}}
`);
  const why = async (name: string, words: string) =>
    eventually("the pod is told why it waits", async () =>
      (await pod(name)).status.conditions?.find(({ message }) => message?.includes(words)),
    );
  await asking("first", 1);
  await why("first", "3 Insufficient example.com/gpu");
  await client.patch(deviceClasses, { name: "gpu" }, "merge", {
    spec: { extendedResourceName: "example.com/gpu" },
  });
  const first = await running("first");
  expect(first.spec.nodeName).toBe("node-1");
  const [claim] = await claims();
  expect(claim).toMatchObject({
    metadata: {
      annotations: { "resource.kubernetes.io/extended-resource-claim": "true" },
      name: expect.stringMatching(/^first-extended-resources-/),
    },
    spec: { devices: { requests: [{ name: "container-0-request-0", exactly: { deviceClassName: "gpu" } }] } },
    status: { reservedFor: [{ resource: "pods", name: "first" }] },
  });
  const [given] = claim?.status.allocation?.devices?.results ?? [];
  expect(first.status.extendedResourceClaimStatus).toEqual({
    resourceClaimName: claim?.metadata.name,
    requestMappings: [
      { containerName: "c", resourceName: "example.com/gpu", requestName: "container-0-request-0" },
    ],
  });

  await asking("greedy", 2);
  await why("greedy", "3 cannot allocate all claims");
  await asking("second", 1);
  await running("second");
  const devices = (await claims()).flatMap(({ status }) =>
    (status.allocation?.devices?.results ?? []).map(({ device }) => device),
  );
  expect(new Set(devices)).toEqual(new Set(["small", "big"]));
  expect(devices).toContain(given?.device);
  for (const name of ["first", "second"])
    await client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0 });
  await running("greedy");
  await eventually("the claims of the others are gone", async () =>
    (await claims()).length === 1 ? true : undefined,
  );
});
