/** The `proxy` subresources over real sockets: to a kubelet, and to what a pod and a service serve. */
import { createServer as createHttpServer, type Server as HttpServer } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest, type Server } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { networkInterfaces } from "node:os";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endpointSlices, pods, services } from "#api";
import { startFakeKubelet } from "./fixtures/fake-kubelet.ts";
import { http1, type SecureServer, startSecureServer } from "./fixtures/secure-server.ts";

/** Loopback is not reached through the server: what pods serve needs an address of its own. */
const address = Object.values(networkInterfaces())
  .flat()
  .find((each) => each?.family === "IPv4" && !each.internal && !each.address.startsWith("169.254."))?.address;

const inDefault = "/api/v1/namespaces/default";
let server: SecureServer;
let kubelet: Server;

beforeAll(async () => {
  server = await startSecureServer();
  kubelet = await startFakeKubelet(server);
});
afterAll(async () => {
  kubelet?.closeAllConnections();
  kubelet?.close();
  await server?.stop();
});

/** What came back on an upgraded connection until it ends with `end`. */
function upgraded(path: string, end: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { api, authority, admin } = server;
    const headers = { connection: "Upgrade", upgrade: "echo", authorization: "Bearer of-nobody" };
    const tls = { ca: authority.cert, cert: admin.cert, key: admin.key };
    const request = httpsRequest({ host: "127.0.0.1", port: api.port, path, agent: false, headers, ...tls });
    request.on("upgrade", (_, socket, head) => {
      let received = head.toString();
      socket.on("data", (chunk: Buffer) => {
        received += chunk;
        if (!received.endsWith(end)) return;
        socket.destroy();
        resolve(received);
      });
      socket.write(end);
    });
    request.on("response", (response) => {
      text(response).then((words) => resolve(`${response.statusCode} ${words}`), reject);
    });
    request.on("error", reject);
    request.end();
  });
}

describe("nodes/proxy", () => {
  it("is the kubelet, to which the server proves who it is", async () => {
    const answer = await http1(server, "GET", "/api/v1/nodes/n1/proxy/containerLogs/a%2Fb/c?x=%20y&z");
    expect(answer).toMatchObject({ status: 200, text: "log of /containerLogs/a%2Fb/c?x=%20y&z" });
    expect(await http1(server, "POST", "/api/v1/nodes/n1/proxy/exec")).toMatchObject({
      status: 403,
      text: "no exec today",
    });
  });

  it("passes upgrades on", async () => {
    expect(await upgraded("/api/v1/nodes/n1/proxy/some/where", "hello")).toBe("GET /some/where hello");
  });

  it("does not reach other ports of the server's own machine", async () => {
    const answer = await http1(server, "GET", "/api/v1/nodes/n1:22/proxy/");
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.text)).toMatchObject({ message: "address not allowed" });
  });

  it("is not for those who do not say who they are", async () => {
    const answer = await http1(server, "GET", "/api/v1/nodes/n1/proxy/healthz", { anonymous: true });
    expect(answer.status).toBe(403);
  });
});

describe("hostile requests", () => {
  it("an upload to nowhere is answered, and its stream ends", async () => {
    const { api, authority, admin } = server;
    const session = connectHttp2(api.url, { ca: authority.cert, cert: admin.cert, key: admin.key });
    const stream = session.request({ ":method": "POST", ":path": `${inDefault}/services/none/proxy/` });
    const closed = new Promise((resolve) => stream.once("close", resolve));
    stream.write(Buffer.alloc(5_000_000));
    expect(JSON.parse(await text(stream))).toMatchObject({ code: 404, message: 'services "none" not found' });
    await closed;
    session.close();
  });

  it("a path with bytes that no URL has is refused, for upgrades too", async () => {
    const { api, authority, admin } = server;
    for (const upgrade of ["", "connection: Upgrade\r\nupgrade: echo\r\n"]) {
      const tls = { ca: authority.cert, cert: admin.cert, key: admin.key };
      const socket = connectTls({ host: "127.0.0.1", port: api.port, servername: "localhost", ...tls });
      socket.write(
        `GET /api/v1/nodes/n1/proxy/\xff HTTP/1.1\r\nhost: x\r\n${upgrade}connection: close\r\n\r\n`,
        "latin1",
      );
      expect(await text(socket)).toMatch(/^HTTP\/1\.1 400 /);
    }
    expect((await http1(server, "GET", "/api/v1/nodes/n1/proxy/%zz")).status).toBe(400);
  });

  it("a client that goes takes its request along", async () => {
    const { api, authority, admin } = server;
    const gone = new Promise<void>((resolve) => {
      kubelet.once("request", (request) => request.socket.once("close", resolve));
    });
    const tls = { ca: authority.cert, cert: admin.cert, key: admin.key };
    const path = "/api/v1/nodes/n1/proxy/slow";
    const headers = { "content-length": "1000000" };
    const request = httpsRequest({
      host: "127.0.0.1",
      port: api.port,
      path,
      method: "POST",
      agent: false,
      headers,
      ...tls,
    });
    request.on("error", () => {});
    const arrived = new Promise((resolve) => kubelet.once("request", resolve));
    request.write("a little");
    await arrived;
    request.destroy();
    await gone;
  });
});

