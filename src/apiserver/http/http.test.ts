import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decodeProtobuf, encodeProtobuf, nodes, pods, serviceAccounts } from "#api";
import { enableFailpoint } from "#base";
import { readText } from "#client";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { negotiate } from "./negotiation.ts";
import { resourceInfoOf } from "./request-info.ts";

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const base = "/api/v1/namespaces/default/configmaps";

describe("paths", () => {
  it("are taken apart", () => {
    expect(resourceInfoOf("/api/v1/namespaces/a/pods/b/log")).toMatchObject({
      group: "",
      namespace: "a",
      resource: "pods",
      name: "b",
      subresource: "log",
    });
    expect(resourceInfoOf("/api/v1/namespaces/a")).toMatchObject({
      namespace: undefined,
      resource: "namespaces",
      name: "a",
    });
    expect(resourceInfoOf("/api/v1/namespaces/a/finalize")).toMatchObject({
      resource: "namespaces",
      name: "a",
      subresource: "finalize",
    });
    expect(resourceInfoOf("/apis/apps/v1/deployments")).toMatchObject({
      group: "apps",
      version: "v1",
      resource: "deployments",
      name: "",
    });
    for (const path of ["/healthz", "/api", "/api/v1", "/apis/apps/v1", "/"])
      expect(resourceInfoOf(path)).toBeUndefined();
    expect(() => resourceInfoOf("/api/v1/pods/%zz")).toThrow(/invalid URL escape/);
  });
});

describe("negotiation", () => {
  it("follows the client's order, but prefers stored bytes to protobuf", () => {
    const representation = (header?: string) => negotiate(header).representation;
    const table = "application/json;as=Table;g=meta.k8s.io";
    expect(representation()).toBe("json");
    expect(representation("*/*")).toBe("json");
    expect(representation(`${table};v=v1,application/json`)).toBe("table");
    expect(representation(`${table};v=v9,application/json`)).toBe("json");
    expect(representation("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io")).toBe(
      "partial",
    );
    expect(representation("application/vnd.kubernetes.protobuf,application/json")).toBe("json");
    expect(representation("application/vnd.kubernetes.protobuf")).toBe("protobuf");
    expect(representation("text/html;q=0.9,application/yaml")).toBe("yaml");
    expect(negotiate(`${table};v=v1beta1`)).toEqual({ representation: "table", metaVersion: "v1beta1" });
    expect(() => negotiate("text/html")).toThrow(/only the following media types are accepted/);
  });
});

