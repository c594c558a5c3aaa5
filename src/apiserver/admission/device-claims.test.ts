import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const group = "/apis/resource.k8s.io";
const selectors = (expression: string) => [{ cel: { expression } }];

async function errorOf(path: string, spec: object, name = "x"): Promise<unknown> {
  const { status, body } = await server.send("POST", `${path}?dryRun=All`, { metadata: { name }, spec });
  return status === 201 ? undefined : body.message;
}

test.each([
  "device.driver == 'a.example.com' && device.attributes['a.example.com'].model == 'x'",
  "device.capacity['a.example.com'].memory.compareTo(quantity('10Gi')) >= 0",
  "device.attributes['a.example.com'].version.isGreaterThan(semver('1.2.3'))",
  "device.attributes['a.example.com'].links.includes('b')",
  "cel.bind(a, device.attributes['a.example.com'], has(a.model) && a.model.startsWith('x'))",
  "'a.example.com' in device.attributes && device.allowMultipleAllocations",
])("devices are selected by %s", async (expression) => {
  expect(await errorOf(`${group}/v1/deviceclasses`, { selectors: selectors(expression) })).toBeUndefined();
});

test.each([
  [
    "device.driver",
    'spec.selectors[0].cel.expression: Invalid value: "device.driver": must evaluate to bool or the unknown type, not string',
  ],
  ["device.name == 'a'", "undefined field 'name'"],
  ["device.driver ==", "compilation failed: ERROR"],
  ["device.driver > 1", "compilation failed: ERROR"],
])("not by %s", async (expression, message) => {
  expect(await errorOf(`${group}/v1/deviceclasses`, { selectors: selectors(expression) })).toContain(message);
});

const claim = (request: object) => ({
  devices: { requests: [{ name: "a", exactly: { deviceClassName: "a.example.com", ...request } }] },
});

test("claims and their templates, in every version", async () => {
  const path = (version: string, resource: string) => `${group}/${version}/namespaces/default/${resource}`;
  const spec = claim({ selectors: selectors("1") });
  const at = "devices.requests[0].exactly.selectors[0].cel.expression: Invalid value";
  expect(await errorOf(path("v1", "resourceclaims"), spec)).toContain(`spec.${at}`);
  expect(await errorOf(path("v1beta2", "resourceclaims"), spec)).toContain("must evaluate to bool");
  expect(await errorOf(path("v1", "resourceclaimtemplates"), { spec })).toContain(`spec.spec.${at}`);
  const flat = { devices: { requests: [{ name: "a", deviceClassName: "a", selectors: selectors("1") }] } };
  expect(await errorOf(path("v1beta1", "resourceclaims"), flat)).toContain("must evaluate to bool");
});

test("administrators reach devices from marked namespaces", async () => {
  const spec = claim({ adminAccess: true });
  const path = (namespace: string) => `${group}/v1/namespaces/${namespace}/resourceclaims`;
  expect(await errorOf(path("default"), spec)).toContain(
    "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace",
  );
  const labels = { "resource.kubernetes.io/admin-access": "true" };
  await server.send("POST", "/api/v1/namespaces", { metadata: { name: "admins", labels } });
  expect(await errorOf(path("admins"), spec)).toBeUndefined();
});
