/** ResourceQuotas count what a namespace has, and refuse what is too much. */
import { expect } from "vitest";
import {
  configMaps,
  type Draft,
  type KubernetesObject,
  pods,
  type ResourceType,
  replicaSets,
  replicationControllers,
  resourceQuotas,
  secrets,
  services,
} from "#api";
import type { Kube, Resource } from "../kube.ts";
import { podSpec, podTemplate } from "../objects.ts";
import { conformance } from "../suite.ts";

const selected = { matchLabels: { app: "quota" } };

/** Waits until the quota counts exactly these, of what it counts. */
function counts(
  kube: Kube,
  namespace: string,
  name: string,
  wanted: Record<string, string>,
): Promise<unknown> {
  return kube
    .resource(resourceQuotas, namespace)
    .until(name, ({ status }) =>
      Object.entries(wanted).every(([key, value]) => status?.used?.[key] === value),
    );
}

async function create(
  kube: Kube,
  namespace: string,
  hard: Record<string, string>,
  scopes?: string[],
): Promise<string> {
  const quotas = kube.resource(resourceQuotas, namespace);
  const spec = { hard, ...(scopes ? { scopes } : {}) };
  const { metadata } = await quotas.create({ metadata: { generateName: "quota-" }, spec } as never);
  const name = metadata.name ?? "";
  await quotas.until(name, ({ status }) => JSON.stringify(status?.hard) === JSON.stringify(hard));
  return name;
}

/** Created it counts one more, deleted one less. */
async function countsObjects<T extends KubernetesObject>(
  kube: Kube,
  namespace: string,
  type: ResourceType<T>,
  counted: string,
  draft: Draft<T>,
): Promise<void> {
  const objects = kube.resource(type, namespace);
  const before = (await objects.list()).items.length;
  const name = await create(kube, namespace, { [counted]: String(before + 1) });
  await counts(kube, namespace, name, { [counted]: String(before) });
  await objects.create(draft);
  await counts(kube, namespace, name, { [counted]: String(before + 1) });
  const second = { ...draft, metadata: { name: "one-too-many" } } as Draft<T>;
  await expect(objects.create(second)).rejects.toMatchObject({ code: 403 });
  const created = (draft as { metadata: { name: string } }).metadata.name;
  await objects.delete(created);
  await objects.untilGone(created);
  await counts(kube, namespace, name, { [counted]: String(before) });
}

const metadata = { name: "counted" };

conformance("api-machinery-767ccc", "A quota is counted itself", async ({ kube, namespace }) => {
  const name = await create(kube, namespace, { resourcequotas: "1" });
  await counts(kube, namespace, name, { resourcequotas: "1" });
});

conformance("api-machinery-29e33c", "A quota counts ConfigMaps", ({ kube, namespace }) =>
  countsObjects(kube, namespace, configMaps, "configmaps", { metadata, data: { a: "b" } }),
);

conformance("api-machinery-942598", "A quota counts Secrets", ({ kube, namespace }) =>
  countsObjects(kube, namespace, secrets, "secrets", { metadata, stringData: { a: "b" } }),
);

conformance("api-machinery-557c04", "A quota counts ReplicaSets", ({ kube, namespace, image }) =>
  countsObjects(kube, namespace, replicaSets, "count/replicasets.apps", {
    metadata,
    spec: { replicas: 0, selector: selected, template: podTemplate(image, selected.matchLabels) },
  }),
);

conformance("api-machinery-10d31b", "A quota counts ReplicationControllers", ({ kube, namespace, image }) =>
  countsObjects(kube, namespace, replicationControllers, "replicationcontrollers", {
    metadata,
    spec: { replicas: 0, selector: selected.matchLabels, template: podTemplate(image, selected.matchLabels) },
  }),
);

