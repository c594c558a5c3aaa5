/** The API server behind real sockets: who gets in, and what hostile requests get. */
import { connect } from "node:http2";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { flowSchemas, pods, priorityLevelConfigurations, serviceAccounts } from "#api";
import { type ApiServer, startApiServer } from "#apiserver";
import { createWorld, silentLogger } from "#base";
import { type Client, createClient, httpsTransport } from "#client";
import { openEmbeddedStore } from "#store";
import { type Authority, createAuthority, type KeyPair } from "../../src/distro/certificates.ts";
import {
  http1,
  type SecureServer,
  startSecureServer,
  staticToken as token,
} from "./fixtures/secure-server.ts";

const schemaHeader = "x-kubernetes-pf-flowschema-uid";
const levelHeader = "x-kubernetes-pf-prioritylevel-uid";

const world = createWorld({ log: silentLogger });
let server: SecureServer;
let api: ApiServer;
let authority: Authority;
let admin: KeyPair;
let client: Client;

beforeAll(async () => {
  server = await startSecureServer();
  ({ api, authority, admin, client } = server);
});
afterAll(() => server?.stop());

describe("who gets in", () => {
  it("only whoever shows who they are; health is for all", async () => {
    expect((await http1(server, "GET", "/readyz", { anonymous: true })).text).toBe("ok");
    expect((await http1(server, "GET", "/version", { anonymous: true })).status).toBe(200);
    for (const path of [
      "/api/v1/pods",
      "/metrics",
      "/apis",
      "/openapi/v2",
      "/healthzz",
      "/version/../metrics",
    ]) {
      const answer = await http1(server, "GET", path, { anonymous: true });
      expect([path, answer.status]).toEqual([path, 403]);
      expect(JSON.parse(answer.text)).toMatchObject({ kind: "Status", reason: "Forbidden" });
    }
    const bearer = (value: string) =>
      http1(server, "GET", "/api/v1/pods", {
        anonymous: true,
        headers: { authorization: `Bearer ${value}` },
      });
    expect((await bearer(token)).status).toBe(200);
    const as = { authorization: `Bearer ${token}`, "impersonate-user": "somebody" };
    const somebody = await http1(server, "GET", "/api/v1/pods", { anonymous: true, headers: as });
    expect(JSON.parse(somebody.text)).toMatchObject({
      code: 403,
      message: `pods is forbidden: User "somebody" cannot list resource "pods" in API group "" at the cluster scope`,
    });
    expect((await bearer(`${token}x`)).status).toBe(401);
    expect((await bearer("")).status).toBe(403);
    const nobody = await http1(server, "GET", "/apis", { anonymous: true });
    expect(JSON.parse(nobody.text).message).toBe(
      'forbidden: User "system:anonymous" cannot get path "/apis"',
    );
  });

  it("and is told which FlowSchema and priority level the request belongs to", async () => {
    const flowOf = async (headers: Record<string, string>) => {
      const authorization = `Bearer ${token}`;
      const answer = await http1(server, "GET", "/version", {
        anonymous: true,
        headers: { authorization, ...headers },
      });
      const { [schemaHeader]: schema, [levelHeader]: level } = answer.headers;
      return { status: answer.status, schema, level };
    };
    const uidsOf = async (schema: string, level: string) => ({
      status: 200,
      schema: (await client.get(flowSchemas, { name: schema })).metadata.uid,
      level: (await client.get(priorityLevelConfigurations, { name: level })).metadata.uid,
    });
    expect(await flowOf({})).toEqual(await uidsOf("exempt", "exempt"));
    expect(await flowOf({ "impersonate-user": "ann" })).toEqual(
      await uidsOf("global-default", "global-default"),
    );
    const account = { "impersonate-user": "system:serviceaccount:shop:web" };
    expect(await flowOf(account)).toEqual(await uidsOf("service-accounts", "workload-low"));
  });

  it("a certificate of another authority is worth nothing", async () => {
    const stranger = await (await createAuthority(world, "other")).issue({
      commonName: "admin",
      organizations: ["system:masters"],
      use: "client",
    });
    const transport = httpsTransport({ url: api.url, ca: authority.cert, ...stranger });
    await expect(createClient(transport).list(pods)).rejects.toMatchObject({ code: 401 });
    await transport.close();
  });

  it("service account tokens, until their account is gone", async () => {
    const ref = { namespace: "default", name: "bot" };
    await client.create(serviceAccounts, { metadata: ref });
    const { status } = await client.post<{ status: { token: string } }>(serviceAccounts, ref, "token", {
      spec: {},
    });
    const ask = () =>
      http1(server, "GET", "/apis", {
        anonymous: true,
        headers: { authorization: `Bearer ${status.token}` },
      });
    expect((await ask()).status).toBe(200);
    await client.delete(serviceAccounts, ref);
    expect((await ask()).status).toBe(401);
  });
});