describe("bodies that are wrong get Kubernetes' own answers", () => {
  const cases: [string, string, unknown, Record<string, string>, number, RegExp][] = [
    ["cut JSON", "", '{"metadata":', {}, 400, /must be of type ConfigMap.*json parse error/],
    ["no JSON", "", "hello", {}, 400, /json parse error/],
    ["nothing", "", "", {}, 400, /unexpected end/],
    ["an array", "", "[]", {}, 400, /cannot be handled as a ConfigMap/],
    ["null", "", "null", {}, 400, /cannot be handled as a ConfigMap/],
    [
      "a wrong type",
      "",
      { metadata: { name: "a" }, data: "text" },
      {},
      400,
      /cannot unmarshal string into Go struct field ConfigMap.data/,
    ],
    [
      "a wrong kind",
      "",
      { kind: "Pod", apiVersion: "v1", metadata: { name: "a" } },
      {},
      400,
      /cannot be handled as a ConfigMap/,
    ],
    [
      "a wrong version",
      "",
      { kind: "ConfigMap", apiVersion: "v2" },
      {},
      400,
      /does not match the expected API version \(v1\)/,
    ],
    ["no name", "", { metadata: {} }, {}, 422, /name or generateName is required/],
    ["a bad name", "", { metadata: { name: "A b" } }, {}, 422, /a lowercase RFC 1123 subdomain/],
    [
      "an unknown field",
      "?fieldValidation=Strict",
      { metadata: { name: "a" }, dota: {} },
      {},
      400,
      /unknown field "dota"/,
    ],
    [
      "a field twice",
      "?fieldValidation=Strict",
      '{"metadata":{"name":"a"},"data":{},"data":{}}',
      {},
      400,
      /duplicate field "data"/,
    ],
    ["a wrong validation", "?fieldValidation=Maybe", { metadata: { name: "a" } }, {}, 422, /fieldValidation/],
    ["a wrong dry run", "?dryRun=Some", { metadata: { name: "a" } }, {}, 422, /dryRun/],
    ["a foreign format", "", "x", { "content-type": "text/html" }, 415, /unknown format/],
    ["bad YAML", "", "a: [", { "content-type": "application/yaml" }, 400, /yaml parse error/],
    ["deep YAML", "", "[".repeat(200_000), { "content-type": "application/yaml" }, 400, /nesting exceeded/],
    [
      "YAML with keys that stand twice",
      "?fieldValidation=Strict",
      "metadata: {name: a}\ndata:\n  a: one\n  a: two\n",
      { "content-type": "application/yaml" },
      400,
      /strict decoding error: error converting YAML to JSON: yaml: unmarshal errors:\n {2}line 4: key "a" already set in map$/,
    ],
    [
      "a timeout that is none",
      "?timeout=soon",
      { metadata: { name: "a" } },
      {},
      400,
      /invalid timeout specified/,
    ],
    [
      "bad protobuf",
      "",
      "k8s",
      { "content-type": "application/vnd.kubernetes.protobuf" },
      400,
      /protobuf parse error/,
    ],
    ["deep JSON", "", `{"data":${"[".repeat(5000)}${"]".repeat(5000)}}`, {}, 400, /depth/],
  ];
  it.each(cases)("%s", async (_, query, body, headers, status, message) => {
    const answer = await server.send("POST", `${base}${query}`, body, headers);
    expect(answer.body).toMatchObject({ kind: "Status", status: "Failure", code: status });
    expect(answer.body.message).toMatch(message);
  });

  it("bad patches", async () => {
    await server.send("POST", base, { metadata: { name: "p" } });
    const patch = (type: string, body: unknown) =>
      server.send("PATCH", `${base}/p`, body, { "content-type": type });
    expect(
      (await patch("application/json-patch+json", [{ op: "remove", path: "/data/none" }])).status,
    ).toBeLessThan(500);
    expect((await patch("application/json-patch+json", { op: "add" })).status).toBe(400);
    expect((await patch("application/merge-patch+json", "{")).status).toBe(400);
    expect((await patch("application/merge-patch+json", { data: 5 })).status).toBe(422);
    expect((await patch("application/merge-patch+json", { kind: "Pod" })).status).toBe(400);
    expect((await patch("application/merge-patch+json", "null")).status).toBe(400);
    expect((await patch("application/apply-patch+yaml", "a: b")).body.message).toBe(
      `PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch`,
    );
    const repeated = await server.send(
      "PATCH",
      `${base}/p?fieldValidation=Strict`,
      '{"data":{"a":"1","a":"2"}}',
      {
        "content-type": "application/merge-patch+json",
      },
    );
    expect([repeated.status, repeated.body.message]).toEqual([
      422,
      expect.stringContaining('strict decoding error: duplicate field "data.a"'),
    ]);
    expect((await patch("text/plain", "x")).status).toBe(415);
    expect((await patch("constructor", "{}")).status).toBe(415);
  });

  it("patches that would make an object of any size", async () => {
    const path = "/apis/apps/v1/namespaces/default/deployments";
    const labels = { app: "large" };
    const container = { name: "c", image: "x", command: ["x".repeat(100_000)] };
    const spec = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: {} } };
    spec.template.spec = { containers: [container] };
    expect((await server.send("POST", path, { metadata: { name: "large" }, spec })).status).toBe(201);
    const patch = (type: string, body: unknown) =>
      server.send("PATCH", `${path}/large`, body, { "content-type": `application/${type}-patch+json` });
    const commands = "/spec/template/spec/containers/0/command";
    const copies = Array.from({ length: 9_999 }, () => ({
      op: "copy",
      from: `${commands}/0`,
      path: `${commands}/-`,
    }));
    expect(await patch("json", copies)).toMatchObject({ status: 413, body: { code: 413 } });
    const doublings = Array.from({ length: 100 }, (_, i) => ({
      op: "copy",
      from: "/metadata",
      path: `/metadata/${i}`,
    }));
    expect(await patch("json", doublings)).toMatchObject({ status: 413 });
    const answers: number[] = [];
    for (let i = 0; i < 4; i++) {
      const containers = [{ name: `c${i}`, image: "x", command: ["x".repeat(2_000_000)] }];
      answers.push((await patch("strategic-merge", { spec: { template: { spec: { containers } } } })).status);
    }
    expect(answers).toEqual([200, 200, 200, 413]);
  });

  it("paths across namespaces that are there for lists only", async () => {
    for (const [method, path, status, reason] of [
      ["GET", "/api/v1/configmaps", 200, undefined],
      ["POST", "/api/v1/configmaps", 405, "MethodNotAllowed"],
      ["DELETE", "/api/v1/configmaps", 405, "MethodNotAllowed"],
      ["GET", "/api/v1/configmaps/a", 404, "NotFound"],
      ["DELETE", "/api/v1/configmaps/a", 404, "NotFound"],
    ] as const) {
      const answer = await server.send(method, path, method === "POST" ? {} : undefined);
      expect([method, path, answer.status, answer.body.reason]).toEqual([method, path, status, reason]);
    }
  });

  it("paths that are not there", async () => {
    for (const path of ["/api/v1/unicorns", "/apis/none/v1/x", "/nowhere", `${base}/x/status`]) {
      expect(await server.send("GET", path)).toMatchObject({ status: 404, body: { reason: "NotFound" } });
    }
    expect((await server.send("POST", `${base}/x`, {})).status).toBe(405);
    expect((await server.send("POST", "/version", {})).status).toBe(405);
  });
});

