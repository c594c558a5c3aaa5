import { afterAll, beforeAll, expect, it } from "vitest";
import { namespaces, runtimeClasses, serviceAccounts } from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
const podFixed = { cpu: "10m", memory: "1Mi" };
const toleration = { key: "sandboxed", operator: "Exists" as const };

beforeAll(async () => {
  server = await startTestServer();
  await server.client.create(namespaces, { metadata: { name: "default" } }).catch(() => {});
  await server.client.create(serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  await server.client.create(runtimeClasses, {
    metadata: { name: "heavy" },
    handler: "heavy",
    overhead: { podFixed },
    scheduling: { nodeSelector: { sandbox: "yes" }, tolerations: [toleration] },
  });
  await server.client.create(runtimeClasses, { metadata: { name: "light" }, handler: "light" });
});
afterAll(() => server.stop());

const create = (name: string, spec: object) =>
  server.send("POST", "/api/v1/namespaces/default/pods", {
    metadata: { name },
    spec: { containers: [{ name: "c", image: "i" }], ...spec },
  });

it("adds its overhead and where its pods may run", async () => {
  const answer = await create("a", { runtimeClassName: "heavy", nodeSelector: { disk: "ssd" } });
  expect(answer.body.spec).toMatchObject({
    overhead: podFixed,
    nodeSelector: { disk: "ssd", sandbox: "yes" },
    tolerations: expect.arrayContaining([toleration]),
  });
});

it.each([
  [{ runtimeClassName: "absent" }, 'pods "b" is forbidden: pod rejected: RuntimeClass "absent" not found'],
  [
    { runtimeClassName: "heavy", overhead: { cpu: "1" } },
    `pods "b" is forbidden: pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead`,
  ],
  [
    { runtimeClassName: "light", overhead: podFixed },
    'pods "b" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead',
  ],
  [
    { runtimeClassName: "heavy", nodeSelector: { sandbox: "no" } },
    'pods "b" is forbidden: conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no',
  ],
])("refuses %j", async (spec, message) => {
  const answer = await create("b", spec);
  expect([answer.status, answer.body.message]).toEqual([403, message]);
});
