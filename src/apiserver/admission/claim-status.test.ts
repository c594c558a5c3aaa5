import { afterAll, beforeAll, expect, test } from "vitest";
import { clusterRoleBindings, clusterRoles, resourceClaims, type resourcev1 } from "#api";
import { createClient } from "#client";
import { startTestServer, type TestServer } from "../testing/start.ts";
import type { User } from "../user.ts";
import { changedDrivers } from "./claim-status.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  await grant("drivers", "system:serviceaccount:kube-system:driver", [
    ["resourceclaims/status", ["get", "patch", "update"]],
    ["resourceclaims/driver", ["associated-node:update"], ["toys.example.com"]],
  ]);
  await grant("controllers", "controller", [
    ["resourceclaims/status", ["get", "patch", "update"]],
    ["resourceclaims/driver", ["arbitrary-node:patch"]],
  ]);
  await grant("binders", "binder", [
    ["resourceclaims/status", ["get", "patch", "update"]],
    ["resourceclaims/binding", ["update"]],
  ]);
});
afterAll(() => server.stop());

async function grant(name: string, user: string, rules: [string, string[], string[]?][]): Promise<void> {
  await server.client.create(clusterRoles, {
    metadata: { name },
    rules: rules.map(([resource, verbs, resourceNames]) => ({
      apiGroups: ["resource.k8s.io"],
      resources: [resource],
      verbs,
      ...(resourceNames ? { resourceNames } : {}),
    })),
  });
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name };
  const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }];
  await server.client.create(clusterRoleBindings, { metadata: { name }, roleRef, subjects });
}

const clientOf = (username: string, extra: User["extra"] = {}) =>
  createClient(server.api.transport({ username, groups: ["system:authenticated"], extra }));
const driverOn = (node: string) =>
  clientOf("system:serviceaccount:kube-system:driver", { "authentication.kubernetes.io/node-name": [node] });

const device = (driver: string, name = "drum") => ({ driver, pool: "p", device: name });
const field = { key: "metadata.name", operator: "In" as const, values: ["n1"] };
const allocation = {
  devices: { results: [{ request: "toy", ...device("toys.example.com") }] },
  nodeSelector: { nodeSelectorTerms: [{ matchFields: [field] }] },
};

async function allocated(name: string) {
  const reference = { namespace: "default", name };
  const requests = [{ name: "toy", exactly: { deviceClassName: "toys" } }];
  await server.client.create(resourceClaims, { metadata: reference, spec: { devices: { requests } } });
  await server.client.patch(
    resourceClaims,
    reference,
    "merge",
    { status: { allocation } },
    { subresource: "status" },
  );
  const write = (client: TestServer["client"], status: object) =>
    client.patch(resourceClaims, reference, "merge", { status }, { subresource: "status" });
  return write;
}

test("what is told of a device is its driver's, on its own node", async () => {
  const write = await allocated("told");
  const devices = [{ ...device("toys.example.com"), data: { tuned: true } }];
  await expect(write(driverOn("n2"), { devices })).rejects.toThrow(
    'status.devices: Forbidden: changing status.devices requires extra permission: resourceclaims.resource.k8s.io "toys.example.com" is forbidden: User "system:serviceaccount:kube-system:driver" cannot arbitrary-node:update resource "resourceclaims/driver" in API group "resource.k8s.io" in the namespace "default"',
  );
  await expect(write(clientOf("binder"), { devices })).rejects.toThrow("changing status.devices requires");
  await write(driverOn("n1"), { devices });
  await write(clientOf("controller"), { devices: null });
});

test("the binding is for those who bind, and takes along what was told", async () => {
  const write = await allocated("bound");
  const reservedFor = [{ resource: "pods", name: "p", uid: "u" }];
  await expect(write(driverOn("n1"), { reservedFor })).rejects.toThrow(
    'status: Forbidden: changing status.allocation or status.reservedFor requires extra permission: resourceclaims.resource.k8s.io is forbidden: User "system:serviceaccount:kube-system:driver" cannot update resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope',
  );
  await write(driverOn("n1"), { devices: [device("toys.example.com")] });
  const { status } = await write(clientOf("binder"), { allocation: null });
  expect(status).not.toHaveProperty("devices");
});

test("drivers of what was added, changed or taken away", () => {
  const status = (...devices: resourcev1.AllocatedDeviceStatus[]) => ({
    allocation: {
      devices: { results: ["a", "b", "c", "d"].map((driver) => ({ request: "r", ...device(driver) })) },
    },
    devices,
  });
  const [a, b, c, d] = ["a", "b", "c", "d"].map((driver) =>
    device(driver),
  ) as resourcev1.AllocatedDeviceStatus[];
  const changed = { ...a!, networkData: { interfaceName: "eth0" } };
  expect(changedDrivers(status(changed, b!, c!), status(a!, b!, d!))).toEqual(["a", "c", "d"]);
  expect(changedDrivers(status(b!), status(b!))).toEqual([]);
  expect(changedDrivers({}, status(a!))).toEqual([]);
});