conformance(
  "api-machinery-1984fb",
  "A quota counts Services, their node ports and load balancers",
  async ({ kube, namespace }) => {
    const all = kube.resource(services, namespace);
    const hard = { services: "4", "services.loadbalancers": "1", "services.nodeports": "1" };
    const name = await create(kube, namespace, hard);
    const service = (of: string, type: "ClusterIP" | "NodePort" | "LoadBalancer", more: object = {}) =>
      all.create({ metadata: { name: of }, spec: { type, ports: [{ port: 80 }], ...more } });
    await service("plain", "ClusterIP");
    await service("node-port", "NodePort");
    await counts(kube, namespace, name, {
      services: "2",
      "services.nodeports": "1",
      "services.loadbalancers": "0",
    });
    await expect(service("too-many-ports", "LoadBalancer")).rejects.toMatchObject({ code: 403 });
    await service("balanced", "LoadBalancer", { allocateLoadBalancerNodePorts: false });
    await counts(kube, namespace, name, {
      services: "3",
      "services.nodeports": "1",
      "services.loadbalancers": "1",
    });
    for (const each of ["plain", "node-port", "balanced"]) await all.delete(each);
    await counts(kube, namespace, name, {
      services: "0",
      "services.nodeports": "0",
      "services.loadbalancers": "0",
    });
  },
);

const amounts = (cpu: string, memory: string) => ({ cpu, memory });

function pod(image: string, name: string, resources: object | undefined, more: object = {}) {
  const spec = podSpec(image, more);
  Object.assign(spec.containers![0]!, resources ? { resources } : {});
  return { metadata: { name }, spec };
}

async function end(all: Resource<KubernetesObject>, name: string): Promise<void> {
  await all.delete(name, { gracePeriodSeconds: 0 });
  await all.untilGone(name);
}

conformance(
  "api-machinery-449e45",
  "A quota counts pods and what they ask for",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(pods, namespace);
    const extended = "example.com/dongle";
    const hard = {
      cpu: "1",
      memory: "500Mi",
      "requests.ephemeral-storage": "50Gi",
      [`requests.${extended}`]: "3",
      pods: "5",
    };
    const name = await create(kube, namespace, hard);
    const resources = {
      requests: { cpu: "500m", memory: "252Mi", "ephemeral-storage": "30Gi", [extended]: "2" },
      limits: { [extended]: "2" },
    };
    await all.create(pod(image, "first", resources));
    const used = {
      cpu: "500m",
      memory: "252Mi",
      "requests.ephemeral-storage": "30Gi",
      [`requests.${extended}`]: "2",
      pods: "1",
    };
    await counts(kube, namespace, name, used);
    const tooMuch = { requests: { cpu: "600m", memory: "100Mi", "ephemeral-storage": "1Gi" } };
    await expect(all.create(pod(image, "too-much", tooMuch))).rejects.toMatchObject({ code: 403 });
    const tooManyDongles = { ...resources, requests: { ...resources.requests, cpu: "10m" } };
    await expect(all.create(pod(image, "too-many-dongles", tooManyDongles))).rejects.toMatchObject({
      code: 403,
    });
    const grown = [{ op: "replace", path: "/spec/containers/0/resources/requests/cpu", value: "100m" }];
    await expect(all.patch("first", "json", grown)).rejects.toMatchObject({ code: 422 });
    await counts(kube, namespace, name, used);
    await end(all as never, "first");
    await counts(kube, namespace, name, { cpu: "0", memory: "0", pods: "0", [`requests.${extended}`]: "0" });
  },
);

conformance(
  "api-machinery-6525c4",
  "Quotas tell pods that ask for nothing from those that do",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(pods, namespace);
    const best = await create(kube, namespace, { pods: "5" }, ["BestEffort"]);
    const other = await create(kube, namespace, { pods: "5" }, ["NotBestEffort"]);
    await all.create(pod(image, "best-effort", undefined));
    await counts(kube, namespace, best, { pods: "1" });
    await counts(kube, namespace, other, { pods: "0" });
    await end(all as never, "best-effort");
    await counts(kube, namespace, best, { pods: "0" });
    await all.create(
      pod(image, "burstable", { requests: amounts("10m", "10Mi"), limits: amounts("1", "100Mi") }),
    );
    await counts(kube, namespace, other, { pods: "1" });
    await counts(kube, namespace, best, { pods: "0" });
    await end(all as never, "burstable");
    await counts(kube, namespace, other, { pods: "0" });
  },
);

