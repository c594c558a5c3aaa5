/**
 * What a hostile or mistaken client can send: each thing gets Kubernetes' own answer, over both versions of HTTP and
 * through kubectl, and the server goes on as if nothing had been.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { runOk, systemClock } from "#base";
import { eventually, newestKubectl } from "./harness.ts";
import { knarr } from "./knarr.ts";
import {
  type Access,
  accessOf,
  exchange,
  http1,
  http2,
  openSocket,
  type RawRequest,
  type Send,
} from "./raw.ts";

const json = { "content-type": "application/json" };
const configMaps = "/api/v1/namespaces/default/configmaps";
const here = `${configMaps}/here`;
const patch = (kind: string, body: string, path = here): RawRequest => ({
  method: "PATCH",
  path,
  headers: { "content-type": `application/${kind}` },
  body,
});
const post = (body: unknown, more: Partial<RawRequest> = {}): RawRequest => ({
  method: "POST",
  path: configMaps,
  headers: json,
  body: typeof body === "string" || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  ...more,
});
const configMap = (name: unknown, more: object = {}) => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  ...more,
});
const pod = (spec: unknown) => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "bad" }, spec });
const pods = "/api/v1/namespaces/default/pods";
const list = (query: string): RawRequest => ({ path: `${configMaps}?${query}` });
const mebibyte = 1024 * 1024;

type Case = [title: string, request: RawRequest, code: number, reason: string, message: RegExp];

const bodies: Case[] = [
  ["JSON that is none", post("{nope"), 400, "BadRequest", /must be of type ConfigMap.*json parse error/],
  ["JSON that is cut off", post('{"kind":"ConfigMap","metadata":{'), 400, "BadRequest", /json parse error/],
  ["an empty body", post(""), 400, "BadRequest", /couldn't get version\/kind|unrecognized/],
  ["a list for an object", post("[]"), 400, "BadRequest", /cannot (be handled|unmarshal)|unrecognized/],
  ["null for an object", post("null"), 400, "BadRequest", /cannot|unrecognized/],
  ["JSON as deep as a well", post(`{"a":${"[".repeat(50_000)}`), 400, "BadRequest", /json parse error/],
  [
    "bytes that are no UTF-8",
    post(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22])),
    400,
    "BadRequest",
    /parse error/,
  ],
  [
    "YAML that is none",
    post("a: [b\nc: :", { headers: { "content-type": "application/yaml" } }),
    400,
    "BadRequest",
    /yaml parse error/,
  ],
  [
    "a YAML bomb",
    post(yamlBomb(), { headers: { "content-type": "application/yaml" } }),
    400,
    "BadRequest",
    /yaml parse error/,
  ],
  [
    "protobuf without its magic",
    post("k8x\0abc", { headers: { "content-type": "application/vnd.kubernetes.protobuf" } }),
    400,
    "BadRequest",
    /protobuf/,
  ],
  [
    "protobuf that is cut off",
    post(Buffer.from("6b38730 00a0c0a027631".replace(" ", ""), "hex"), {
      headers: { "content-type": "application/vnd.kubernetes.protobuf" },
    }),
    400,
    "BadRequest",
    /protobuf/,
  ],
  [
    "a content type nobody knows",
    post("x", { headers: { "content-type": "text/html" } }),
    415,
    "UnsupportedMediaType",
    /unknown format - accepted media types include: application\/json/,
  ],
  [
    "an Accept nobody can serve",
    { path: here, headers: { accept: "image/png" } },
    406,
    "NotAcceptable",
    /only the following media types are accepted: application\/json/,
  ],
  [
    "a body of more than 3 MiB",
    post(`{"a":"${"x".repeat(3 * mebibyte)}"}`),
    413,
    "RequestEntityTooLarge",
    /limit is 3145728/,
  ],
  [
    "a body of more than 3 MiB in pieces",
    post(`{"a":"${"x".repeat(4 * mebibyte)}"}`, { chunked: true }),
    413,
    "RequestEntityTooLarge",
    /limit is 3145728/,
  ],
];

const objects: Case[] = [
  [
    "a number for a map",
    post(configMap("a", { data: 7 })),
    400,
    "BadRequest",
    /^ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap\.data/,
  ],
  [
    "a number for a string",
    post(configMap("a", { data: { a: 7 } })),
    400,
    "BadRequest",
    /cannot unmarshal number into Go struct field ConfigMap\.data of type string/,
  ],
  [
    "a string for a number",
    post(pod({ terminationGracePeriodSeconds: "soon" }), { path: pods }),
    400,
    "BadRequest",
    /cannot unmarshal string into Go struct field/,
  ],
  [
    "an object for a list",
    post(pod({ containers: {} }), { path: pods }),
    400,
    "BadRequest",
    /cannot unmarshal object into Go struct field/,
  ],
  [
    "a quantity that is none",
    post(pod({ containers: [{ name: "a", image: "b", resources: { limits: { cpu: "lots" } } }] }), {
      path: pods,
    }),
    400,
    "BadRequest",
    /quantities must match the regular expression/,
  ],
  [
    "another kind than the path's",
    post({ ...configMap("a"), kind: "Secret" }),
    400,
    "BadRequest",
    /Secret.*cannot be handled as a ConfigMap/,
  ],
  [
    "another version than the path's",
    post({ ...configMap("a"), apiVersion: "v9" }),
    400,
    "BadRequest",
    /the API version in the data \(v9\) does not match the expected API version \(v1\)/,
  ],
  [
    "another namespace than the path's",
    post({ ...configMap("a"), metadata: { name: "a", namespace: "other" } }),
    400,
    "BadRequest",
    /the namespace of the provided object does not match the namespace sent on the request/,
  ],
  [
    "a name that is none",
    post(configMap("Not_a_name")),
    422,
    "Invalid",
    /^ConfigMap "Not_a_name" is invalid: metadata\.name: Invalid value: "Not_a_name": a lowercase RFC 1123 subdomain/,
  ],
  [
    "a name that is too long",
    post(configMap("a".repeat(254))),
    422,
    "Invalid",
    /must be no more than 253 (characters|bytes)/,
  ],
  ["a name with a way out", post(configMap("../../etc")), 422, "Invalid", /metadata\.name: Invalid value/],
  ["a name that is a number", post(configMap(7)), 400, "BadRequest", /cannot unmarshal number/],
  ["no name", post({ ...configMap("a"), metadata: {} }), 422, "Invalid", /name or generateName is required/],
  [
    "a namespace that is not there",
    post(configMap("a"), { path: "/api/v1/namespaces/nowhere/configmaps" }),
    404,
    "NotFound",
    /^namespaces "nowhere" not found$/,
  ],
  [
    "labels that are none",
    post({ ...configMap("a"), metadata: { name: "a", labels: { "a b": "c/d" } } }),
    422,
    "Invalid",
    /metadata\.labels: Invalid value: "a b"/,
  ],
  [
    "a resourceVersion on what is new",
    post({ ...configMap("a"), metadata: { name: "a", resourceVersion: "7" } }),
    400,
    "BadRequest",
    /resourceVersion should not be set on objects to be created/,
  ],
  [
    "a pod without containers",
    post(pod({}), { path: pods }),
    422,
    "Invalid",
    /spec\.containers: Required value/,
  ],
  [
    "what is there already",
    post(configMap("here")),
    409,
    "AlreadyExists",
    /^configmaps "here" already exists$/,
  ],
  [
    "an unknown field, strictly",
    post(configMap("a", { nope: 1 }), { path: `${configMaps}?fieldValidation=Strict` }),
    400,
    "BadRequest",
    /strict decoding error: unknown field "nope"/,
  ],
  [
    "a field twice, strictly",
    post('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{},"data":{}}', {
      path: `${configMaps}?fieldValidation=Strict`,
    }),
    400,
    "BadRequest",
    /duplicate field "data"/,
  ],
  [
    "__proto__ as a field, strictly",
    post('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"__proto__":{"data":{}}}', {
      path: `${configMaps}?fieldValidation=Strict`,
    }),
    400,
    "BadRequest",
    /unknown field "__proto__"/,
  ],
];

const routes: Case[] = [
  [
    "a group nobody knows",
    { path: "/apis/example.com/v1/things" },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  [
    "a version nobody knows",
    { path: "/apis/apps/v7/deployments" },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  [
    "a resource nobody knows",
    { path: "/api/v1/things" },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  [
    "a subresource nobody knows",
    { path: `${here}/thing` },
    404,
    "NotFound",
    /could not find the requested resource/,
  ],
  ["a path nobody knows", { path: "/etc/passwd" }, 404, "NotFound", /could not find the requested resource/],
  ["an object nobody made", { path: `${configMaps}/gone` }, 404, "NotFound", /^configmaps "gone" not found$/],
  [
    "a method without a meaning",
    { method: "PUT", path: configMaps, headers: json, body: "{}" },
    405,
    "MethodNotAllowed",
    /not (supported|allowed)/,
  ],
  [
    "a method of one's own",
    { method: "PROPFIND", path: here },
    405,
    "MethodNotAllowed",
    /not (supported|allowed)/,
  ],
  ["an escape that is none", { path: `${configMaps}/%zz` }, 400, "BadRequest", /invalid URL escape/],
  [
    "a name with ../",
    { path: `${configMaps}/..%2f..%2fkube-system%2fsecrets` },
    404,
    "NotFound",
    /not found/,
  ],
  [
    "a namespace with ../",
    { path: "/api/v1/namespaces/..%2fkube-system/configmaps/kube-root-ca.crt" },
    404,
    "NotFound",
    /not found/,
  ],
  [
    "a namespace of dots",
    { path: "/api/v1/namespaces/../configmaps/kube-root-ca.crt" },
    404,
    "NotFound",
    /not found|could not find/,
  ],
  ["a NUL in a name", { path: `${configMaps}/a%00b` }, 404, "NotFound", /not found/],
  ["a very long name", { path: `${configMaps}/${"a".repeat(6000)}` }, 404, "NotFound", /not found/],
  ["a name that says __proto__", { path: `${configMaps}/__proto__` }, 404, "NotFound", /not found/],
  [
    "a resource that says constructor",
    { path: "/api/v1/namespaces/default/constructor" },
    404,
    "NotFound",
    /could not find/,
  ],
];

const queries: Case[] = [
  [
    "a label selector that is none",
    list("labelSelector=%3D%3D"),
    400,
    "BadRequest",
    /unable to parse requirement|found '=='/,
  ],
  [
    "a label selector with an open bracket",
    list("labelSelector=a+in+(b"),
    400,
    "BadRequest",
    /unable to parse requirement|found/,
  ],
  [
    "a field selector that is none",
    list("fieldSelector=a"),
    400,
    "BadRequest",
    /invalid (field )?selector|can't understand 'a'/,
  ],
  [
    "a field that cannot be selected",
    list("fieldSelector=data.a%3Db"),
    400,
    "BadRequest",
    /field label not supported: data\.a/,
  ],
  [
    "a limit that is none",
    list("limit=lots"),
    400,
    "BadRequest",
    /strconv\.ParseInt: parsing "lots": invalid syntax/,
  ],
  [
    "a continue token that is none",
    list("limit=1&continue=garbage"),
    400,
    "BadRequest",
    /continue key is not valid/,
  ],
  [
    "a continue token out of its place",
    list(`limit=1&continue=${continueToken()}`),
    400,
    "BadRequest",
    /continue key is not valid/,
  ],
  [
    "a resourceVersion that is none",
    list("resourceVersion=new"),
    422,
    "Invalid",
    /resourceVersion: Invalid value: "new"/,
  ],
  [
    "a match that is none",
    list("resourceVersion=1&resourceVersionMatch=Nearly"),
    422,
    "Invalid",
    /resourceVersionMatch: Unsupported value: "Nearly"/,
  ],
  [
    "a match without a version",
    list("resourceVersionMatch=Exact"),
    422,
    "Invalid",
    /resourceVersionMatch: Forbidden/,
  ],
  [
    "a version from the future",
    list("resourceVersion=999999999&resourceVersionMatch=NotOlderThan"),
    504,
    "Timeout",
    /^Too large resource version: 999999999, current: \d+$/,
  ],
  [
    "a watch from a version that is none",
    list("watch=1&resourceVersion=new"),
    422,
    "Invalid",
    /resourceVersion: Invalid value: "new"/,
  ],
  ["a watch with a continue token", list("watch=1&continue=abc"), 422, "Invalid", /continue: Forbidden/],
  [
    "a timeout that is none",
    list("watch=1&timeoutSeconds=soon"),
    400,
    "BadRequest",
    /strconv\.ParseInt: parsing "soon"/,
  ],
  [
    "a dry run of some",
    post(configMap("a"), { path: `${configMaps}?dryRun=Some` }),
    422,
    "Invalid",
    /dryRun: Unsupported value: "Some"/,
  ],
  [
    "a field validation of some",
    post(configMap("a"), { path: `${configMaps}?fieldValidation=Some` }),
    422,
    "Invalid",
    /fieldValidation: Unsupported value: "Some"/,
  ],
  [
    "a propagation of some",
    { method: "DELETE", path: `${configMaps}/here?propagationPolicy=Some` },
    422,
    "Invalid",
    /propagationPolicy: Unsupported value: "Some"/,
  ],
  [
    "delete options that are none",
    { method: "DELETE", path: here, headers: json, body: '{"gracePeriodSeconds":"x"}' },
    400,
    "BadRequest",
    /cannot unmarshal string|gracePeriodSeconds/,
  ],
  [
    "a delete of another's uid",
    { method: "DELETE", path: here, headers: json, body: '{"preconditions":{"uid":"x"}}' },
    409,
    "Conflict",
    /Precondition failed: UID in precondition: x/,
  ],
];

const patches: Case[] = [
  [
    "a JSON patch that is no list",
    patch("json-patch+json", "{}"),
    400,
    "BadRequest",
    /error decoding patch|cannot unmarshal/,
  ],
  [
    "a JSON patch of an unknown operation",
    patch("json-patch+json", '[{"op":"nope","path":"/data"}]'),
    422,
    "Invalid",
    /./,
  ],
  [
    "a JSON patch to nowhere",
    patch("json-patch+json", '[{"op":"remove","path":"/data/none"}]'),
    422,
    "Invalid",
    /./,
  ],
  [
    "a JSON patch whose test fails",
    patch("json-patch+json", '[{"op":"test","path":"/data/a","value":"c"}]'),
    422,
    "Invalid",
    /./,
  ],
  [
    "a JSON patch without a path",
    patch("json-patch+json", '[{"op":"add","value":1}]'),
    400,
    "BadRequest",
    /needs a `path`/,
  ],
  [
    "a JSON patch of the prototype",
    patch("json-patch+json", '[{"op":"add","path":"/__proto__/x","value":1}]'),
    422,
    "Invalid",
    /./,
  ],
  [
    "a JSON patch of too many operations",
    patch(
      "json-patch+json",
      JSON.stringify(Array.from({ length: 10_001 }, () => ({ op: "test", path: "/data/a", value: "b" }))),
    ),
    413,
    "RequestEntityTooLarge",
    /operations/,
  ],
  [
    "a merge patch that is none",
    patch("merge-patch+json", "{nope"),
    400,
    "BadRequest",
    /error decoding patch|invalid/,
  ],
  [
    "a merge patch that is a list",
    patch("merge-patch+json", "[1]"),
    400,
    "BadRequest",
    /^Invalid JSON Patch$/,
  ],
  [
    "a merge patch of the wrong type",
    patch("merge-patch+json", '{"data":{"a":7}}'),
    422,
    "Invalid",
    /patch: Invalid value: .*cannot unmarshal number/,
  ],
  [
    "a merge patch of the name",
    patch("merge-patch+json", '{"metadata":{"name":"other"}}'),
    400,
    "BadRequest",
    /the name of the object \(other\) does not match the name on the URL \(here\)/,
  ],
  [
    "a merge patch of an old version",
    patch("merge-patch+json", '{"metadata":{"resourceVersion":"1"}}'),
    409,
    "Conflict",
    /the object has been modified; please apply your changes to the latest version and try again/,
  ],
  ["a strategic patch that is none", patch("strategic-merge-patch+json", "7"), 400, "BadRequest", /./],
  [
    "a strategic patch with an unknown directive",
    patch("strategic-merge-patch+json", '{"data":{"$patch":"nope"}}'),
    422,
    "Invalid",
    /unknown patch type: "nope"/,
  ],
  [
    "a patch of an unknown type",
    patch("nope+json", "{}"),
    415,
    "UnsupportedMediaType",
    /accepted media types include: application\/json-patch\+json, application\/merge-patch\+json/,
  ],
  [
    "a patch of what is not there",
    patch("merge-patch+json", "{}", `${configMaps}/gone`),
    404,
    "NotFound",
    /^configmaps "gone" not found$/,
  ],
  [
    "an update of an old version",
    {
      method: "PUT",
      path: here,
      headers: json,
      body: JSON.stringify({ ...configMap("here"), metadata: { name: "here", resourceVersion: "1" } }),
    },
    409,
    "Conflict",
    /^Operation cannot be fulfilled on configmaps "here": the object has been modified/,
  ],
  [
    "an update under another name",
    { method: "PUT", path: here, headers: json, body: JSON.stringify(configMap("there")) },
    400,
    "BadRequest",
    /the name of the object \(there\) does not match the name on the URL \(here\)/,
  ],
  [
    "an update of a version that is none",
    {
      method: "PUT",
      path: here,
      headers: json,
      body: JSON.stringify({ ...configMap("here"), metadata: { name: "here", resourceVersion: "x" } }),
    },
    409,
    "Conflict",
    /the object has been modified/,
  ],
];

function yamlBomb(): string {
  const lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
  for (let i = 1; i < 9; i++)
    lines.push(
      `a${i}: &a${i} [${Array(9)
        .fill(`*a${i - 1}`)
        .join(", ")}]`,
    );
  return lines.join("\n");
}

function continueToken(): string {
  const token = { v: "meta.k8s.io/v1", rv: 1, start: "../../secrets/" };
  return Buffer.from(JSON.stringify(token)).toString("base64url");
}

interface Running {
  pid: number;
  dataDir: string;
}

async function running(): Promise<Running> {
  const { clusters } = JSON.parse(await knarr(["status", "-o", "json"])) as {
    clusters: (Running & { name: string })[];
  };
  return clusters.find((c) => c.name === inject("clusterName"))!;
}

const slowHeads = 150;
const slowBodies = 150;
const slowSessions = 20;
/** A head has 32 s, a body and a silent HTTP/2 connection 60 s; the server looks every 5 s. */
const slowPatienceMs = 75_000;

