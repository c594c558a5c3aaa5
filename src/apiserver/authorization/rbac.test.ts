import { generateKeyPairSync, sign } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  clusterRoleBindings,
  clusterRoles,
  namespaces,
  nodes,
  persistentVolumeClaims,
  persistentVolumes,
  pods,
  roleBindings,
  roles,
  serviceAccounts,
} from "#api";
import { createClient, readText } from "#client";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
const rbac = "rbac.authorization.k8s.io";
const jane = { username: "jane", groups: ["dev"] };

beforeAll(async () => {
  server = await startTestServer({ components: [{ name: "some-controller", rules: [] }] });
  for (const name of ["default", "other"])
    await server.client.create(namespaces, { metadata: { name } }).catch(() => {});
  await server.client.create(serviceAccounts, { metadata: { name: "default", namespace: "default" } });
});
afterAll(() => server.stop());

async function ask(
  user: { username: string; groups: string[] },
  method: "GET" | "POST" | "PUT",
  path: string,
  body?: object,
) {
  const bytes = body ? { body: Buffer.from(JSON.stringify(body)) } : {};
  const response = await server.api.transport(user).send({ method, path, headers: {}, ...bytes });
  return { status: response.status, text: await readText(response.body) };
}

const messageOf = (text: string) => (JSON.parse(text) as { message: string }).message;

describe("a user without a role", () => {
  it.each([
    [
      "GET",
      "/api/v1/pods",
      'pods is forbidden: User "jane" cannot list resource "pods" in API group "" at the cluster scope',
    ],
    [
      "GET",
      "/apis/apps/v1/namespaces/default/deployments/web/scale",
      'deployments.apps "web" is forbidden: User "jane" cannot get resource "deployments/scale" in API group "apps" in the namespace "default"',
    ],
    [
      "GET",
      "/api/v1/namespaces/default",
      'namespaces "default" is forbidden: User "jane" cannot get resource "namespaces" in API group "" in the namespace "default"',
    ],
    ["GET", "/metrics", 'forbidden: User "jane" cannot get path "/metrics"'],
    [
      "POST",
      "/api/v1/namespaces/default/pods/a/exec",
      'pods "a" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "default"',
    ],
  ] as const)("%s %s is refused in upstream's words", async (method, path, message) => {
    const answer = await ask(jane, method, path);
    expect([answer.status, messageOf(answer.text)]).toEqual([403, message]);
  });

  it("may find out what there is, and about itself", async () => {
    expect((await ask(jane, "GET", "/apis")).status).toBe(200);
    expect((await ask(jane, "GET", "/openapi/v3")).status).toBe(200);
    const review = await ask(jane, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {});
    expect(review.status).toBe(201);
  });
});

describe("roles", () => {
  it("count as soon as they are bound, and no longer than that", async () => {
    const bob = { username: "bob", groups: [] };
    const path = "/api/v1/namespaces/default/pods";
    const roleRef = { apiGroup: rbac, kind: "Role", name: "reader" };
    const subjects = [{ apiGroup: rbac, kind: "User", name: "bob" }];
    const metadata = { namespace: "default", name: "reader" };
    await server.client.create(roleBindings, { metadata, roleRef, subjects });
    const missing = await ask(bob, "GET", path);
    expect(messageOf(missing.text)).toContain(': RBAC: role.rbac.authorization.k8s.io "reader" not found');
    await server.client.create(roles, {
      metadata,
      rules: [{ verbs: ["list"], apiGroups: [""], resources: ["pods"] }],
    });
    expect((await ask(bob, "GET", path)).status).toBe(200);
    expect((await ask(bob, "GET", "/api/v1/namespaces/other/pods")).status).toBe(403);
    expect((await ask(bob, "GET", `${path}?watch=true`)).status).toBe(403);
    await server.client.delete(roleBindings, metadata);
    expect((await ask(bob, "GET", path)).status).toBe(403);
  });

  it("of one name allow lists that are cut down to it", async () => {
    const carol = { username: "carol", groups: ["ops"] };
    const rules = [{ verbs: ["get", "list"], apiGroups: [""], resources: ["nodes"], resourceNames: ["n1"] }];
    await server.client.create(clusterRoles, { metadata: { name: "one-node" }, rules });
    const subjects = [{ apiGroup: rbac, kind: "Group", name: "ops" }];
    const roleRef = { apiGroup: rbac, kind: "ClusterRole", name: "one-node" };
    await server.client.create(clusterRoleBindings, { metadata: { name: "one-node" }, roleRef, subjects });
    expect((await ask(carol, "GET", "/api/v1/nodes")).status).toBe(403);
    expect((await ask(carol, "GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dn1")).status).toBe(200);
  });

  it("of components stand under their names", async () => {
    const binding = await server.client.get(clusterRoleBindings, {
      name: "system:controller:some-controller",
    });
    expect(binding.subjects).toEqual([
      { kind: "ServiceAccount", name: "some-controller", namespace: "kube-system" },
    ]);
    expect(binding.metadata.labels).toEqual({ "kubernetes.io/bootstrapping": "rbac-defaults" });
  });
});

