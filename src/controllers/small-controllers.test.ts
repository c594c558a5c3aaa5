/** Controllers of a page each: what they do, once. */
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import {
  events,
  formatTime,
  nodes,
  persistentVolumeClaims,
  podGroups,
  pods,
  resourceQuotas,
  secrets,
  serviceAccounts,
  serviceCidrs,
  services,
  storageVersionMigrations,
  validatingAdmissionPolicies,
} from "#api";
import { admissionPolicyStatusController } from "./admission-policy-status.ts";
import { testWorld } from "./kit/world.fixture.ts";
import { serviceCidrController } from "./network/service-cidr.ts";
import { ttlController, ttlFor } from "./node/ttl.ts";
import { podGroupProtectionController } from "./pod-group-protection.ts";
import { resourceQuotaController } from "./resource-quota.ts";
import { serviceAccountTokenController } from "./service-account-token.ts";
import { storageVersionMigrationController } from "./storage-version-migration.ts";
import { tokenCleanerController } from "./token-cleaner.ts";
import { volumeExpandController } from "./volumes/expand.ts";

async function worldWith(name: string) {
  const world = testWorld();
  const running = await world.run(name);
  return { ...world, settle: (ms = 1_000) => world.clock.advance(ms), end: () => running.stop() };
}

test("the larger the cluster, the longer kubelets remember; about a boundary nothing changes", async () => {
  expect([0, 100, 101, 500, 1500, 20_000].map((count) => ttlFor(count, undefined))).toEqual([
    0, 0, 15, 15, 60, 600,
  ]);
  expect([ttlFor(95, 15), ttlFor(89, 15), ttlFor(100, 0), ttlFor(101, 0)]).toEqual([15, 0, 0, 15]);
  const world = await worldWith(ttlController.name);
  await world.create(nodes, { metadata: { name: "n" }, spec: {} });
  await world.settle();
  const node = await world.client.get(nodes, { name: "n" });
  expect(node.metadata.annotations).toEqual({ "node.alpha.kubernetes.io/ttl": "0" });
  await world.end();
});

test("a bootstrap token goes when its time has come, others stay", async () => {
  const world = await worldWith(tokenCleanerController.name);
  const token = (name: string, expiration: string, type = "bootstrap.kubernetes.io/token") =>
    world.create(secrets, {
      metadata: { namespace: "kube-system", name },
      type,
      data: { expiration: Buffer.from(expiration).toString("base64") },
    });
  await token("soon", formatTime(world.clock.now() + 7_200_000));
  await token("unreadable", "tomorrow");
  await token("other", formatTime(world.clock.now() - 1_000), "Opaque");
  await world.settle();
  const names = async () =>
    (await world.client.list(secrets, { namespace: "kube-system" })).items.map(
      ({ metadata }) => metadata.name,
    );
  expect((await names()).sort()).toEqual(["other", "soon"]);
  await world.settle(7_300_000);
  expect(await names()).toEqual(["other"]);
  await world.end();
});

test("a Secret that asks for a token is filled, and goes with its account", async () => {
  const world = await worldWith(serviceAccountTokenController.name);
  const send = world.api.send.bind(world.api);
  const asked: unknown[] = [];
  world.api.send = async (request) => {
    if (!request.path.endsWith("/token")) return send(request);
    asked.push(JSON.parse(Buffer.from(request.body!).toString()).spec.boundObjectRef);
    const body = Buffer.from(JSON.stringify({ status: { token: "t0ken" } }));
    return { status: 201, headers: {}, body: Readable.from([body]) };
  };
  const annotations = { "kubernetes.io/service-account.name": "robot" };
  const account = await world.create(serviceAccounts, { metadata: { namespace: "default", name: "robot" } });
  const secret = await world.create(secrets, {
    metadata: { namespace: "default", name: "robot-token", annotations },
    type: "kubernetes.io/service-account-token",
  });
  await world.settle();
  const filled = await world.client.get(secrets, secret.metadata);
  expect(filled.metadata.annotations?.["kubernetes.io/service-account.uid"]).toBe(account.metadata.uid);
  const data = Object.entries(filled.data ?? {}).map(([key, value]) => [
    key,
    Buffer.from(value, "base64").toString(),
  ]);
  expect(Object.fromEntries(data)).toEqual({
    "ca.crt": "-----PEM-----",
    namespace: "default",
    token: "t0ken",
  });
  expect(asked).toEqual([
    { apiVersion: "v1", kind: "Secret", name: "robot-token", uid: secret.metadata.uid },
  ]);
  await world.client.delete(serviceAccounts, account.metadata);
  await world.settle();
  await expect(world.client.get(secrets, secret.metadata)).rejects.toThrow("not found");
  await world.end();
});

test("a migration writes every object again, and tells how it went", async () => {
  const world = await worldWith(storageVersionMigrationController.name);
  for (const name of ["a", "b"]) await world.create(secrets, { metadata: { namespace: "default", name } });
  world.api.writes.length = 0;
  const migrate = (name: string, resource: string) =>
    world.create(storageVersionMigrations, {
      metadata: { name },
      spec: { resource: { group: "", resource } },
    });
  await migrate("good", "secrets");
  await migrate("bad", "nothings");
  await world.settle();
  expect(world.api.writes.filter((write) => write === "PATCH secrets")).toHaveLength(2);
  const conditionsOf = async (name: string) =>
    (await world.client.get(storageVersionMigrations, { name })).status?.conditions?.map(
      ({ type, status, reason }) => [type, status, reason],
    );
  expect(await conditionsOf("good")).toEqual([
    ["Running", "False", "StorageVersionMigrationInProgress"],
    ["Succeeded", "True", "StorageVersionMigrationSucceeded"],
  ]);
  expect(await conditionsOf("bad")).toEqual([["Failed", "True", "StorageVersionMigrationFailed"]]);
  await world.end();
});