describe.skipIf(!address)("pods/proxy and services/proxy", () => {
  let backend: HttpServer;
  let port: number;
  let closedPort: number;

  beforeAll(async () => {
    ({ server: backend, port } = await startBackend());
    closedPort = await portThatIsClosed();
    const { client } = server;
    const status = { podIP: address!, podIPs: [{ ip: address! }] };
    const pod = { namespace: "default", name: "web" };
    await client.patch(pods, pod, "merge", { status }, { subresource: "status" });
    await client.create(services, { metadata: pod, spec: { ports: [{ name: "http", port: 80 }] } });
    await client.create(endpointSlices, {
      metadata: { ...pod, labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      ports: [{ name: "http", port }],
      endpoints: [{ addresses: [address!], targetRef: { kind: "Pod", ...pod } }],
    });
  });
  afterAll(() => {
    backend.closeAllConnections();
    backend.close();
  });

  it.each(["web:http", "web:80", "http:web:http"])("services/%s", async (name) => {
    const answer = await http1(server, "GET", `${inDefault}/services/${name}/proxy/a?b=c`);
    expect(answer).toMatchObject({ status: 200, text: "GET /a?b=c " });
    expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
  });

  it("every method with its body, and nothing that says who asks", async () => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      const sized = { "content-length": "5" };
      const chunked = { "transfer-encoding": "chunked" };
      const headers = { authorization: "Bearer of-nobody", ...(method === "DELETE" ? chunked : sized) };
      const answer = await http1(server, method, `${inDefault}/pods/web:${port}/proxy/x`, {
        body: "words",
        headers,
      });
      expect(answer).toMatchObject({ status: 200, text: `${method} /x words` });
      expect(answer.headers["x-authorization"]).toBe("none");
    }
    const head = await http1(server, "HEAD", `${inDefault}/pods/web:${port}/proxy/x`);
    expect(head).toMatchObject({ status: 200, text: "" });
  });

  it("bodies larger than any object, both ways", async () => {
    const body = Buffer.alloc(8_000_000, "knarr ");
    const answer = await http1(server, "POST", `${inDefault}/services/web:http/proxy/`, { body });
    expect(answer.status).toBe(200);
    expect(answer.text === `POST / ${body}`).toBe(true);
  });

  it("over HTTP/2, with answers that have no body too", async () => {
    const { api, authority, admin } = server;
    const session = connectHttp2(api.url, { ca: authority.cert, cert: admin.cert, key: admin.key });
    const send = async (method: string, path: string, body = "") => {
      const head = { ":method": method, ":path": `${inDefault}/services/web:http/proxy${path}` };
      const stream = session.request(head, { endStream: !body });
      let status: unknown;
      stream.on("response", (headers) => {
        status = headers[":status"];
      });
      if (body) stream.end(body);
      return `${await text(stream)}|${status}`;
    };
    expect(await send("POST", "/two", "bytes")).toBe("POST /two bytes|200");
    expect(await send("GET", "/two")).toBe("GET /two |200");
    expect(await send("HEAD", "/two")).toBe("|200");
    expect(await send("GET", "/nothing")).toBe("|204");
    session.close();
  });

  it("redirections stay behind the prefix", async () => {
    const answer = await http1(server, "GET", `${inDefault}/services/web:http/proxy/redirect`);
    expect(answer).toMatchObject({
      status: 302,
      headers: { location: `${inDefault}/services/web:http/proxy/there?a=b` },
    });
  });

  it("upgrades, and the words of a backend that does not want to", async () => {
    expect(await upgraded(`${inDefault}/services/web:http/proxy/echo`, "ahoy")).toBe(
      "/echo echo undefined ahoy",
    );
    expect(await upgraded(`${inDefault}/pods/web:${port}/proxy/refuse`, "ahoy")).toBe("404 no echo");
  });

  it("a backend that breaks off breaks off for the client too, and only for that one", async () => {
    await expect(http1(server, "GET", `${inDefault}/services/web:http/proxy/broken`)).rejects.toThrow();
    expect((await http1(server, "GET", `${inDefault}/services/web:http/proxy/well`)).status).toBe(200);
  });

  it("where nobody listens: 503, for upgrades as well", async () => {
    const path = `${inDefault}/pods/web:${closedPort}/proxy/`;
    const answer = await http1(server, "GET", path);
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toMatchObject({
      kind: "Status",
      reason: "ServiceUnavailable",
      message: expect.stringMatching(/^error trying to reach service: /),
    });
    expect(await upgraded(path, "ahoy")).toMatch(/^503 .*error trying to reach service/);
  });
});

async function startBackend(): Promise<{ server: HttpServer; port: number }> {
  const server = createHttpServer((request, response) => {
    response.setHeader("set-cookie", ["a=1", "b=2"]);
    response.setHeader("x-authorization", request.headers.authorization ?? "none");
    if (request.url === "/nothing") response.writeHead(204).end();
    else if (request.url === "/redirect") response.writeHead(302, { location: "/there?a=b" }).end();
    else if (request.url === "/refuse") response.writeHead(404).end("no echo");
    else if (request.url === "/broken") {
      response.writeHead(200, { "content-length": "100" });
      response.write("half", () => response.destroy());
    } else {
      response.write(`${request.method} ${request.url} `);
      request.pipe(response);
    }
  });
  server.on("upgrade", (request, socket) => {
    if (request.url === "/refuse") {
      socket.end("HTTP/1.1 404 Not Found\r\ncontent-length: 7\r\n\r\nno echo");
      return;
    }
    socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    socket.write(`${request.url} ${request.headers.upgrade} ${request.headers.authorization} `);
    socket.pipe(socket);
    socket.on("error", () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return { server, port: (server.address() as AddressInfo).port };
}

async function portThatIsClosed(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