describe("nobody hands out what they do not have", () => {
  const path = `/apis/${rbac}/v1/namespaces/default/roles`;
  const dave = { username: "dave", groups: ["lead"] };
  const rule = (verbs: string[]) => ({ verbs, apiGroups: [""], resources: ["pods"] });

  beforeAll(async () => {
    const rules = [
      { verbs: ["create", "update"], apiGroups: [rbac], resources: ["roles", "rolebindings"] },
      rule(["get"]),
    ];
    await server.client.create(roles, { metadata: { namespace: "default", name: "lead" }, rules });
    const subjects = [{ apiGroup: rbac, kind: "Group", name: "lead" }];
    const roleRef = { apiGroup: rbac, kind: "Role", name: "lead" };
    await server.client.create(roleBindings, {
      metadata: { namespace: "default", name: "lead" },
      roleRef,
      subjects,
    });
  });

  it("neither by a role", async () => {
    const metadata = { name: "wide" };
    const refused = await ask(dave, "POST", path, { metadata, rules: [rule(["get", "delete", "list"])] });
    expect(messageOf(refused.text)).toBe(
      `roles.rbac.authorization.k8s.io "wide" is forbidden: user "dave" (groups=["lead" "system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["delete" "list"]}`,
    );
    expect((await ask(dave, "POST", path, { metadata, rules: [rule(["get"])] })).status).toBe(201);
  });

  it("nor by a binding", async () => {
    const bindings = path.replace("roles", "rolebindings");
    const subjects = [{ apiGroup: rbac, kind: "User", name: "dave" }];
    const bind = (kind: string, name: string) =>
      ask(dave, "POST", bindings, {
        metadata: { name: `own-${name}` },
        roleRef: { apiGroup: rbac, kind, name },
        subjects,
      });
    expect((await bind("ClusterRole", "cluster-admin")).status).toBe(403);
    expect((await bind("Role", "lead")).status).toBe(201);
    expect((await bind("Role", "absent")).status).toBe(404);
  });
});

