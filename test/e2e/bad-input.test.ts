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
import { patches, queries } from "./bad-changes.ts";
import {
  bodies,
  configMap,
  configMaps,
  here,
  json,
  mebibyte,
  objects,
  patch,
  post,
  routes,
} from "./bad-requests.ts";
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

  test("who shows nothing may do nothing; who shows nothing good is not let in", async () => {
    const nobody: Record<string, string>[] = [
      {},
      { authorization: "Basic YWRtaW46YWRtaW4=" },
      { authorization: "Bearer" },
    ];
    for (const headers of nobody) {
      for (const request of [{ path: here }, post(configMap("intruder"), {})]) {
        const answer = await send()({
          ...request,
          identity: {},
          headers: { ...request.headers, ...headers },
        });
        expect([answer.status, answer.body?.reason]).toEqual([403, "Forbidden"]);
        expect(answer.body?.message).toContain('User "system:anonymous" cannot');
      }
    }
    const stranger = await certificateOfAnotherCa();
    const identities: [RawRequest["identity"], Record<string, string>][] = [
      [stranger, {}],
      [{}, { authorization: "Bearer garbage" }],
      [{}, { authorization: "Bearer a.b.c" }],
      [{}, { authorization: `Bearer ${"x".repeat(20_000)}` }],
      [{}, { authorization: `Bearer ${unsignedToken()}` }],
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
    expect(await create(`${head}date: {a: b}\n`)).toContain('unknown field "date"');
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