test("a quota's count waits for objects that were charged and are not seen yet", async () => {
  const world = await worldWith(resourceQuotaController.name);
  const ref = { namespace: "default", name: "few" };
  await world.create(resourceQuotas, { metadata: ref, spec: { hard: { pods: "2" } } });
  await world.settle();
  const usedNow = async () => (await world.client.get(resourceQuotas, ref)).status?.used;
  expect(await usedNow()).toEqual({ pods: "0" });
  // The controller's view of pods stands still while one is charged and made.
  world.api.fault = ({ method, path }) =>
    method === "GET" && path.includes("pods?") && path.includes("watch=true")
      ? new Error("no news")
      : undefined;
  world.api.dropWatches();
  const status = { hard: { pods: "2" }, used: { pods: "1" } };
  await world.client.patch(resourceQuotas, ref, "merge", { status }, { subresource: "status" });
  await world.create(pods, { metadata: { namespace: "default", name: "p" }, spec: { containers: [] } });
  await world.settle(5_000);
  expect(await usedNow()).toEqual({ pods: "1" });
  world.api.fault = undefined;
  await world.settle(60_000);
  await world.client.delete(pods, { namespace: "default", name: "p" }, { gracePeriodSeconds: 0 });
  await world.settle(5_000);
  expect(await usedNow()).toEqual({ pods: "0" });
  await world.end();
});

test("the status of an admission policy follows its generation", async () => {
  const world = await worldWith(admissionPolicyStatusController.name);
  const validations = [{ expression: "true" }];
  await world.create(validatingAdmissionPolicies, { metadata: { name: "p" }, spec: { validations } });
  await world.settle();
  const ref = { name: "p" };
  expect((await world.client.get(validatingAdmissionPolicies, ref)).status?.observedGeneration).toBe(1);
  await world.client.patch(validatingAdmissionPolicies, ref, "merge", { spec: { failurePolicy: "Ignore" } });
  await world.settle();
  expect((await world.client.get(validatingAdmissionPolicies, ref)).status).toEqual({
    observedGeneration: 2,
    typeChecking: {},
  });
  await world.end();
});

test("a claim that asks for more is told, once for each size, who is waited for", async () => {
  const world = await worldWith(volumeExpandController.name);
  await world.create(persistentVolumeClaims, {
    metadata: { namespace: "default", name: "data" },
    spec: { resources: { requests: { storage: "2Gi" } } },
    status: { phase: "Bound", capacity: { storage: "1Gi" } },
  });
  await world.settle();
  await world.end();
  const [told, ...more] = (await world.client.list(events, { namespace: "default" })).items;
  expect(more).toEqual([]);
  expect([told?.reason, told?.type]).toEqual(["ExternalExpanding", "Normal"]);
});

test("a ServiceCIDR is ready, and stays while a Service has an address that no other one has", async () => {
  const world = await worldWith(serviceCidrController.name);
  await world.create(serviceCidrs, {
    metadata: { name: "c" },
    spec: { cidrs: ["10.9.0.0/16", "fd00:9::/64"] },
  });
  await world.create(services, {
    metadata: { namespace: "default", name: "web" },
    spec: { clusterIP: "10.9.1.1", clusterIPs: ["10.9.1.1"] },
  });
  await world.settle();
  const ref = { name: "c" };
  const found = await world.client.get(serviceCidrs, ref);
  expect(found.metadata.finalizers).toEqual(["networking.k8s.io/service-cidr-finalizer"]);
  expect(found.status?.conditions).toMatchObject([{ type: "Ready", status: "True" }]);
  await world.client.delete(serviceCidrs, ref);
  await world.settle(20_000);
  expect((await world.client.get(serviceCidrs, ref)).status?.conditions).toMatchObject([
    { type: "Ready", status: "False", reason: "Terminating" },
  ]);
  await world.client.delete(services, { namespace: "default", name: "web" });
  await world.settle(20_000);
  await expect(world.client.get(serviceCidrs, ref)).rejects.toThrow("not found");
  await world.end();
});

test("a PodGroup stays until the last of its pods has ended", async () => {
  const world = await worldWith(podGroupProtectionController.name);
  const ref = { namespace: "default", name: "g" };
  await world.create(podGroups, { metadata: ref, spec: { schedulingPolicy: { basic: {} } } });
  const finalizers = async () => (await world.client.get(podGroups, ref)).metadata.finalizers;
  await world.settle();
  expect(await finalizers()).toBeUndefined();
  const spec = { schedulingGroup: { podGroupName: "g" }, containers: [{ name: "c", image: "x" }] };
  for (const name of ["p1", "p2"])
    await world.create(pods, { metadata: { namespace: "default", name }, spec });
  await world.settle();
  expect(await finalizers()).toEqual(["scheduling.k8s.io/podgroup-protection"]);
  await world.client.delete(podGroups, ref);
  await world.client.delete(pods, { namespace: "default", name: "p1" });
  await world.settle();
  expect(await finalizers()).toHaveLength(1);
  const status = { phase: "Succeeded" };
  await world.client.patch(
    pods,
    { namespace: "default", name: "p2" },
    "merge",
    { status },
    { subresource: "status" },
  );
  await world.settle();
  expect((await world.client.list(podGroups)).items).toEqual([]);
  await world.end();
});