describe("a node's agent", () => {
  const agent = { username: "system:node:n1", groups: ["system:nodes"] };
  const at = (resource: string) => `/api/v1/namespaces/default/${resource}`;

  beforeAll(async () => {
    const volumes = [
      { name: "v", secret: { secretName: "needed" } },
      { name: "d", persistentVolumeClaim: { claimName: "disk" } },
    ];
    await server.client.create(persistentVolumes, {
      metadata: { name: "disk" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        capacity: { storage: "1Gi" },
        csi: {
          driver: "x.io",
          volumeHandle: "h",
          nodeStageSecretRef: { namespace: "default", name: "disk-key" },
        },
      },
    });
    await server.client.create(persistentVolumeClaims, {
      metadata: { namespace: "default", name: "disk" },
      spec: {
        accessModes: ["ReadWriteOnce"],
        volumeName: "disk",
        storageClassName: "",
        resources: { requests: { storage: "1Gi" } },
      },
    });
    const spec = { nodeName: "n1", containers: [{ name: "c", image: "i" }], volumes };
    await server.client.create(pods, { metadata: { namespace: "default", name: "own" }, spec });
    await server.client.create(pods, {
      metadata: { namespace: "default", name: "foreign" },
      spec: { ...spec, nodeName: "n2", volumes: [] },
    });
  });

  it.each([
    ["secrets/needed", 404],
    ["secrets/other", 403],
    ["secrets", 403],
    ["secrets?fieldSelector=metadata.name%3Dneeded", 200],
    ["pods/own", 200],
    ["pods/foreign", 403],
    ["pods", 403],
    ["pods?fieldSelector=spec.nodeName%3Dn1", 200],
    ["pods?fieldSelector=spec.nodeName%3Dn2", 403],
    ["serviceaccounts/default", 200],
    ["serviceaccounts/other", 403],
    ["secrets/disk-key", 404],
    ["persistentvolumeclaims/disk", 200],
  ])("reads %s: %i", async (path, status) => {
    expect((await ask(agent, "GET", at(path))).status).toBe(status);
  });

  it("asks for certificates of its own pods only, as whom they run", async () => {
    const node = await server.client.create(nodes, { metadata: { name: "n1" }, spec: {} });
    const account = await server.client.get(serviceAccounts, { namespace: "default", name: "default" });
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const request = async (podName: string, more: object = {}) => {
      const pod = await server.client.get(pods, { namespace: "default", name: podName });
      const podUID = pod.metadata.uid;
      const answer = await ask(
        agent,
        "POST",
        "/apis/certificates.k8s.io/v1beta1/namespaces/default/podcertificaterequests",
        {
          metadata: { generateName: "req-" },
          spec: {
            signerName: "x.io/signer",
            podName,
            podUID,
            serviceAccountName: "default",
            serviceAccountUID: account.metadata.uid,
            nodeName: "n1",
            nodeUID: node.metadata.uid,
            maxExpirationSeconds: 3600,
            pkixPublicKey: publicKey.export({ type: "spki", format: "der" }).toString("base64"),
            proofOfPossession: sign("sha256", Buffer.from(podUID), privateKey).toString("base64"),
            ...more,
          },
        },
      );
      const { message = "" } = JSON.parse(answer.text) as { message?: string };
      return `${answer.status} ${message}`;
    };
    expect(await request("own")).toBe("201 ");
    expect(await request("foreign")).toMatch(/^403 .*is not bound to the requesting node "n1"/);
    expect(await request("own", { nodeName: "n2" })).toContain(
      'PodCertificateRequest.Spec.NodeName="n2", which is not the requesting node "n1"',
    );
    expect(await request("own", { serviceAccountName: "other" })).toContain(
      'contains serviceAccountName ("other") that differs from running pod ("default")',
    );
    expect(await request("own", { serviceAccountUID: "x" })).toMatch(/^403 .*names service account UID "x"/);
    expect(await request("own", { nodeUID: "x" })).toMatch(/^403 .*names node UID "x"/);
    await server.client.delete(nodes, { name: "n1" });
  });

  it("writes the status of its own node and pods only", async () => {
    const client = createClient(server.api.transport(agent));
    const status = { status: { phase: "Running" } };
    await client.patch(pods, { namespace: "default", name: "own" }, "merge", status, {
      subresource: "status",
    });
    await expect(
      client.patch(pods, { namespace: "default", name: "foreign" }, "merge", status, {
        subresource: "status",
      }),
    ).rejects.toThrow('node "n1" can only update status for pods with spec.nodeName set to itself');
    const node = (name: string) => ask(agent, "POST", "/api/v1/nodes", { metadata: { name } });
    expect((await node("n2")).status).toBe(403);
    expect((await node("n1")).status).toBe(201);
  });
});
