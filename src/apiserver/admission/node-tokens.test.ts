import { afterAll, beforeAll, expect, test } from "vitest";
import {
  clusterRoleBindings,
  clusterRoles,
  type corev1,
  csiDrivers,
  namespaces,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  serviceAccounts,
} from "#api";
import { createClient } from "#client";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
const node = "system:node:n1";
const robot = { namespace: "default", name: "robot" };

beforeAll(async () => {
  server = await startTestServer();
  const { client } = server;
  await client.create(namespaces, { metadata: { name: "default" } }).catch(() => {});
  await client.create(serviceAccounts, { metadata: robot });
  const tokenRequests = [{ audience: "disk-vault" }];
  await client.create(csiDrivers, { metadata: { name: "disks.example.com" }, spec: { tokenRequests } });
  const size = { storage: "1Gi" };
  const accessModes = ["ReadWriteOnce" as const];
  await client.create(persistentVolumes, {
    metadata: { name: "disk" },
    spec: { accessModes, capacity: size, csi: { driver: "disks.example.com", volumeHandle: "1" } },
  });
  for (const name of ["claim", "disk-2-data"])
    await client.create(persistentVolumeClaims, {
      metadata: { namespace: "default", name },
      spec: { accessModes, resources: { requests: size }, volumeName: "disk", storageClassName: "" },
    });
});
afterAll(() => server.stop());

async function podWith(name: string, volumes: corev1.Volume[], nodeName = "n1"): Promise<corev1.Pod> {
  return server.client.create(pods, {
    metadata: { namespace: "default", name },
    spec: {
      nodeName,
      serviceAccountName: "robot",
      automountServiceAccountToken: false,
      containers: [{ name: "main", image: "web" }],
      volumes,
    },
  });
}

const ask = (pod: corev1.Pod | undefined, audiences: string[], uid = pod?.metadata.uid) => {
  const client = createClient(
    server.api.transport({ username: node, groups: ["system:nodes", "system:authenticated"] }),
  );
  const boundObjectRef = pod ? { apiVersion: "v1", kind: "Pod", name: pod.metadata.name, uid } : undefined;
  const request = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { audiences, boundObjectRef },
  };
  return client.post<{ status: { token: string } }>(serviceAccounts, robot, "token", request).then(
    ({ status }) => (status.token ? "given" : "empty"),
    ({ message }: Error) => message.replace('serviceaccounts "robot" is forbidden: ', ""),
  );
};

test("a node gets tokens for what a volume of the pod speaks to", async () => {
  const pod = await podWith("web", [
    { name: "vault", projected: { sources: [{ serviceAccountToken: { audience: "vault", path: "t" } }] } },
  ]);
  expect(await ask(pod, ["vault"])).toBe("given");
  const refused = (audience: string) =>
    `audience "${audience}" not found in pod spec volume, ${node} is not authorized to request tokens for this audience`;
  expect(await ask(pod, ["bank"])).toBe(refused("bank"));
  expect(await ask(pod, [])).toBe(refused(""));
  expect(await ask(pod, ["vault", "bank"])).toBe("node may only request 0 or 1 audiences");
  expect(await ask(pod, ["disk-vault"])).toBe(refused("disk-vault"));
  const resources = { requests: { storage: "1Gi" } };
  const template = { spec: { accessModes: ["ReadWriteOnce" as const], resources } };
  const volumes: corev1.Volume[] = [
    { name: "data", csi: { driver: "disks.example.com" } },
    { name: "data", persistentVolumeClaim: { claimName: "claim" } },
    { name: "data", ephemeral: { volumeClaimTemplate: template } },
  ];
  for (const [i, volume] of volumes.entries())
    expect(await ask(await podWith(`disk-${i}`, [volume]), ["disk-vault"])).toBe("given");
});

test("a token of a node is a pod's of its own", async () => {
  const here = await podWith("here", []);
  const there = await podWith("there", [], "n2");
  expect(await ask(undefined, [])).toBe("node requested token not bound to a pod");
  expect(await ask(here, [], "")).toBe("node requested token with a pod binding without a uid");
  expect(await ask(here, [], "other")).toBe(
    "the UID in the bound object reference (other) does not match the UID in record. The object might have been deleted and then recreated",
  );
  expect(await ask(there, [])).toBe("node requested token bound to a pod scheduled on a different node");
  const gone = { ...here, metadata: { ...here.metadata, name: "gone" } };
  expect(await ask(gone, [])).toBe('pods "gone" not found');
});

test("who may ask for an audience gets it", async () => {
  const pod = await podWith("pulls", []);
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: "registry" };
  await server.client.create(clusterRoles, {
    metadata: { name: "registry" },
    rules: [
      { apiGroups: [""], resources: ["registry.io"], verbs: ["request-serviceaccounts-token-audience"] },
    ],
  });
  const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "Group", name: "system:nodes" }];
  await server.client.create(clusterRoleBindings, { metadata: { name: "registry" }, roleRef, subjects });
  expect(await ask(pod, ["registry.io"])).toBe("given");
  expect(await ask(pod, ["other.io"])).toContain("not found in pod spec volume");
});
