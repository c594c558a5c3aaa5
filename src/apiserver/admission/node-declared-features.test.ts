import { afterAll, beforeAll, expect, it } from "vitest";
import { declaredFeatures, namespaces, nodes, serviceAccounts } from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
  await server.client.create(namespaces, { metadata: { name: "default" } }).catch(() => {});
  await server.client.create(serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  const status = { declaredFeatures: declaredFeatures({ hasExclusiveCpus: false }) };
  await server.client.create(nodes, { metadata: { name: "new" } });
  await server.client.patch(nodes, { name: "new" }, "merge", { status }, { subresource: "status" });
  await server.client.create(nodes, { metadata: { name: "old" } });
});
afterAll(() => server.stop());

let made = 0;

/** A pod on that node, and what is said to its change. */
async function resize(
  nodeName: string,
  before: object,
  after: object,
): Promise<[number, string | undefined]> {
  const name = `p${made++}`;
  const path = "/api/v1/namespaces/default/pods";
  const created = await server.send("POST", path, { metadata: { name }, spec: { nodeName, ...before } });
  expect(created.status).toBe(201);
  const spec = { ...(created.body.spec as object), ...after };
  const answer = await server.send("PUT", `${path}/${name}/resize`, { ...created.body, spec });
  return [answer.status, answer.body.message];
}

const whole = (cpu: string) => ({ resources: { requests: { cpu }, limits: { cpu: "2" } } });
const containers = [{ name: "c", image: "i" }];
const guaranteed = (cpu: string) => ({
  containers: [{ name: "c", image: "i", resources: { limits: { cpu, memory: "1Mi" } } }],
});
const asked = (cpu: string) => ({
  containers: [
    {
      name: "c",
      image: "i",
      resources: { limits: { cpu, memory: "1Mi" }, requests: { cpu, memory: "1Mi" } },
    },
  ],
});

it("lets pods change as their node declares", async () => {
  expect((await resize("new", { containers, ...whole("1") }, whole("2")))[0]).toBe(200);
  expect((await resize("new", guaranteed("1"), asked("2")))[0]).toBe(200);
});

it("refuses changes that the node would not follow", async () => {
  expect(await resize("old", { containers, ...whole("1") }, whole("2"))).toEqual([
    403,
    expect.stringMatching(
      /^pods "p\d+" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which are not available on node "old"$/,
    ),
  ]);
  expect((await resize("old", guaranteed("1"), asked("2")))[1]).toContain("GuaranteedQoSPodCPUResize");
  expect((await resize("gone", guaranteed("1"), asked("2")))[1]).toContain('node "gone" not found');
});

it("does not ask after other changes", async () => {
  expect((await resize("old", guaranteed("1"), asked("1")))[0]).toBe(200);
});
