import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../testing/start.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const ingressesPath = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
const claimsPath = "/api/v1/namespaces/default/persistentvolumeclaims";

async function createClass(kind: "ingress" | "storage", name: string, isDefault: boolean): Promise<void> {
  const annotations = { [`${kind}class.kubernetes.io/is-default-class`]: String(isDefault) };
  const path =
    kind === "ingress"
      ? "/apis/networking.k8s.io/v1/ingressclasses"
      : "/apis/storage.k8s.io/v1/storageclasses";
  const body = { provisioner: "example.com/disk", spec: { controller: "example.com/web" } };
  const { status } = await server.send("POST", `${path}?fieldValidation=Ignore`, {
    metadata: { name, annotations },
    ...body,
  });
  expect(status).toBe(201);
}

async function specOf(
  path: string,
  name: string,
  spec: object,
  annotations = {},
): Promise<Record<string, unknown>> {
  const { status, body } = await server.send("POST", path, { metadata: { name, annotations }, spec });
  expect([status, body.message]).toEqual([201, undefined]);
  return body.spec as Record<string, unknown>;
}

test("an ingress gets the newest default class, unless it names one", async () => {
  const spec = { defaultBackend: { service: { name: "web", port: { number: 80 } } } };
  expect((await specOf(ingressesPath, "none", spec)).ingressClassName).toBeUndefined();
  await createClass("ingress", "other", false);
  await createClass("ingress", "z-old", true);
  await createClass("ingress", "b", true);
  // Of the same second: by name.
  expect((await specOf(ingressesPath, "same", spec)).ingressClassName).toBe("b");
  await server.clock.advance(2000);
  await createClass("ingress", "c-new", true);
  expect((await specOf(ingressesPath, "newest", spec)).ingressClassName).toBe("c-new");
  expect((await specOf(ingressesPath, "own", { ...spec, ingressClassName: "other" })).ingressClassName).toBe(
    "other",
  );
  const annotations = { "kubernetes.io/ingress.class": "old" };
  expect((await specOf(ingressesPath, "annotated", spec, annotations)).ingressClassName).toBeUndefined();
});

test("a claim gets the default storage class; an empty name is one", async () => {
  await createClass("storage", "fast", true);
  const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "1Gi" } } };
  expect((await specOf(claimsPath, "plain", spec)).storageClassName).toBe("fast");
  expect((await specOf(claimsPath, "static", { ...spec, storageClassName: "" })).storageClassName).toBe("");
});

test("the range of services is there from the start, and ready", async () => {
  const { body } = await server.send("GET", "/apis/networking.k8s.io/v1/servicecidrs/kubernetes");
  expect(body.spec).toEqual({ cidrs: ["10.96.0.0/24"] });
  expect(body.status).toMatchObject({ conditions: [{ type: "Ready", status: "True" }] });
});

test("warnings come with what is good: of the object, its version, its unknown fields; of a version with every answer", async () => {
  const annotations = { "kubernetes.io/ingress.class": "old" };
  const spec = { defaultBackend: { service: { name: "web", port: { number: 80 } } } };
  const body = { metadata: { name: "warned", annotations }, spec, extra: 1 };
  const created = await server.send("POST", `${ingressesPath}?fieldValidation=Warn`, body);
  expect(created.headers.warning).toBe(
    '299 - "unknown field \\"extra\\"", 299 - "annotation \\"kubernetes.io/ingress.class\\" is deprecated, please use \'spec.ingressClassName\' instead"',
  );
  const { headers } = await server.send("GET", "/api/v1/namespaces/default/endpoints");
  expect(headers.warning).toBe(
    '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"',
  );
  const patched = await server.send(
    "PATCH",
    `${ingressesPath}/warned`,
    { metadata: { labels: { a: "b" } } },
    { "content-type": "application/merge-patch+json" },
  );
  expect([patched.status, patched.headers.warning]).toEqual([200, undefined]);
});

test("many warnings are cut short", async () => {
  const env = Array.from({ length: 500 }, (_, i) => [
    { name: `VARIABLE_${i}`, value: "1" },
    { name: `VARIABLE_${i}`, value: "2" },
  ]).flat();
  const spec = { containers: [{ name: "c", image: "i", env }] };
  const path = "/api/v1/namespaces/default/podtemplates";
  const { status, headers } = await server.send("POST", path, {
    metadata: { name: "many" },
    template: { spec },
  });
  expect(status).toBe(201);
  expect(headers.warning).toContain("template.spec.containers[0].env[1]: hides previous definition");
  expect(headers.warning!.length).toBeLessThan(8192);
});