let access: Access;
let before: Running;
let logBefore: number;
let slow: TLSSocket[];
let folder: string;
const slowSinceMs = systemClock.monotonic();

beforeAll(async () => {
  access = accessOf(inject("kubeconfig"));
  before = await running();
  folder = await mkdtemp(join(tmpdir(), "knarr-bad-"));
  logBefore = readFileSync(join(before.dataDir, "knarr.log")).length;
  await http1(access)(post(configMap("here", { data: { a: "b" } })));
  slow = await openSlowConnections();
});

afterAll(async () => {
  for (const socket of slow) socket.destroy();
  await http1(access)({ method: "DELETE", path: here });
  await rm(folder, { recursive: true, force: true });
});

/** They stay open behind all the other tests: the server has to answer those all the same. */
async function openSlowConnections(): Promise<TLSSocket[]> {
  const sockets: TLSSocket[] = [];
  for (let i = 0; i < slowHeads + slowBodies; i++) {
    const socket = await openSocket(access);
    socket.write(
      i < slowHeads
        ? "GET /api/v1/pods HTTP/1.1\r\nhost: x\r\nx-half"
        : `POST ${configMaps} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{"half`,
    );
    sockets.push(socket);
  }
  for (let i = 0; i < slowSessions; i++) {
    const socket = await openSocket(access, "h2");
    // An empty SETTINGS frame makes it a session; the head of the next frame never ends.
    socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0");
    sockets.push(socket);
  }
  return sockets;
}

