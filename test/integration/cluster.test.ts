/** The embedded cluster as its users have it: several at once, a stock client over its socket, nothing left over. */
import { AppsV1Api, CoreV1Api, KubeConfig } from "@kubernetes/client-node";
import { expect, test } from "vitest";
import { configMaps, deployments, isStatus, namespaces, pods } from "#api";
import { systemClock } from "#base";
import { Cluster } from "#distro";

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: web:1}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
`;

async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  const deadline = systemClock.monotonic() + 20_000;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (systemClock.monotonic() > deadline) throw new Error("it did not come about");
    await systemClock.sleep(20);
  }
}

test("apply, and the whole control plane does its part", async () => {
  await using cluster = await Cluster.start({ listen: false });
  const applied = await cluster.apply(web);
  expect(applied.map((object) => object.kind)).toEqual(["Deployment", "Service"]);
  const ready = await eventually(async () => {
    const deployment = await cluster.client.get(deployments, { namespace: "default", name: "web" });
    return deployment.status.readyReplicas === 2 ? deployment : undefined;
  });
  expect(ready.status.conditions?.find((c) => c.type === "Available")?.status).toBe("True");
  await cluster.apply(web.replace("replicas: 2", "replicas: 3"));
  await eventually(async () => {
    const { items } = await cluster.client.list(pods, {
      namespace: "default",
      fieldSelector: "status.phase=Running",
    });
    return items.length === 3 ? true : undefined;
  });
});

test("a stock client reaches it through its kubeconfig", async () => {
  await using cluster = await Cluster.start();
  const config = new KubeConfig();
  config.loadFromString(cluster.kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  await core.createNamespacedConfigMap({
    namespace: "default",
    body: { metadata: { name: "stock" }, data: { cargo: "real" } },
  });
  expect((await core.readNamespacedConfigMap({ namespace: "default", name: "stock" })).data).toEqual({
    cargo: "real",
  });
  await cluster.apply(web);
  const list = await config.makeApiClient(AppsV1Api).listNamespacedDeployment({ namespace: "default" });
  expect(list.items[0]?.spec?.replicas).toBe(2);
  await expect(core.readNamespacedPod({ namespace: "default", name: "none" })).rejects.toMatchObject({
    code: 404,
  });
});

test("clusters in one process know nothing of each other", async () => {
  const clusters = await Promise.all([Cluster.start({ name: "a" }), Cluster.start({ name: "b", nodes: 3 })]);
  const [a, b] = clusters as [Cluster, Cluster];
  await a.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: only-a}\n");
  await expect(b.client.get(configMaps, { namespace: "default", name: "only-a" })).rejects.toSatisfy(
    (error) => isStatus(error, "NotFound"),
  );
  expect(a.url).not.toBe(b.url);
  await a.stop();
  expect((await b.client.list(namespaces)).items.length).toBeGreaterThanOrEqual(4);
  await b.stop();
});

test("stop leaves no handle open", async () => {
  const handles = () => process.getActiveResourcesInfo().sort();
  const warm = await Cluster.start();
  await warm.stop();
  const before = handles();
  const cluster = await Cluster.start();
  await cluster.apply(web);
  await cluster.stop();
  await eventually(async () => (handles().length <= before.length ? true : undefined));
});

test("what cannot be applied is refused with Kubernetes' own Status", async () => {
  await using cluster = await Cluster.start({ listen: false });
  await expect(cluster.apply("a: [")).rejects.toThrow("error parsing YAML");
  await expect(cluster.apply("apiVersion: v1\nkind: Nothing\nmetadata: {name: a}")).rejects.toThrow(
    'no matches for kind "Nothing" in version "v1"',
  );
  await expect(
    cluster.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name}"),
  ).rejects.toMatchObject({
    code: 422,
  });
});
