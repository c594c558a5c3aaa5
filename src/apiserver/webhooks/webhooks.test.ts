/** Admission webhooks: a real HTTPS server answers, and what it says happens. */
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { configMaps, mutatingWebhookConfigurations, namespaces, validatingWebhookConfigurations } from "#api";
import { selfSigned } from "../testing/self-signed.ts";
import { startTestServer, type TestServer } from "../testing/start.ts";

interface Review {
  apiVersion: string;
  kind: string;
  request: {
    uid: string;
    operation: string;
    name?: string;
    namespace: string;
    dryRun: boolean;
    object: { metadata: { name?: string }; data?: Record<string, string> } | null;
    oldObject: unknown;
    userInfo: { username: string };
    resource: object;
    kind: object;
  };
}

type Answer = (review: Review, path: string) => object | Promise<object>;

let api: TestServer;
let hook: Server;
let caBundle: string;
let answer: Answer;
const asked: Review[] = [];

beforeAll(async () => {
  api = await startTestServer();
  const { cert, key } = await selfSigned("localhost");
  caBundle = Buffer.from(cert).toString("base64");
  hook = createServer({ cert, key }, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const review = JSON.parse(Buffer.concat(chunks).toString()) as Review;
    asked.push(review);
    const { uid } = review.request;
    const body = {
      ...review,
      request: undefined,
      response: { uid, ...(await answer(review, request.url ?? "")) },
    };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => hook.listen(0, "127.0.0.1", resolve));
  await api.client.create(namespaces, { metadata: { name: "hooked", labels: { hooked: "yes" } } });
  await api.client.create(namespaces, { metadata: { name: "free" } });
});

afterAll(async () => {
  hook.closeAllConnections();
  hook.close();
  await api.stop();
});

afterEach(async () => {
  asked.length = 0;
  await api.client.deleteCollection(mutatingWebhookConfigurations, {});
  await api.client.deleteCollection(validatingWebhookConfigurations, {});
  await api.client.deleteCollection(configMaps, { namespace: "hooked" });
});

const webhook = (more: object = {}) => ({
  name: "test.knarr.dev",
  clientConfig: { url: `https://localhost:${(hook.address() as AddressInfo).port}/hook`, caBundle },
  admissionReviewVersions: ["v1"],
  sideEffects: "None" as const,
  namespaceSelector: { matchLabels: { hooked: "yes" } },
  rules: [{ apiGroups: [""], apiVersions: ["v1"], resources: ["configmaps"], operations: ["*"] }],
  ...more,
});
const metadata = { name: "hooks" };
const validate = (...webhooks: object[]) =>
  api.client.create(validatingWebhookConfigurations, { metadata, webhooks } as never);
const mutate = (...webhooks: object[]) =>
  api.client.create(mutatingWebhookConfigurations, { metadata, webhooks } as never);
const create = (name: string, data: Record<string, string> = { k: "v" }, query = "", namespace = "hooked") =>
  api.send("POST", `/api/v1/namespaces/${namespace}/configmaps${query}`, { metadata: { name }, data });
const patchOf = (...operations: object[]) => ({
  allowed: true,
  patchType: "JSONPatch",
  patch: Buffer.from(JSON.stringify(operations)).toString("base64"),
});