describe("representations", () => {
  it("warn of unknown fields instead of refusing them", async () => {
    const answer = await server.send("POST", base, { metadata: { name: "warned" }, dota: 1 });
    expect(answer.status).toBe(201);
    expect(answer.headers.warning).toBe('299 - "unknown field \\"dota\\""');
  });

  it("warn of many unknown fields within the room that clients have for heads", async () => {
    const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`unknown-${i}`, 1]));
    const answer = await server.send("POST", `${base}?dryRun=All`, { metadata: { name: "many" }, ...many });
    expect(answer.status).toBe(201);
    expect(answer.headers.warning).toContain("unknown-0");
    expect(answer.headers.warning!.length).toBeLessThan(8192);
  });

  it("make tables, metadata and YAML of the same objects", async () => {
    const table = await server.send("GET", base, undefined, {
      accept: "application/json;as=Table;v=v1;g=meta.k8s.io",
    });
    expect(table.body).toMatchObject({ kind: "Table", columnDefinitions: [{ name: "Name" }, {}, {}] });
    const partial = await server.send("GET", base, undefined, {
      accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    });
    expect(partial.body).toMatchObject({ kind: "PartialObjectMetadataList" });
    const yaml = await server.send("GET", `${base}/warned`, undefined, { accept: "application/yaml" });
    expect(String(yaml.body.text)).toMatch(/^kind: ConfigMap\napiVersion: v1/);
    expect((await server.send("GET", base, undefined, { accept: "image/png" })).status).toBe(406);
  });

  it("make tables and metadata of the older version, as older clients ask for them", async () => {
    const as = (kind: string) => ({ accept: `application/json;as=${kind};v=v1beta1;g=meta.k8s.io` });
    const table = await server.send("GET", base, undefined, as("Table"));
    expect(table.body).toMatchObject({
      kind: "Table",
      apiVersion: "meta.k8s.io/v1beta1",
      rows: expect.arrayContaining([
        expect.objectContaining({ object: expect.objectContaining({ apiVersion: "meta.k8s.io/v1beta1" }) }),
      ]),
    });
    const list = await server.send("GET", base, undefined, as("PartialObjectMetadataList"));
    expect(list.body).toMatchObject({ apiVersion: "meta.k8s.io/v1beta1" });
    const one = await server.send("GET", `${base}/warned`, undefined, as("PartialObjectMetadata"));
    expect(one.body).toMatchObject({ apiVersion: "meta.k8s.io/v1beta1", metadata: { name: "warned" } });
    const watch = `${base}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name=warned`;
    const events = server.send("GET", watch, undefined, { ...as("Table"), accept: as("Table").accept });
    await server.clock.advance(1000);
    expect((await events).body).toMatchObject({
      type: "ADDED",
      object: { kind: "Table", apiVersion: "meta.k8s.io/v1beta1" },
    });
  });

  it("are laid out for people, and say the same", async () => {
    const path = `${base}/warned`;
    const transport = server.api.transport({ username: "u", groups: ["system:masters"] });
    const text = async (path: string, headers = {}) =>
      readText((await transport.send({ method: "GET", path, headers })).body);
    const plain = await text(path);
    const pretty = await text(`${path}?pretty=true`);
    expect(pretty).toBe(`${JSON.stringify(JSON.parse(plain), null, 2)}\n`);
    expect(await text(path, { "user-agent": "curl/8.5.0" })).toBe(pretty);
    expect(await text(`${path}?pretty=0`, { "user-agent": "curl/8.5.0" })).toBe(plain);
    expect(await text(`${base}/none?pretty=1`)).toMatch(/^\{\n {2}"kind": "Status"/);
  });

  it("are small on the wire where they are large and the client takes it", async () => {
    const transport = server.api.transport({ username: "u", groups: ["system:masters"] });
    const bytes = async (path: string, headers = {}) => {
      const answer = await transport.send({ method: "GET", path, headers });
      const chunks: Uint8Array[] = [];
      for await (const chunk of answer.body) chunks.push(chunk);
      return { encoding: answer.headers["content-encoding"], body: Buffer.concat(chunks) };
    };
    const wants = { "accept-encoding": "br, gzip" };
    for (let i = 0; i < 3; i++) {
      await server.send("POST", base, { metadata: { name: `big-${i}` }, data: { k: "x".repeat(200_000) } });
    }
    for (const path of [`${base}/big-0`, base, `${base}?pretty=1`]) {
      const plain = await bytes(path);
      const small = await bytes(path, wants);
      expect([plain.encoding, small.encoding]).toEqual([undefined, path.includes("?") ? undefined : "gzip"]);
      const read = small.encoding ? gunzipSync(small.body) : small.body;
      expect(JSON.parse(read.toString())).toEqual(JSON.parse(plain.body.toString()));
      if (small.encoding) expect(small.body.length).toBeLessThan(plain.body.length / 10);
    }
    expect((await bytes(`${base}/warned`, wants)).encoding).toBeUndefined();
    expect((await bytes(base, { "accept-encoding": "gzip;q=0" })).encoding).toBeUndefined();
  });

  it("take and give protobuf", async () => {
    const transport = server.api.transport({ username: "go", groups: ["system:masters"] });
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "proto" }, data: { k: "v" } };
    const type = "application/vnd.kubernetes.protobuf";
    const response = await transport.send({
      method: "POST",
      path: base,
      headers: { "content-type": type, accept: type },
      body: encodeProtobuf(object)!,
    });
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) chunks.push(chunk);
    expect(response.status).toBe(201);
    expect(decodeProtobuf(Buffer.concat(chunks))).toMatchObject({
      metadata: { name: "proto", namespace: "default" },
      data: { k: "v" },
    });
  });

  it("take YAML", async () => {
    const answer = await server.send("POST", base, "metadata: {name: yaml}\ndata: {k: v}\n", {
      "content-type": "application/yaml",
    });
    expect(answer.body).toMatchObject({ data: { k: "v" } });
  });
});