conformance(
  "api-machinery-3d4252",
  "Quotas tell pods with a deadline from those without",
  async ({ kube, namespace, image }) => {
    const all = kube.resource(pods, namespace);
    const hard = {
      "requests.cpu": "1",
      "requests.memory": "500Mi",
      "limits.cpu": "2",
      "limits.memory": "1Gi",
      pods: "5",
    };
    const ending = await create(kube, namespace, hard, ["Terminating"]);
    const lasting = await create(kube, namespace, hard, ["NotTerminating"]);
    const resources = { requests: amounts("100m", "50Mi"), limits: amounts("200m", "100Mi") };
    const used = {
      pods: "1",
      "requests.cpu": "100m",
      "requests.memory": "50Mi",
      "limits.cpu": "200m",
      "limits.memory": "100Mi",
    };
    const none = { pods: "0", "requests.cpu": "0", "limits.memory": "0" };
    await all.create(pod(image, "lasting", resources));
    await counts(kube, namespace, lasting, used);
    await counts(kube, namespace, ending, none);
    await end(all as never, "lasting");
    await counts(kube, namespace, lasting, none);
    await all.create(pod(image, "ending", resources, { activeDeadlineSeconds: 3600 }));
    await counts(kube, namespace, ending, used);
    await counts(kube, namespace, lasting, none);
    await end(all as never, "ending");
    await counts(kube, namespace, ending, none);
  },
);

conformance("api-machinery-7b2c3d", "A quota is updated and deleted", async ({ kube, namespace }) => {
  const all = kube.resource(resourceQuotas, namespace);
  await all.create({ metadata: { name: "quota" }, spec: { hard: amounts("1", "500Mi") } });
  await all.update("quota", (quota) => {
    quota.spec = { hard: amounts("2", "1Gi") };
  });
  const updated = await all.until("quota", ({ status }) => status?.hard?.cpu === "2");
  expect(updated.status?.hard).toEqual(amounts("2", "1Gi"));
  await all.delete("quota");
  await all.untilGone("quota");
});

conformance(
  "api-machinery-985853",
  "A quota lives through the verbs of its API",
  async ({ kube, namespace }) => {
    const all = kube.resource(resourceQuotas, namespace);
    const labels = { life: namespace };
    await all.create({ metadata: { name: "quota", labels }, spec: { hard: amounts("1", "500Mi") } });
    const everywhere = await kube.resource(resourceQuotas).list({ labelSelector: `life=${namespace}` });
    expect(everywhere.items).toHaveLength(1);
    const patch = { metadata: { labels: { patched: "yes" } }, spec: { hard: { memory: "750Mi" } } };
    const patched = await all.patch("quota", "strategic", patch);
    expect(patched.metadata.labels).toEqual({ ...labels, patched: "yes" });
    expect(patched.spec?.hard).toEqual(amounts("1", "750Mi"));
    await all.deleteCollection({ labelSelector: "patched=yes" });
    await all.untilGone("quota");
  },
);

conformance(
  "api-machinery-4f6c92",
  "The status of a quota is written by itself",
  async ({ kube, namespace }) => {
    const all = kube.resource(resourceQuotas, namespace);
    await all.create({ metadata: { name: "quota" }, spec: { hard: amounts("500m", "500Mi") } });
    await all.until("quota", ({ status }) => status?.hard?.cpu === "500m");
    using watched = await all.watch();
    await all.update(
      "quota",
      (quota) => {
        quota.status = { hard: amounts("501m", "501Mi") };
      },
      "status",
    );
    // The controller takes it back: the specification decides.
    await watched.next("MODIFIED", (quota) => quota.status?.hard?.cpu === "501m");
    await all.until("quota", ({ status }) => status?.hard?.cpu === "500m");
    await all.patch("quota", "merge", { spec: { hard: amounts("1", "1Gi") } });
    const settled = await all.until("quota", ({ status }) => status?.hard?.cpu === "1");
    expect((await all.get("quota", "status")).status?.hard).toEqual(settled.spec?.hard);
    const status = { hard: amounts("2", "2Gi") };
    const patched = await all.patch(
      "quota",
      "merge",
      { spec: { hard: amounts("9", "9Gi") }, status },
      "status",
    );
    expect(patched.status?.hard).toEqual(status.hard);
    expect(patched.spec?.hard).toEqual(amounts("1", "1Gi"));
    await all.until("quota", (quota) => quota.status?.hard?.cpu === "1");
  },
);
