/** The API server behind real sockets: TLS, both versions of HTTP, stock kubectl, streams through to a kubelet. */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:http2";
import { createServer, request as httpsRequest, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { nodes, pods, serviceAccounts } from "#api";
import { type ApiServer, startApiServer } from "#apiserver";
import { createWorld, silentLogger } from "#base";
import { type Client, createClient, httpsTransport } from "#client";
import { openEmbeddedStore, type Store } from "#store";
import { type Authority, createAuthority, type KeyPair } from "../../src/distro/certificates.ts";

const world = createWorld({ log: silentLogger });
const folder = mkdtempSync(join(tmpdir(), "knarr-apiserver-"));
const token = "a-static-token";
let authority: Authority;
let admin: KeyPair;
let store: Store;
let api: ApiServer;
let kubelet: Server;
let client: Client;

const local = { dnsNames: ["localhost"], addresses: ["127.0.0.1"] };

beforeAll(async () => {
  authority = await createAuthority(world, "test-ca");
  admin = await authority.issue({ commonName: "admin", organizations: ["system:masters"], use: "client" });
  const server = await authority.issue({ commonName: "kube-apiserver", use: "server", ...local });
  const kubeletClient = await authority.issue({ commonName: "to-kubelets", use: "client" });
  const serviceAccountKey = await authority.issue({ commonName: "tokens", use: "both" });
  store = await openEmbeddedStore({ world, path: join(folder, "state.db") });
  api = await startApiServer({
    world,
    store,
    tls: server,
    clientCa: authority.cert,
    listen: { host: "127.0.0.1", port: 0 },
    serviceCidr: "10.96.0.0/16",
    nodePortRange: { from: 30_000, to: 32_767 },
    advertiseAddress: "127.0.0.1",
    serviceAccountKey,
    issuer: "https://kubernetes.default.svc",
    tokens: [{ token, username: "by-token" }],
    kubeletClient: { ...kubeletClient, ca: authority.cert },
  });
  client = createClient(httpsTransport({ url: api.url, ca: authority.cert, ...admin }));
  await client.create(serviceAccounts, { metadata: { name: "default", namespace: "default" } });
  kubelet = await startKubelet();
});

afterAll(async () => {
  await client?.transport.close();
  kubelet?.closeAllConnections();
  kubelet?.close();
  await api?.stop();
  await store?.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer {
  status: number;
  text: string;
  headers: Record<string, unknown>;
}

/** One HTTP/1.1 request. */
function http1(
  method: string,
  path: string,
  options: { body?: string | Buffer; headers?: Record<string, string>; anonymous?: boolean } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const credentials = options.anonymous ? {} : { cert: admin.cert, key: admin.key };
    const request = httpsRequest(
      {
        host: "127.0.0.1",
        port: api.port,
        path,
        method,
        ca: authority.cert,
        agent: false,
        headers: options.headers,
        ...credentials,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            text: Buffer.concat(chunks).toString(),
            headers: response.headers,
          }),
        );
      },
    );
    request.on("error", reject);
    request.end(options.body);
  });
}

describe("who gets in", () => {
  it("only whoever shows who they are; health is for all", async () => {
    expect((await http1("GET", "/readyz", { anonymous: true })).text).toBe("ok");
    expect((await http1("GET", "/version", { anonymous: true })).status).toBe(200);
    for (const path of [
      "/api/v1/pods",
      "/metrics",
      "/apis",
      "/openapi/v2",
      "/healthzz",
      "/version/../metrics",
    ]) {
      const answer = await http1("GET", path, { anonymous: true });
      expect([path, answer.status]).toEqual([path, 401]);
      expect(JSON.parse(answer.text)).toMatchObject({ kind: "Status", reason: "Unauthorized" });
    }
    const bearer = (value: string) =>
      http1("GET", "/api/v1/pods", { anonymous: true, headers: { authorization: `Bearer ${value}` } });
    expect((await bearer(token)).status).toBe(200);
    const as = { authorization: `Bearer ${token}`, "impersonate-user": "somebody" };
    expect((await http1("GET", "/api/v1/pods", { anonymous: true, headers: as })).status).toBe(403);
    expect((await bearer(`${token}x`)).status).toBe(401);
    expect((await bearer("")).status).toBe(401);
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
      http1("GET", "/api/v1/pods", { anonymous: true, headers: { authorization: `Bearer ${status.token}` } });
    expect((await ask()).status).toBe(200);
    await client.delete(serviceAccounts, ref);
    expect((await ask()).status).toBe(401);
  });
});