describe("a validating webhook", () => {
  it("refuses with its own words and code", async () => {
    await validate(webhook());
    answer = () => ({ allowed: false, status: { code: 418, message: "no tea today", reason: "Teapot" } });
    expect(await create("a")).toMatchObject({
      status: 418,
      body: {
        reason: "Teapot",
        message: 'admission webhook "test.knarr.dev" denied the request: no tea today',
      },
    });
    answer = () => ({ allowed: false });
    expect(await create("a")).toMatchObject({
      status: 400,
      body: { message: 'admission webhook "test.knarr.dev" denied the request without explanation' },
    });
    expect((await create("a", undefined, "", "free")).status).toBe(201);
    expect(asked[0]).toMatchObject({
      apiVersion: "admission.k8s.io/v1",
      kind: "AdmissionReview",
      request: {
        operation: "CREATE",
        namespace: "hooked",
        name: "a",
        dryRun: false,
        kind: { group: "", version: "v1", kind: "ConfigMap" },
        resource: { group: "", version: "v1", resource: "configmaps" },
        userInfo: { username: "admin" },
        object: { kind: "ConfigMap", metadata: { name: "a" } },
        oldObject: null,
      },
    });
  });

  it("sees updates and deletions with what was before", async () => {
    await validate(webhook());
    answer = ({ request }) => ({
      allowed: request.operation !== "DELETE",
      warnings: [`seen ${request.operation}`],
    });
    expect((await create("b")).headers.warning).toBe('299 - "seen CREATE"');
    const path = "/api/v1/namespaces/hooked/configmaps/b";
    const merge = { "content-type": "application/merge-patch+json" };
    expect((await api.send("PATCH", path, { data: { x: "1" } }, merge)).status).toBe(200);
    expect((await api.send("DELETE", path)).status).toBe(400);
    expect(
      asked.map(({ request }) => [request.operation, request.object?.data, request.oldObject !== null]),
    ).toEqual([
      ["CREATE", { k: "v" }, false],
      ["UPDATE", { k: "v", x: "1" }, true],
      ["DELETE", undefined, true],
    ]);
    answer = () => ({ allowed: true });
  });

  it.each([
    ["Fail", 500],
    ["Ignore", 201],
  ])("that is not there: %s", async (failurePolicy, status) => {
    await validate(webhook({ failurePolicy, clientConfig: { url: "https://localhost:1/nobody", caBundle } }));
    const got = await create("c");
    expect(got.status).toBe(status);
    if (status === 500)
      expect(got.body.message).toMatch(
        /^Internal error occurred: failed calling webhook "test.knarr.dev": failed to call webhook: Post "https:\/\/localhost:1\/nobody\?timeout=10s": /,
      );
  });

  it("that takes too long, has another certificate, or answers nonsense", async () => {
    await validate(webhook({ timeoutSeconds: 1 }));
    const why = async () => String((await create("d")).body.message);
    answer = () => new Promise(() => {});
    expect(await why()).toContain("context deadline exceeded");
    answer = () => ({ uid: "other", allowed: true });
    expect(await why()).toContain("expected response.uid=");
    await api.client.deleteCollection(validatingWebhookConfigurations, {});
    const { cert } = await selfSigned("localhost");
    const stranger = { ...webhook().clientConfig, caBundle: Buffer.from(cert).toString("base64") };
    await validate(webhook({ clientConfig: stranger }));
    answer = () => ({ allowed: true });
    expect(await why()).toContain("failed to call webhook");
  });
});

describe("mutating webhooks", () => {
  it("change the object one after the other, and are asked again if they want", async () => {
    const first = webhook({ name: "a.knarr.dev", reinvocationPolicy: "IfNeeded" });
    await mutate(first, webhook({ name: "b.knarr.dev" }));
    answer = ({ request }) => {
      const data = request.object?.data ?? {};
      const count = Object.keys(data).length;
      return patchOf({ op: "add", path: `/data/k${count}`, value: "x" });
    };
    const got = await create("e", { k: "v" });
    expect(got.body).toMatchObject({ data: { k: "v", k1: "x", k2: "x", k3: "x" } });
    expect(asked).toHaveLength(3);
  });

  it("see dry runs as such, and nothing is stored", async () => {
    await mutate(webhook());
    answer = () => patchOf({ op: "add", path: "/data/dry", value: "run" });
    const got = await create("f", undefined, "?dryRun=All");
    expect(got.body).toMatchObject({ data: { dry: "run" } });
    expect(asked[0]?.request.dryRun).toBe(true);
    expect((await api.send("GET", "/api/v1/namespaces/hooked/configmaps/f")).status).toBe(404);
  });

  it("cannot take an object's identity, nor make nonsense of it", async () => {
    await mutate(webhook());
    answer = () => patchOf({ op: "replace", path: "/metadata/name", value: "other" });
    expect((await create("g")).body.metadata?.name).toBe("g");
    answer = () => patchOf({ op: "replace", path: "/data", value: 7 });
    expect(await create("h")).toMatchObject({ status: 500 });
    answer = () => patchOf({ op: "add", path: "/data/UPPER!", value: "no such key" });
    expect(await create("i")).toMatchObject({ status: 422, body: { reason: "Invalid" } });
  });
});

it("nobody is asked about webhook configurations themselves", async () => {
  const rules = [{ apiGroups: ["*"], apiVersions: ["*"], resources: ["*"], operations: ["*"] }];
  await validate(webhook({ rules, namespaceSelector: {} }));
  answer = () => ({ allowed: false });
  await mutate(webhook());
  expect(asked).toEqual([]);
});
