/** The kinds that belong to nodes and their pods as objects of the API: created, read, changed, deleted. */
import { expect } from "vitest";
import {
  configMaps,
  deviceClasses,
  type KubernetesObject,
  leases,
  nodes,
  podTemplates,
  type ResourceType,
  resourceClaims,
  resourceClaimTemplates,
  type resourcev1,
  runtimeClasses,
  secrets,
} from "#api";
import { livesThroughEveryVerb, resourceType, statusIsItsOwn } from "../life-cycle.ts";
import { podTemplate } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

conformance("node-0932b1", "RuntimeClasses support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: runtimeClasses,
    name: (index) => unique(`class-${index}`),
    make: () => ({ handler: "nobody-s" }),
  }),
);

const cel = (expression: string) => ({ selectors: [{ cel: { expression } }] });

conformance("node-0addc5", "DeviceClasses support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: deviceClasses,
    name: (index) => unique(`class-${index}`),
    make: () => ({ spec: cel("device.driver == 'dra.example.com'") }),
  }),
);

const claimSpec = () => ({
  devices: { requests: [{ name: "req-0", exactly: { deviceClassName: "nobody-s" } }] },
});

conformance(
  "node-d34899",
  "ResourceClaims support every operation of the API",
  async ({ kube, namespace }) => {
    await livesThroughEveryVerb(kube, {
      type: resourceClaims,
      namespace,
      make: () => ({ spec: claimSpec() }),
      subresources: ["resourceclaims/status"],
    });
    const all = kube.resource(resourceClaims, namespace);
    await all.create({ metadata: { name: "status" }, spec: claimSpec() });
    const allocated = (pool: string) => ({
      allocation: {
        devices: { results: [{ request: "req-0", driver: "dra.example.com", pool, device: "device-0" }] },
      },
    });
    const changed = await statusIsItsOwn(
      all,
      "status",
      allocated("pool-0"),
      (status) => {
        status.reservedFor = [{ resource: "pods", name: "a-pod", uid: "a-uid" }];
      },
      { takesMetadata: false },
    );
    expect(changed.status?.allocation).toMatchObject(allocated("pool-0").allocation);
  },
);

conformance(
  "node-b91434",
  "ResourceClaimTemplates support every operation of the API",
  ({ kube, namespace }) =>
    livesThroughEveryVerb(kube, {
      type: resourceClaimTemplates,
      namespace,
      make: () => ({ spec: { spec: claimSpec() } }),
    }),
);

const resourceSlices = resourceType<resourcev1.ResourceSlice>(
  "resource.k8s.io/v1",
  "ResourceSlice",
  "resourceslices",
  "Cluster",
);

conformance("node-b2f48c", "ResourceSlices support every operation of the API", ({ kube, unique }) =>
  livesThroughEveryVerb(kube, {
    type: resourceSlices,
    name: (index) => unique(`slice-${index}`),
    make: () => ({
      spec: {
        driver: "dra.example.com",
        pool: { name: unique("pool"), generation: 1, resourceSliceCount: 1 },
        allNodes: true,
        devices: [{ name: "device-0" }],
      },
    }),
  }),
);

conformance(
  "node-275e14",
  "Leases are created, replaced, patched and deleted",
  async ({ kube, namespace }) => {
    const all = kube.resource(leases, namespace);
    const spec = {
      holderIdentity: "holder",
      leaseDurationSeconds: 30,
      acquireTime: "2026-01-01T00:00:00.000000Z",
      renewTime: "2026-01-01T00:00:05.000000Z",
      leaseTransitions: 0,
    };
    await all.create({ metadata: { name: "lease" }, spec });
    expect((await all.get("lease")).spec).toEqual(spec);
    const changed = { ...spec, holderIdentity: "holder2", leaseDurationSeconds: 70, leaseTransitions: 1 };
    await all.update("lease", (lease) => {
      lease.spec = changed;
    });
    expect((await all.get("lease")).spec).toEqual(changed);
    await all.patch("lease", "strategic", { spec: { leaseDurationSeconds: 60, leaseTransitions: 2 } });
    expect((await all.get("lease")).spec).toEqual({
      ...changed,
      leaseDurationSeconds: 60,
      leaseTransitions: 2,
    });
    await all.create({ metadata: { name: "second", labels: { deletecollection: "true" } }, spec });
    expect((await all.list()).items).toHaveLength(2);
    await all.deleteCollection({ labelSelector: "deletecollection=true" });
    expect((await all.list()).items.map(({ metadata }) => metadata.name)).toEqual(["lease"]);
    await all.delete("lease");
    await expect(all.get("lease")).rejects.toMatchObject({ code: 404 });
  },
);

conformance("node-2d9742", "Nodes are created, patched, updated and deleted", async (given) => {
  const { kube, unique, afterwards } = given;
  const all = kube.resource(nodes);
  const name = unique("node");
  afterwards(async () => (await all.find(name)) && all.delete(name));
  const created = await all.create({
    metadata: { name },
    spec: { unschedulable: true },
    status: {
      capacity: { cpu: "4", memory: "8Gi", pods: "110" },
      allocatable: { cpu: "4", memory: "8Gi", pods: "110" },
      phase: "Running",
      conditions: [{ type: "Ready", status: "Unknown" }],
    },
  });
  expect((await all.get(name)).metadata.uid).toBe(created.metadata.uid);
  const patched = await all.patch(name, "strategic", { metadata: { labels: { [name]: "patched" } } });
  expect(patched.metadata.labels?.[name]).toBe("patched");
  expect((await all.list({ labelSelector: `${name}=patched` })).items).toHaveLength(1);
  const updated = await all.update(name, ({ metadata }) => {
    metadata.labels = { ...metadata.labels, [name]: "updated" };
  });
  expect(updated.metadata.labels?.[name]).toBe("updated");
  await all.delete(name, { gracePeriodSeconds: 0 });
  await all.untilGone(name);
});