describe("other paths", () => {
  it("serve health, version, metrics, discovery and OpenAPI", async () => {
    expect((await server.send("GET", "/readyz")).body.text).toBe("ok");
    expect((await server.send("GET", "/version")).body).toMatchObject({ gitVersion: "v1.36.0+knarr" });
    expect((await server.send("GET", "/metrics")).body.text).toMatch(/apiserver_request_total\{verb="GET"/);
    expect((await server.send("GET", "/apis")).body).toMatchObject({ kind: "APIGroupList" });
    expect((await server.send("GET", "/apis/apps/v1")).body).toMatchObject({
      kind: "APIResourceList",
      groupVersion: "apps/v1",
    });
    const aggregated =
      "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    expect((await server.send("GET", "/apis", undefined, { accept: aggregated })).body).toMatchObject({
      kind: "APIGroupDiscoveryList",
    });
    expect((await server.send("GET", "/openapi/v3")).body).toHaveProperty("paths");
    expect((await server.send("GET", "/openapi/v3/apis/apps/v1")).body).toHaveProperty("components");
    expect((await server.send("GET", "/openapi/v2")).body).toMatchObject({ swagger: "2.0" });
  });
});

describe("service account tokens", () => {
  it("are good for their account while it lasts", async () => {
    const account = { namespace: "default", name: "bot" };
    await server.client.create(serviceAccounts, { metadata: account });
    const ask = (spec: object) =>
      server.client.post<{ status: { token: string } }>(serviceAccounts, account, "token", { spec });
    const { status } = await ask({ expirationSeconds: 600 });
    const claims = JSON.parse(Buffer.from(status.token.split(".")[1]!, "base64url").toString());
    expect(claims).toMatchObject({
      sub: "system:serviceaccount:default:bot",
      "kubernetes.io": { namespace: "default" },
    });
    expect(claims.exp - claims.iat).toBe(600);
    const keys = (await server.send("GET", "/openid/v1/jwks")).body.keys as { kty: string; d?: string }[];
    expect(keys).toMatchObject([{ kty: "EC", use: "sig", alg: "ES256" }]);
    expect(keys[0]?.d).toBeUndefined();
    await expect(ask({ expirationSeconds: 5 })).rejects.toThrow(/less than 10 minutes/);
    await expect(ask({ boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "none" } })).rejects.toThrow(
      /pods "none" not found/,
    );
  });

  it("of pods say on which node they are, and those of nodes end with them", async () => {
    const account = { namespace: "default", name: "agent" };
    await server.client.create(serviceAccounts, { metadata: account });
    const node = await server.client.create(nodes, { metadata: { name: "n1" } });
    const spec = { nodeName: "n1", serviceAccountName: "agent", containers: [{ name: "c", image: "i" }] };
    const pod = await server.client.create(pods, {
      metadata: { namespace: "default", name: "agent-x" },
      spec,
    });
    const tokenOf = async (kind: string, name: string) => {
      const request = { spec: { boundObjectRef: { apiVersion: "v1", kind, name } } };
      const answer = await server.client.post<{ status: { token: string } }>(
        serviceAccounts,
        account,
        "token",
        request,
      );
      return answer.status.token;
    };
    const reviewed = async (token: string) => {
      const review = { spec: { token } };
      const { body } = await server.send("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review);
      return body.status;
    };
    const at = (kind: string, { metadata }: { metadata: { name: string; uid: string } }) => ({
      [`authentication.kubernetes.io/${kind}-name`]: [metadata.name],
      [`authentication.kubernetes.io/${kind}-uid`]: [metadata.uid],
    });
    const [ofPod, ofNode] = [await tokenOf("Pod", "agent-x"), await tokenOf("Node", "n1")];
    expect(await reviewed(ofPod)).toMatchObject({
      user: { extra: { ...at("pod", pod), ...at("node", node) } },
    });
    expect(await reviewed(ofNode)).toMatchObject({ authenticated: true, user: { extra: at("node", node) } });
    await server.client.delete(nodes, { name: "n1" });
    expect(await reviewed(ofNode)).not.toHaveProperty("authenticated");
    expect(await reviewed(ofPod)).toMatchObject({ authenticated: true });
  });
});