const protocols: [string, () => Send][] = [
  ["HTTP/1.1", () => http1(access)],
  ["HTTP/2", () => http2(access)],
];

describe.each(protocols)("over %s", (protocol, send) => {
  test.each([...bodies, ...objects, ...routes, ...queries, ...patches])(
    "%s",
    async (_, request, code, reason, message) => {
      const answer = await send()(request);
      expect([answer.status, answer.body], answer.text.slice(0, 500)).toMatchObject([
        code,
        {
          kind: "Status",
          apiVersion: "v1",
          status: "Failure",
          code,
          reason,
          message: expect.stringMatching(message),
        },
      ]);
    },
  );

  test("the four types of patch answer bad YAML and bad objects alike", async () => {
    const answer = await send()(patch("apply-patch+yaml", "a: [b", `${here}?fieldManager=test`));
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    expect(answer.body).toMatchObject({ kind: "Status", status: "Failure" });
  });

  test("huge heads are refused, and the next request is served", async () => {
    const headers = { "x-huge": "h".repeat(100_000) };
    const refused = await send()({ path: here, headers }).then(
      (a) => a.status,
      () => 431,
    );
    expect(refused).toBe(431);
    expect((await send()({ path: here })).status).toBe(200);
  });

  test("who shows nothing, or nothing good, is not let in", async () => {
    const stranger = await certificateOfAnotherCa();
    const identities: [RawRequest["identity"], Record<string, string>][] = [
      [{}, {}],
      [stranger, {}],
      [{}, { authorization: "Bearer garbage" }],
      [{}, { authorization: "Bearer a.b.c" }],
      [{}, { authorization: `Bearer ${"x".repeat(20_000)}` }],
      [{}, { authorization: `Bearer ${unsignedToken()}` }],
      [{}, { authorization: "Basic YWRtaW46YWRtaW4=" }],
      [{}, { authorization: "Bearer" }],
    ];
    for (const [identity, headers] of identities) {
      for (const request of [{ path: here }, post(configMap("intruder"), {})]) {
        const answer = await send()({ ...request, identity, headers: { ...request.headers, ...headers } });
        expect([answer.status, answer.body?.reason, answer.body?.message]).toEqual([
          401,
          "Unauthorized",
          "Unauthorized",
        ]);
      }
    }
    expect((await send()({ path: `${configMaps}/intruder` })).status).toBe(404);
  });

  test("nothing that was refused has changed anything", async () => {
    const kept = await send()({ path: here });
    expect(kept.body).toMatchObject({ metadata: { name: "here" }, data: { a: "b" } });
    const names = (await send()({ path: configMaps })).body!.items as { metadata: { name: string } }[];
    expect(names.map((item) => item.metadata.name).sort()).toEqual(["here", "kube-root-ca.crt"]);
    expect(protocol).toMatch(/^HTTP/);
  });
});