describe("hostile requests", () => {
  const path = "/api/v1/namespaces/default/configmaps";

  it("bodies over 3 MiB are refused, announced or not", async () => {
    const body = Buffer.alloc(3 * 1024 * 1024 + 1, 32);
    const announced = await http1("POST", path, { body });
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
    expect((await http1("GET", `${path}/cut`)).status).toBe(404);
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
    expect((await http1("GET", "/healthz")).text).toBe("ok");
  });

  it("a port that is in use is said plainly", async () => {
    const twice = startApiServer({
      world: createWorld({ log: silentLogger }),
      store: await openEmbeddedStore({ world, memory: true }),
      tls: admin,
      clientCa: authority.cert,
      listen: { host: "127.0.0.1", port: api.port },
      serviceCidr: "10.96.0.0/16",
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

/** A kubelet that tells what it was asked, and echoes on upgraded connections. */
async function startKubelet(): Promise<Server> {
  const pair = await authority.issue({
    commonName: "system:node:n1",
    organizations: ["system:nodes"],
    use: "server",
    ...local,
  });
  const server = createServer(
    { ...pair, ca: authority.cert, requestCert: true, rejectUnauthorized: true },
    (request, response) => {
      const isLog = request.url?.startsWith("/containerLogs/");
      if (request.url?.includes("previous=true")) {
        response.writeHead(400).end('previous terminated container "one" in pod "web" not found');
        return;
      }
      response.writeHead(isLog ? 200 : 403, { "content-type": "text/plain" });
      response.end(isLog ? `log of ${request.url}` : "no exec today");
    },
  );
  server.on("upgrade", (request, socket) => {
    if (request.url?.includes("command=refuse")) {
      socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 11\r\n\r\nnot allowed");
      return;
    }
    const protocol = String(request.headers["x-stream-protocol-version"] ?? "");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade}\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
    );
    socket.write(`${request.method} ${request.url} `);
    socket.pipe(socket);
    socket.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  await client.create(nodes, { metadata: { name: "n1" } });
  const { port } = server.address() as AddressInfo;
  const status = {
    addresses: [{ type: "InternalIP", address: "127.0.0.1" }],
    daemonEndpoints: { kubeletEndpoint: { Port: port } },
  };
  await client.patch(nodes, { name: "n1" }, "merge", { status }, { subresource: "status" });
  const spec = {
    containers: [
      { name: "one", image: "i" },
      { name: "two", image: "i" },
    ],
  };
  await client.create(pods, { metadata: { name: "web", namespace: "default" }, spec });
  await client.post(pods, { namespace: "default", name: "web" }, "binding", {
    target: { kind: "Node", name: "n1" },
  });
  return server;
}

describe("streams through to the kubelet", () => {
  const pod = "/api/v1/namespaces/default/pods/web";

  it("logs of a named container", async () => {
    const named = await http1("GET", `${pod}/log?container=two&tailLines=3`);
    expect(named).toMatchObject({ status: 200, text: "log of /containerLogs/default/web/two?tailLines=3" });
    expect((await http1("GET", `${pod}/log`)).text).toContain(
      "a container name must be specified for pod web, choose one of: [one two]",
    );
    expect((await http1("GET", `${pod}/log?container=three`)).text).toContain(
      "container three is not valid for pod web",
    );
  });

  it("what the kubelet says of a log it does not have", async () => {
    const answer = await http1("GET", `${pod}/log?container=one&previous=true`);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({
      kind: "Status",
      reason: "BadRequest",
      message: 'previous terminated container "one" in pod "web" not found',
    });
  });

  /** Upgrades as SPDY clients do, says hello, answers what came back. */
  function spdy(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const headers = {
        connection: "Upgrade",
        upgrade: "SPDY/3.1",
        "x-stream-protocol-version": ["v4.channel.k8s.io", "channel.k8s.io"],
      };
      const request = httpsRequest({
        host: "127.0.0.1",
        port: api.port,
        path,
        method: "POST",
        ca: authority.cert,
        cert: admin.cert,
        key: admin.key,
        agent: false,
        headers,
      });
      request.on("upgrade", (response, socket) => {
        let text = `${response.headers["x-stream-protocol-version"]} `;
        socket.on("data", (chunk: Buffer) => {
          text += chunk;
          if (text.endsWith("hello")) resolve(text);
        });
        socket.write("hello");
      });
      request.on("response", (response) => {
        response.setEncoding("utf8").on("data", (text) => resolve(`${response.statusCode} ${text}`));
      });
      request.on("error", reject);
      request.end();
    });
  }

  it("exec over SPDY: handshake and bytes pass through", async () => {
    const text = await spdy(
      `${pod}/exec?container=one&command=sh&command=-c&stdin=true&stdout=true&tty=false`,
    );
    expect(text).toBe(
      "v4.channel.k8s.io, channel.k8s.io POST /exec/default/web/one?command=sh&command=-c&input=1&output=1 hello",
    );
    expect(await spdy(`${pod}/portforward`)).toContain("POST /portForward/default/web hello");
  });

  it("the kubelet's own words reach the client", async () => {
    expect(await spdy(`${pod}/exec?container=one&command=refuse`)).toBe("400 not allowed");
    expect(await spdy(`${pod}/exec?container=none&command=sh`)).toContain(
      "container none is not valid for pod web",
    );
    expect(await spdy("/api/v1/namespaces/default/pods/none/exec")).toContain('pods \\"none\\" not found');
  });

  it("WebSocket clients that offer only v5 are refused before the upgrade", async () => {
    const socket = new WebSocket(
      `${api.url.replace("https", "wss")}${pod}/exec?container=one&command=sh`,
      "v5.channel.k8s.io",
      {
        ca: authority.cert,
        cert: admin.cert,
        key: admin.key,
      },
    );
    const status = new Promise((resolve) => {
      socket.on("unexpected-response", (_, response) => resolve(response.statusCode));
      socket.on("error", () => {});
    });
    expect(await status).toBe(400);
    socket.terminate();
  });

  it("without credentials there is no stream", async () => {
    const text = await new Promise((resolve) => {
      const socket = tlsConnect({ host: "127.0.0.1", port: api.port, ca: authority.cert });
      socket.on("data", (chunk) => resolve(String(chunk)));
      socket.write(
        `POST ${pod}/exec HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n`,
      );
    });
    expect(text).toMatch(/^HTTP\/1\.1 401 /);
  });
});

/** Every kubectl there is on this machine. */
function kubectls(): string[] {
  const kit = "/usr/lib/google-cloud-sdk/bin";
  const versions = existsSync(kit) ? readdirSync(kit).filter((f) => /^kubectl\.1\.\d+$/.test(f)) : [];
  const found = versions.map((f) => join(kit, f));
  const ends = found.length > 2 ? [found[0]!, found.at(-1)!] : found;
  return ends.length > 0
    ? ends
    : ["/usr/bin/kubectl", "/usr/local/bin/kubectl"].filter(existsSync).slice(0, 1);
}

describe.each(kubectls())("%s", (kubectl) => {
  const namespace = `k${kubectl.replace(/\D/g, "")}`;
  const config = join(folder, "kubeconfig");

  beforeAll(() => {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const cluster = { server: api.url, "certificate-authority-data": base64(authority.cert) };
    const user = { "client-certificate-data": base64(admin.cert), "client-key-data": base64(admin.key) };
    writeFileSync(
      config,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [{ name: "c", cluster }],
        users: [{ name: "u", user }],
        contexts: [{ name: "c", context: { cluster: "c", user: "u", namespace } }],
        "current-context": "c",
      }),
    );
  });

  function run(args: string, input = ""): Promise<{ out: string; failed: boolean }> {
    return new Promise((resolve) => {
      const env = { ...process.env, KUBECONFIG: config, HOME: folder, KUBE_EDITOR: "sed -i s/v2/v3/" };
      const child = execFile(kubectl, args.split(" "), { env, timeout: 20_000 }, (error, stdout, stderr) =>
        resolve({ out: stdout + stderr, failed: error !== null }),
      );
      child.stdin?.end(input);
    });
  }

  const manifest = (value: string) => `
apiVersion: v1
kind: ConfigMap
metadata: {name: applied}
data: {k: ${value}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: applied}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
      - {name: c, image: i, env: [{name: A, value: ${value}}, {name: B, value: b}]}
`;

  it("creates, applies, patches, edits, scales, labels, deletes", { timeout: 60_000 }, async () => {
    expect((await run(`create namespace ${namespace}`)).out).toContain("created");
    expect((await run("create configmap made --from-literal=a=b")).out).toContain("configmap/made created");
    expect((await run("apply -f -", manifest("v1"))).out).toMatch(
      /configmap\/applied created[\s\S]*deployment.apps\/applied created/,
    );
    expect((await run("apply -f -", manifest("v1"))).out).toMatch(/unchanged[\s\S]*unchanged/);
    expect((await run("apply -f -", manifest("v2"))).out).toMatch(/configured[\s\S]*configured/);
    expect((await run("get deploy applied -o jsonpath={.spec.template.spec.containers[0].env}")).out).toBe(
      '[{"name":"A","value":"v2"},{"name":"B","value":"b"}]',
    );
    expect((await run("edit configmap applied")).out).toContain("configmap/applied edited");
    expect((await run("get cm applied -o jsonpath={.data.k}")).out).toBe("v3");
    expect(
      (await run(`patch cm applied --type=json -p [{"op":"add","path":"/data/z","value":"1"}]`)).out,
    ).toContain("patched");
    expect((await run("label deploy applied tier=web")).out).toContain("labeled");
    expect((await run("annotate deploy applied note=x")).out).toMatch(/annotate/);
    expect((await run("scale deploy applied --replicas=4")).out).toContain("scaled");
    expect((await run("set image deploy/applied c=i:2")).out).toContain("image updated");
    expect((await run("get deploy -l tier=web")).out).toMatch(
      /NAME\s+READY\s+UP-TO-DATE\s+AVAILABLE\s+AGE\napplied\s+0\/4/,
    );
    expect((await run("get deploy applied -o wide")).out).toMatch(/applied\s.*\sc\s+i:2\s+app=a/);
    expect((await run("delete cm made applied")).out).toMatch(/deleted[\s\S]*deleted/);
    expect((await run("get cm made")).out).toContain(
      'Error from server (NotFound): configmaps "made" not found',
    );
  });

  it("explains, lists resources, waits and watches", { timeout: 60_000 }, async () => {
    expect((await run("explain deployment.spec.replicas")).out).toMatch(/replicas\s+<integer>/);
    expect((await run("api-resources")).out).toMatch(/deployments\s+deploy\s+apps\/v1\s+true\s+Deployment/);
    expect((await run("wait --for=delete cm/never --timeout=5s")).failed).toBe(false);
    const watching = run("get cm -w --request-timeout=3s");
    await run("create configmap watched");
    expect((await watching).out).toMatch(/watched\s+0/);
  });

  it("is told what is wrong", { timeout: 60_000 }, async () => {
    const wrong = (text: string, args = "create -f -") => run(args, text).then((r) => r.out);
    expect(await wrong('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"dota":{}}')).toContain(
      'unknown field "dota"',
    );
    expect(await wrong('{"apiVersion":"v9","kind":"Nope","metadata":{"name":"x"}}')).toContain(
      'no matches for kind "Nope" in version "v9"',
    );
    expect(await wrong('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"X_"}}')).toContain(
      "a lowercase RFC 1123 subdomain",
    );
    expect(
      await wrong(
        '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":5}',
        "create --validate=false -f -",
      ),
    ).toContain("json: cannot unmarshal number");
    expect((await run("get unicorns")).out).toContain(`doesn't have a resource type "unicorns"`);
    expect((await run("delete namespace default")).out).toContain("this namespace may not be deleted");
    expect((await run("apply --server-side -f -", manifest("v1"))).out).toContain(
      "server-side apply is not served yet",
    );
    expect((await run("logs web -n default -c two")).out).toBe("log of /containerLogs/default/web/two");
  });
});
