/** What a server does about some kinds beyond keeping them. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "./testing/start.ts";

/** Of a key on P-256, made with openssl. */
const signingRequest =
  "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIZE1JR0RBZ0VBTUNFeEVEQU9CZ05WQkFNTUIzTnZiV1Z2Ym1VeERUQUxCZ05WQkFvTUJIUmxZVzB3V1RBVApCZ2NxaGtqT1BRSUJCZ2dxaGtqT1BRTUJCd05DQUFTUXlPM2hZZmxaSXZmV2c0VmUyZ1oyelpXRDlBRnoxLyt0Cldoa1FtNGFTNzNnN3hqd2FaQmhTZFZ2UWFQcCtMSWpnQzJQelA0TGRzaFpneklJak0vb1hvQUF3Q2dZSUtvWkkKemowRUF3SURTUUF3UmdJaEFNODh4aWs2eElJM1BESHNsWDg3bG11Y1NRbm9hdzFQUDBvaTJQY2xPZ1FWQWlFQQprODlIV3lCRldXSkd0NTFka21Rak9GVGtpRkdiTmtGWC85SGc4VnMzTXVvPQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const pod = (name: string, cpu = "100m") => ({
  metadata: { name },
  spec: {
    containers: [{ name: "app", image: "app", resources: { requests: { cpu, memory: "64Mi" } } }],
    automountServiceAccountToken: false,
  },
});
const podPath = (name: string) => `/api/v1/namespaces/default/pods/${name}`;

async function createPod(name: string): Promise<void> {
  await server.send("POST", "/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "default" } });
  const answer = await server.send("POST", "/api/v1/namespaces/default/pods", pod(name));
  expect(answer.status, answer.body.message).toBe(201);
}

function merge(path: string, patch: unknown) {
  return server.send("PATCH", path, patch, { "content-type": "application/strategic-merge-patch+json" });
}

function resources(requests: Record<string, string>, more: Record<string, unknown> = {}) {
  return { spec: { containers: [{ name: "app", resources: { requests }, ...more }] } };
}

test("a running pod is given other amounts of CPU and memory, and nothing else", async () => {
  await createPod("resized");
  const path = `${podPath("resized")}/resize`;
  const done = await merge(path, resources({ cpu: "200m" }, { image: "other" }));
  expect(done.status, done.body.message).toBe(200);
  expect(done.body).toMatchObject({
    metadata: { generation: 2 },
    spec: { containers: [{ image: "app", resources: { requests: { cpu: "200m", memory: "64Mi" } } }] },
  });
  const storage = await merge(path, resources({ "ephemeral-storage": "1Gi" }));
  expect(storage.status).toBe(422);
  expect(storage.body.message).toContain("only cpu and memory resources are mutable");
  const removed = await merge(path, {
    spec: { containers: [{ name: "app", resources: { requests: { cpu: null } } }] },
  });
  expect(removed.body.message).toContain(
    "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
  );
  const guaranteed = await merge(
    path,
    resources({}, { resources: { limits: { cpu: "200m", memory: "64Mi" } } }),
  );
  expect(guaranteed.body.message).toContain("Pod QOS Class may not change as a result of resizing");
});

test("ephemeral containers come in by their own path alone", async () => {
  await createPod("debugged");
  const ephemeralContainers = [{ name: "look", image: "tools", targetContainerName: "app" }];
  const wrong = await merge(podPath("debugged"), { spec: { ephemeralContainers } });
  expect(wrong.status).toBe(422);
  const path = `${podPath("debugged")}/ephemeralcontainers`;
  const done = await merge(path, { spec: { ephemeralContainers } });
  expect(done.status, done.body.message).toBe(200);
  const changed = await merge(path, { spec: { ephemeralContainers: [{ name: "look", image: "others" }] } });
  expect(changed.body.message).toContain('existing ephemeral containers "look" may not be changed');
});

test("a Binding of its own gives a pod its node", async () => {
  await createPod("bound");
  const path = "/api/v1/namespaces/default/bindings";
  const target = { kind: "Node", name: "node-1" };
  expect(await server.send("POST", path, { metadata: { name: "bound" }, target })).toMatchObject({
    status: 201,
    body: { kind: "Status", status: "Success" },
  });
  expect((await server.send("GET", podPath("bound"))).body).toMatchObject({ spec: { nodeName: "node-1" } });
  const wrong = await server.send("POST", path, { metadata: { name: "bound" }, target: { kind: "Pod" } });
  expect(wrong.body.message).toBe(
    'Binding "bound" is invalid: [target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>", target.name: Required value]',
  );
});

test("a replication controller is scaled, and says whom it selects", async () => {
  const base = "/api/v1/namespaces/default/replicationcontrollers";
  const template = { metadata: { labels: { app: "x", tier: "y" } }, spec: pod("x").spec };
  await server.send("POST", base, { metadata: { name: "rc" }, spec: { replicas: 1, template } });
  const merged = { "content-type": "application/merge-patch+json" };
  const scaled = await server.send("PATCH", `${base}/rc/scale`, { spec: { replicas: 3 } }, merged);
  expect(scaled.body).toMatchObject({
    kind: "Scale",
    spec: { replicas: 3 },
    status: { selector: "app=x,tier=y" },
  });
});

test("a certificate request keeps who asked, and is approved once", async () => {
  const base = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
  const request = {
    metadata: { name: "r" },
    spec: {
      request: signingRequest,
      signerName: "example.com/s",
      usages: ["client auth"],
      username: "somebody",
    },
  };
  const made = await server.send("POST", base, request);
  expect(made.status, made.body.message).toBe(201);
  expect(made.body).toMatchObject({
    spec: { username: "admin", groups: ["system:masters", "system:authenticated"] },
  });
  const condition = (type: string) => ({ status: { conditions: [{ type, status: "True", reason: "ok" }] } });
  const merged = { "content-type": "application/merge-patch+json" };
  const approved = await server.send("PATCH", `${base}/r/approval`, condition("Approved"), merged);
  expect(approved.status, approved.body.message).toBe(200);
  expect(approved.body).toMatchObject({
    status: { conditions: [{ type: "Approved", lastUpdateTime: expect.any(String) }] },
  });
  const denied = await server.send("PATCH", `${base}/r/approval`, condition("Denied"), merged);
  expect(denied.status).toBe(422);
  expect(denied.body.message).toContain('updates may not remove a condition of type "Approved"');
});

test("components are healthy, and the answer warns that nobody should ask", async () => {
  const path = "/api/v1/componentstatuses";
  const { body, headers } = await server.send("GET", path);
  expect(headers.warning).toContain("v1 ComponentStatus is deprecated in v1.19+");
  const names = (body.items as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);
  expect(names).toEqual(["controller-manager", "etcd-0", "scheduler"]);
  expect((await server.send("GET", `${path}/etcd-0`)).body).toMatchObject({
    conditions: [{ message: "ok" }],
  });
  expect((await server.send("GET", `${path}/other`)).status).toBe(404);
});

test("a cluster has the usual flow schemas from its start, none of them dangling", async () => {
  const { body } = await server.send("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas");
  const schemas = body.items as { metadata: { name: string }; status: object }[];
  expect(schemas.map(({ metadata }) => metadata.name)).toContain("catch-all");
  for (const { status } of schemas) expect(status).toMatchObject({ conditions: [{ status: "False" }] });
});