/** `alg: none`, which no server may take. */
function unsignedToken(): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "none" })}.${part({ sub: "system:serviceaccount:default:default" })}.`;
}

async function certificateOfAnotherCa(): Promise<{ cert: string; key: string }> {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const subject = "/O=system:masters/CN=admin";
  await runOk("openssl", [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    "-subj",
    subject,
    "-keyout",
    key,
    "-out",
    cert,
  ]);
  return { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") };
}

describe("on the wire", () => {
  const statusLine = /^HTTP\/1\.1 (\d+)/;

  test.each([
    ["no HTTP at all", "\x16\x03\x01garbage\r\n\r\n"],
    ["a NUL in the path", "GET /api\0/v1 HTTP/1.1\r\nhost: x\r\n\r\n"],
    [
      "two lengths",
      `POST ${configMaps} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}`,
    ],
    [
      "a length and pieces",
      `POST ${configMaps} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    ],
    ["a length that is none", `POST ${configMaps} HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n{}`],
    [
      "pieces that are none",
      `POST ${configMaps} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n`,
    ],
    ["a head that never ends", `GET / HTTP/1.1\r\nhost: x\r\n${"a: b\r\n".repeat(20_000)}`],
  ])("%s is a 4xx, and the connection is closed", async (_, bytes) => {
    const said = await exchange(access, bytes, 10_000);
    expect(Number(statusLine.exec(said)?.[1] ?? 400)).toBeGreaterThanOrEqual(400);
    expect(said).not.toMatch(/HTTP\/1\.1 [235]/);
  });

  test("a body that is cut off is never half applied", async () => {
    const whole = JSON.stringify(configMap("half"));
    const socket = await openSocket(access);
    socket.end(
      `POST ${configMaps} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${whole.length + 10}\r\n\r\n${whole}`,
    );
    await new Promise<void>((resolve) => socket.once("close", () => resolve()));
    expect((await http1(access)({ path: `${configMaps}/half` })).status).toBe(404);
  });

  test("HTTP/2 that is none closes the connection alone", async () => {
    const socket = await openSocket(access, "h2");
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"\xff".repeat(64)}`);
    socket.setTimeout(10_000, () => socket.destroy(new Error("still open")));
    await closed;
    expect((await http2(access)({ path: here })).status).toBe(200);
  });

  test("two writers with one version: one wins, one is told", async () => {
    const send = http2(access);
    const { metadata } = (await send(post(configMap("contended")))).body!;
    const update = (value: string): RawRequest => ({
      method: "PUT",
      path: `${configMaps}/contended`,
      headers: json,
      body: JSON.stringify({ ...configMap("contended"), metadata, data: { value } }),
    });
    const answers = await Promise.all(["a", "b", "c", "d"].map((value) => send(update(value))));
    expect(answers.map((a) => a.status).sort()).toEqual([200, 409, 409, 409]);
    await send({ method: "DELETE", path: `${configMaps}/contended` });
  });
});

describe("through kubectl", () => {
  const said = async (args: string[], input = "") => {
    const result = await newestKubectl().try(args, { input });
    expect(result.code, result.stdout).not.toBe(0);
    return result.stderr;
  };
  const create = (text: string) => said(["create", "-f", "-"], text);
  const head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\n";

  test("mistakes in files get the API's own words", async () => {
    expect(await create("a: [b")).toContain("error parsing STDIN");
    expect(await create("apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: a}\n")).toContain(
      'no matches for kind "Thing" in version "example.com/v1"',
    );
    expect(await create(`${head}data: {a: 7}\n`)).toContain(
      'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string',
    );
    expect(await create(`${head}date: {a: b}\n`)).toContain('strict decoding error: unknown field "date"');
    expect(await create(head.replace("bad", "Bad_Name"))).toContain(
      'The ConfigMap "Bad_Name" is invalid: metadata.name: Invalid value',
    );
    expect(await create(head.replace("name: bad", "name: bad, namespace: nowhere"))).toContain(
      'namespaces "nowhere" not found',
    );
    expect(await create(`${head}data: {a: "${"x".repeat(4 * mebibyte)}"}\n`)).toContain(
      "Request entity too large: limit is 3145728",
    );
  });

  test("mistakes on the command line too", async () => {
    expect(await said(["get", "things"])).toContain(`the server doesn't have a resource type "things"`);
    expect(await said(["get", "pods", "-l", "a in (b"])).toContain("unable to parse requirement");
    expect(await said(["get", "pods", "--field-selector", "spec.nope=1"])).toContain(
      "field label not supported: spec.nope",
    );
    expect(await said(["get", "pod", "gone"])).toContain(
      'Error from server (NotFound): pods "gone" not found',
    );
    expect(await said(["delete", "pod", "gone"])).toContain('pods "gone" not found');
    expect(await said(["patch", "configmap", "here", "--type=json", "-p", '[{"op":"nope"}]'])).not.toBe("");
    expect(await said(["patch", "configmap", "here", "-p", '{"data":{"a":7}}'])).toContain("Invalid value");
    expect(await said(["logs", "gone"])).toContain('pods "gone" not found');
  });

  test("a token that is none does not get in", async () => {
    const file = join(folder, "kubeconfig");
    writeFileSync(
      file,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [
          {
            name: "a",
            cluster: {
              server: `https://${access.host}:${access.port}`,
              "certificate-authority-data": Buffer.from(access.ca).toString("base64"),
            },
          },
        ],
        users: [{ name: "a", user: { token: "garbage" } }],
        contexts: [{ name: "a", context: { cluster: "a", user: "a" } }],
        "current-context": "a",
      }),
    );
    expect(await said(["--kubeconfig", file, "get", "pods"])).toMatch(
      /You must be logged in to the server|Unauthorized/,
    );
  });
});

test("slow clients are dropped in bounded time", { timeout: slowPatienceMs + 30_000 }, async () => {
  await eventually(
    "the end of every slow connection",
    async () => (slow.every((socket) => socket.destroyed || socket.readableEnded) ? true : undefined),
    Math.max(5_000, slowPatienceMs - (systemClock.monotonic() - slowSinceMs)),
  );
});

test("the server is the same process, and its log knows of no failure", async () => {
  expect((await running()).pid).toBe(before.pid);
  const log = readFileSync(join(before.dataDir, "knarr.log")).subarray(logBefore).toString("utf8");
  expect(
    log.split("\n").filter((line) => /a request failed|"code":500|unhandled|uncaught/i.test(line)),
  ).toEqual([]);
});