it("a store that cannot write answers 503, and goes on when it can", async () => {
  const disable = enableFailpoint("store/append", "throw");
  const refused = await server.send("POST", base, { metadata: { name: "unlucky" } });
  disable();
  expect((await server.send("GET", "/readyz")).status).toBe(500);
  expect(refused).toMatchObject({ status: 503, body: { reason: "ServiceUnavailable" } });
  expect((await server.send("GET", `${base}/unlucky`)).status).toBe(404);
  expect((await server.send("POST", base, { metadata: { name: "unlucky" } })).status).toBe(201);
  expect((await server.send("GET", "/readyz")).status).toBe(200);
});

it("a deletion that insists on another object is a conflict, and one of many keeps to its page", async () => {
  await server.send("POST", base, { metadata: { name: "other", labels: { page: "1" } } });
  await server.send("POST", base, { metadata: { name: "other-2", labels: { page: "1" } } });
  const { body } = await server.send("GET", `${base}/other`);
  const uid = String(body.metadata?.uid);
  const refused = await server.send("DELETE", `${base}/other`, { preconditions: { uid: "x" } });
  expect(refused).toMatchObject({
    status: 409,
    body: {
      message: `Operation cannot be fulfilled on ConfigMap "other": the UID in the precondition (x) does not match the UID in record (${uid}). The object might have been deleted and then recreated`,
    },
  });
  const one = await server.send("DELETE", `${base}?labelSelector=page=1&limit=1`);
  expect(one.body.items).toHaveLength(1);
  expect((await server.send("GET", `${base}?labelSelector=page=1`)).body.items).toHaveLength(1);
  const wrong = await server.send("DELETE", `${base}?resourceVersionMatch=Exact`);
  expect(wrong.status).toBe(422);
});

it("stops: watches end, later requests are refused", async () => {
  const other = await startTestServer();
  const transport = other.api.transport({ username: "u", groups: ["system:masters"] });
  const watch = await transport.send({ method: "GET", path: `${base}?watch=1` });
  await other.stop();
  expect(await readText(watch.body)).toBe("");
  expect((await transport.send({ method: "GET", path: base })).status).toBe(503);
});