const template = ({ image }: Given) => ({ template: podTemplate(image, { pod: "name" }) });

conformance("node-768b41", "PodTemplates are created, patched, found and deleted", async (given) => {
  const { kube, namespace } = given;
  const all = kube.resource(podTemplates, namespace);
  await all.create({
    metadata: { name: "nginx", labels: { "podtemplate-static": namespace } },
    ...template(given),
  });
  const label = { metadata: { labels: { podtemplate: "patched" } } };
  await all.patch("nginx", "strategic", label);
  expect((await all.get("nginx")).metadata.labels?.podtemplate).toBe("patched");
  const labelSelector = `podtemplate-static=${namespace},podtemplate=patched`;
  expect((await kube.resource(podTemplates).list({ labelSelector })).items).toHaveLength(1);
  await all.delete("nginx");
  expect((await kube.resource(podTemplates).list({ labelSelector })).items).toHaveLength(0);
});

conformance("node-b1e8d8", "PodTemplates are deleted as a collection", async (given) => {
  const all = given.kube.resource(podTemplates, given.namespace);
  const labels = { "podtemplate-set": "true" };
  for (const name of ["one", "two", "three"])
    await all.create({ metadata: { name, labels }, ...template(given) });
  const labelSelector = "podtemplate-set=true";
  expect((await all.list({ labelSelector })).items).toHaveLength(3);
  await all.deleteCollection({ labelSelector });
  expect((await all.list({ labelSelector })).items).toHaveLength(0);
});

conformance("node-43615b", "A PodTemplate is replaced", async (given) => {
  const all = given.kube.resource(podTemplates, given.namespace);
  await all.create({ metadata: { name: "replaced" }, ...template(given) });
  const updated = await all.update("replaced", ({ metadata }) => {
    metadata.annotations = { updated: "true" };
  });
  expect(updated.metadata.annotations).toEqual({ updated: "true" });
});

conformance(
  "node-fc5514",
  "ConfigMaps are created, patched, found and deleted together",
  async ({ kube, namespace }) => {
    const all = kube.resource(configMaps, namespace);
    const labelSelector = `test-configmap-static=${namespace}`;
    using watched = await all.watch({ labelSelector });
    const labels = { "test-configmap-static": namespace };
    await all.create({ metadata: { name: "lived", labels }, data: { valueName: "value" } });
    await watched.next("ADDED");
    await all.patch("lived", "strategic", {
      metadata: { labels: { patched: "yes" } },
      data: { valueName: "value1" },
    });
    await watched.next("MODIFIED", ({ data }) => data?.valueName === "value1");
    expect(await all.get("lived")).toMatchObject({
      metadata: { labels: { ...labels, patched: "yes" } },
      data: { valueName: "value1" },
    });
    const { items } = await kube.resource(configMaps).list({ labelSelector });
    expect(items.map(({ metadata }) => metadata.name)).toEqual(["lived"]);
    await all.deleteCollection({ labelSelector });
    await watched.next("DELETED");
    expect((await kube.resource(configMaps).list({ labelSelector })).items).toHaveLength(0);
  },
);

async function refusesEmptyKey<T extends KubernetesObject>(
  { kube, namespace }: Given,
  type: ResourceType<T>,
) {
  const all = kube.resource(type, namespace);
  const object = { metadata: { name: "empty-key" }, data: { "": "dmFsdWUtMQ==" } };
  await expect(all.create(object as never)).rejects.toMatchObject({ code: 422 });
  expect(await all.find("empty-key")).toBeUndefined();
}

conformance("node-645858", "A ConfigMap has no empty key", (given) => refusesEmptyKey(given, configMaps));

conformance("node-495a8d", "A Secret has no empty key", (given) => refusesEmptyKey(given, secrets));

conformance(
  "node-a7c915",
  "Secrets are created, patched and deleted together",
  async ({ kube, namespace }) => {
    const all = kube.resource(secrets, namespace);
    const labels = { "testsecret-constant": namespace };
    const labelSelector = `testsecret-constant=${namespace}`;
    await all.create({ metadata: { name: "patched", labels }, data: { key: "dmFsdWU=" }, type: "Opaque" });
    expect((await kube.resource(secrets).list({ labelSelector })).items).toHaveLength(1);
    await all.patch("patched", "strategic", {
      metadata: { labels: { testsecret: "true" } },
      data: { key: "dmFsdWUx" },
    });
    const patched = await all.get("patched");
    expect(patched.metadata.labels).toEqual({ ...labels, testsecret: "true" });
    expect(patched.data).toEqual({ key: "dmFsdWUx" });
    await all.deleteCollection({ labelSelector: "testsecret=true" });
    expect((await kube.resource(secrets).list({ labelSelector })).items).toHaveLength(0);
  },
);
