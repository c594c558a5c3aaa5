/** Logs, exec and port-forward through the API server to a kubelet, over real sockets. */
import { request as httpsRequest, type Server } from "node:https";
import { connect as tlsConnect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ApiServer } from "#apiserver";
import type { Authority, KeyPair } from "../../src/distro/certificates.ts";
import { startFakeKubelet } from "./fixtures/fake-kubelet.ts";
import { http1, type SecureServer, startSecureServer } from "./fixtures/secure-server.ts";

let server: SecureServer;
let api: ApiServer;
let authority: Authority;
let admin: KeyPair;
let kubelet: Server;

beforeAll(async () => {
  server = await startSecureServer();
  ({ api, authority, admin } = server);
  kubelet = await startFakeKubelet(server);
});
afterAll(async () => {
  kubelet?.closeAllConnections();
  kubelet?.close();
  await server?.stop();
});

describe("streams through to the kubelet", () => {
  const pod = "/api/v1/namespaces/default/pods/web";

  it("logs of a named container", async () => {
    const named = await http1(server, "GET", `${pod}/log?container=two&tailLines=3`);
    expect(named).toMatchObject({ status: 200, text: "log of /containerLogs/default/web/two?tailLines=3" });
    expect((await http1(server, "GET", `${pod}/log`)).text).toContain(
      "a container name must be specified for pod web, choose one of: [one two]",
    );
    expect((await http1(server, "GET", `${pod}/log?container=three`)).text).toContain(
      "container three is not valid for pod web",
    );
  });

  it("what the kubelet says of a log it does not have", async () => {
    const answer = await http1(server, "GET", `${pod}/log?container=one&previous=true`);
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
    expect(await spdy(`${pod}/portforward?ports=80&ports=81&x=y`)).toContain(
      "POST /portForward/default/web?port=80&port=81 hello",
    );
  });

  it("the kubelet's own words reach the client", async () => {
    expect(await spdy(`${pod}/exec?container=one&command=refuse`)).toBe("400 not allowed");
    expect(await spdy(`${pod}/exec?container=none&command=sh`)).toContain(
      "container none is not valid for pod web",
    );
    expect(await spdy("/api/v1/namespaces/default/pods/none/exec")).toContain('pods \\"none\\" not found');
  });

  it("WebSocket handshakes pass through with all the protocols that the client offers", async () => {
    const offered = "v5.channel.k8s.io, SPDY/3.1+portforward.k8s.io, v4.channel.k8s.io";
    const text = await new Promise<string>((resolve, reject) => {
      const request = httpsRequest({
        host: "127.0.0.1",
        port: api.port,
        path: `${pod}/exec?container=one&command=sh&stdout=true`,
        ca: authority.cert,
        cert: admin.cert,
        key: admin.key,
        agent: false,
        headers: { connection: "Upgrade", upgrade: "websocket", "sec-websocket-protocol": offered },
      });
      request.on("upgrade", (_, socket, head) => {
        let received = head.toString();
        socket.on("data", (chunk: Buffer) => {
          received += chunk;
          if (received.endsWith("hello")) resolve(received);
        });
        socket.write("hello");
      });
      request.on("error", reject);
      request.end();
    });
    expect(text).toBe(`GET /exec/default/web/one?command=sh&output=1 ${offered} hello`);
  });

  it("without credentials there is no stream", async () => {
    const text = await new Promise((resolve) => {
      const socket = tlsConnect({ host: "127.0.0.1", port: api.port, ca: authority.cert });
      socket.on("data", (chunk) => resolve(String(chunk)));
      socket.write(
        `POST ${pod}/exec HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n`,
      );
    });
    expect(text).toMatch(/^HTTP\/1\.1 403 /);
  });
});