describe("hostile requests", () => {
  const path = "/api/v1/namespaces/default/configmaps";

  it("bodies over 3 MiB are refused, announced or not", async () => {
    const body = Buffer.alloc(3 * 1024 * 1024 + 1, 32);
    const announced = await http1(server, "POST", path, { body });
    expect(announced.status).toBe(413);
    expect(announced.text).toContain("Request entity too large: limit is 3145728");
    const session = connect(api.url, { ca: authority.cert, cert: admin.cert, key: admin.key });
    const stream = session.request({ ":method": "POST", ":path": path });
    stream.on("error", () => {});
    const status = new Promise((resolve) => stream.on("response", (headers) => resolve(headers[":status"])));
    stream.end(body);
    expect(await status).toBe(413);
    session.destroy();
  });

  it("fields that are named in any script are warned of", async () => {
    const body = JSON.stringify({ metadata: { name: "names" }, "поле\u007f\u0085": 1 });
    const headers = { "content-type": "application/json" };
    const answer = await http1(server, "POST", `${path}?dryRun=All`, { body, headers });
    expect(answer.status).toBe(201);
    expect(Buffer.from(String(answer.headers.warning), "latin1").toString("utf8")).toContain("поле");
    const session = connect(api.url, { ca: authority.cert, cert: admin.cert, key: admin.key });
    const stream = session.request({ ":method": "POST", ":path": `${path}?dryRun=All`, ...headers });
    const head = new Promise((resolve) => stream.on("response", resolve));
    stream.end(body);
    expect(await head).toMatchObject({ ":status": 201, warning: answer.headers.warning });
    session.destroy();
  });

  it("a body that is cut short changes nothing", async () => {
    const socket = tlsConnect({
      host: "127.0.0.1",
      port: api.port,
      ca: authority.cert,
      cert: admin.cert,
      key: admin.key,
    });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    const body = JSON.stringify({ metadata: { name: "cut" } });
    socket.end(
      `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length + 10}\r\n\r\n${body}`,
    );
    await new Promise((resolve) => socket.once("close", resolve).resume());
    expect((await http1(server, "GET", `${path}/cut`)).status).toBe(404);
  });

  it("garbage on the line leaves the server standing", async () => {
    for (const garbage of [
      "\0\x01\x02 nonsense\r\n\r\n",
      "GET\r\n\r\n",
      `GET /${"a".repeat(100_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      const socket = tlsConnect({ host: "127.0.0.1", port: api.port, ca: authority.cert });
      socket.on("error", () => {});
      socket.write(garbage);
      await new Promise((resolve) => socket.once("close", resolve).resume());
    }
    expect((await http1(server, "GET", "/healthz")).text).toBe("ok");
  });

  it("a port that is in use is said plainly", async () => {
    const twice = startApiServer({
      world: createWorld({ log: silentLogger }),
      store: await openEmbeddedStore({ world, memory: true }),
      tls: admin,
      clientCa: authority.cert,
      listen: { host: "127.0.0.1", port: api.port },
      serviceCidrs: ["10.96.0.0/16"],
      nodePortRange: { from: 30_000, to: 32_767 },
      advertiseAddress: "127.0.0.1",
      serviceAccountKey: admin,
      issuer: "x",
      tokens: [],
      kubeletClient: { ...admin, ca: authority.cert },
    });
    await expect(twice).rejects.toThrow(`cannot listen on 127.0.0.1:${api.port}: the port is in use`);
  });
});
