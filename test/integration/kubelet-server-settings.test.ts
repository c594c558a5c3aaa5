/** What a KubeletConfiguration changes of the kubelet's servers, behind real sockets. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, expect, it, onTestFinished } from "vitest";
import { type Clock, createWorld, silentLogger, VirtualClock } from "#base";
import { createAuthority } from "../../src/distro/certificates.ts";
import { defaultConfig, type ServerSettings } from "../../src/kubelet/config/settings.ts";
import { type KubeletServerOptions, startKubeletServer } from "../../src/kubelet/server/server.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-kubelet-server-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

interface Answer {
  status: number;
  text: string;
}

function ask(send: typeof httpRequest, options: object): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = send({ agent: false, host: "127.0.0.1", ...options }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    sent.on("error", reject).end();
  });
}

/** Nobody has it for the moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function start(settings: Partial<ServerSettings> = {}, more: object = {}, clock?: Clock) {
  const world = createWorld({ log: silentLogger, ...(clock ? { clock } : {}) });
  const authority = await createAuthority(createWorld(), "test");
  const serving = () => authority.issue({ commonName: "node", use: "server", addresses: ["127.0.0.1"] });
  const server = await startKubeletServer({
    host: "127.0.0.1",
    port: 0,
    tls: await serving(),
    clientCa: authority.cert,
    world,
    context: {},
    workers: { list: () => [], sinceRelistMs: () => 0 },
    configuration: { maxPods: 3 },
    ...more,
    settings: { ...defaultConfig, ...settings },
  } as unknown as KubeletServerOptions);
  onTestFinished(() => server.stop());
  const organizations = ["system:masters"];
  const admin = await authority.issue({ commonName: "admin", organizations, use: "client" });
  const target = { port: server.port, ca: authority.cert };
  return {
    serving,
    target: { host: "127.0.0.1", ...target, ...admin },
    asAdmin: (path: string, headers = {}) => ask(httpsRequest, { ...target, ...admin, path, headers }),
    asNobody: (path: string, headers = {}) => ask(httpsRequest, { ...target, path, headers }),
  };
}

const disabled = { status: 405, text: "Debug endpoints are disabled." };
const upgrade = { connection: "Upgrade", upgrade: "SPDY/3.1" };

it("without debugging handlers nobody reads logs or enters containers", async () => {
  const { asAdmin } = await start({ enableDebuggingHandlers: false });
  for (const path of [
    "/containerLogs/default/web/main",
    "/runningpods/",
    "/exec/default/web/main?command=sh",
  ])
    expect(await asAdmin(path)).toEqual(disabled);
  expect(await asAdmin("/exec/default/web/main?command=sh&input=1", upgrade)).toEqual(disabled);
  expect(await asAdmin("/portForward/default/web", upgrade)).toEqual(disabled);
  expect((await asAdmin("/configz")).status).toBe(404);
  expect(await asAdmin("/healthz")).toEqual({ status: 200, text: "ok" });
  expect((await asAdmin("/pods")).status).toBe(200);
});

it("shows what is in effect", async () => {
  const { asAdmin } = await start();
  expect(await asAdmin("/configz")).toEqual({ status: 200, text: '{"kubeletconfig":{"maxPods":3}}' });
});

/** The API server answers that everybody may read figures, and nothing else. */
function metricsOnly() {
  const asked: string[] = [];
  const client = {
    create: async (
      _: unknown,
      { spec }: { spec: { user: string; resourceAttributes: { subresource: string } } },
    ) => {
      const { subresource } = spec.resourceAttributes;
      asked.push(`${spec.user} ${subresource}`);
      return { status: { allowed: subresource === "metrics" } };
    },
  };
  return { asked, context: { client, nodeName: "node-1" } };
}

it("those who show nothing may come where the settings say so, and what they may is asked", async () => {
  const { asked, context } = metricsOnly();
  const { asNobody } = await start(
    { authentication: { ...defaultConfig.authentication, anonymous: true } },
    { context },
  );
  expect(await asNobody("/pods")).toEqual({
    status: 403,
    text: "Forbidden (user=system:anonymous, verb=get, resource=nodes, subresource(s)=[pods proxy])",
  });
  expect((await asNobody("/metrics/nothing")).status).toBe(404);
  // It is asked about what is answered, however the path is written.
  expect((await asNobody("/metrics/../configz")).status).toBe(403);
  expect((await asNobody("/metrics/%2e%2e/configz")).status).toBe(403);
  expect(asked).toContain("system:anonymous configz");
  expect((await (await start()).asNobody("/pods")).status).toBe(401);
});

it("may let everybody do everything who says who he is", async () => {
  const anonymous = { ...defaultConfig.authentication, anonymous: true };
  const always = { ...defaultConfig.authorization, mode: "AlwaysAllow" };
  const { asNobody } = await start({ authentication: anonymous, authorization: always });
  expect((await asNobody("/configz")).status).toBe(200);
  const { asNobody: asStranger } = await start({ authorization: always });
  expect((await asStranger("/configz")).status).toBe(401);
});

it("tokens are not looked at where they are not wanted", async () => {
  const none = { ...defaultConfig.authentication, tokens: false };
  const { asNobody } = await start({ authentication: none });
  expect((await asNobody("/pods", { authorization: "Bearer abc" })).status).toBe(401);
});

it("reads without asking who it is, and says that it is well, each on a port of its own", async () => {
  const [readOnlyPort, healthzPort] = [await freePort(), await freePort()];
  const { asAdmin } = await start({ readOnlyPort, healthzPort, enableServer: true });
  const read = (path: string) => ask(httpRequest, { port: readOnlyPort, path });
  expect((await read("/pods")).status).toBe(200);
  expect(await read("/healthz")).toEqual({ status: 200, text: "ok" });
  expect(await read("/containerLogs/default/web/main")).toEqual(disabled);
  expect(await read("/exec/default/web/main")).toEqual(disabled);
  expect((await read("/configz")).status).toBe(404);
  expect((await read("/localVolumes/")).status).toBe(404);
  expect(await ask(httpRequest, { port: healthzPort, path: "/healthz" })).toEqual({
    status: 200,
    text: "ok",
  });
  expect((await ask(httpRequest, { port: healthzPort, path: "/pods" })).status).toBe(404);
  expect((await asAdmin("/healthz")).status).toBe(200);
});

it("health is served once its port is free", async () => {
  const blocker = createServer();
  await new Promise<void>((resolve) => blocker.listen(0, "127.0.0.1", resolve));
  const { port: healthzPort } = blocker.address() as { port: number };
  const clock = new VirtualClock();
  await start({ healthzPort }, {}, clock);
  await new Promise((resolve) => blocker.close(resolve));
  const well = () => ask(httpRequest, { port: healthzPort, path: "/healthz" }).catch(() => undefined);
  let answer: Answer | undefined;
  while (!answer) {
    await clock.advance(5000);
    answer = await well();
  }
  expect(answer.status).toBe(200);
});

function handshake(options: object): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options, () => resolve(socket));
    socket.on("error", reject);
    onTestFinished(() => void socket.destroy());
  });
}

it("TLS begins at the version, and has the ciphers, that are set", async () => {
  const { target } = await start({ tlsMinVersion: "VersionTLS13" });
  await expect(handshake({ ...target, maxVersion: "TLSv1.2" })).rejects.toThrow();
  expect((await handshake(target)).getProtocol()).toBe("TLSv1.3");
  const one = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384";
  const { target: chosen } = await start({ tlsCipherSuites: [one] });
  const old = { ...chosen, maxVersion: "TLSv1.2" };
  expect((await handshake(old)).getCipher().standardName).toBe(one);
  await expect(handshake({ ...old, ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" })).rejects.toThrow();
  // As in Go, what TLS 1.3 has is not chosen from.
  expect((await handshake(chosen)).getProtocol()).toBe("TLSv1.3");
});

it("serves with the certificate of files, and with the next one once they have changed", async () => {
  const [tlsCertFile, tlsKeyFile] = [join(dir, "cert.pem"), join(dir, "key.pem")];
  const authority = await createAuthority(createWorld(), "files");
  const issue = async (commonName: string) => {
    const pair = await authority.issue({ commonName, use: "server", addresses: ["127.0.0.1"] });
    writeFileSync(tlsCertFile, pair.cert);
    writeFileSync(tlsKeyFile, pair.key);
  };
  await issue("first");
  const clock = new VirtualClock();
  const { target } = await start({ tlsCertFile, tlsKeyFile }, {}, clock);
  const subject = async () => {
    const socket = await handshake({ ...target, ca: authority.cert });
    return socket.getPeerCertificate().subject.CN;
  };
  expect(await subject()).toBe("first");
  writeFileSync(tlsCertFile, "half of it");
  await clock.advance(60_000);
  expect(await subject()).toBe("first");
  await issue("second");
  while ((await subject()) !== "second") await clock.advance(60_000);
  expect(await subject()).toBe("second");
});

it("says what is wrong with a certificate", async () => {
  const tlsCertFile = join(dir, "none.pem");
  await expect(start({ tlsCertFile })).rejects.toThrow("the kubelet's certificate cannot be used");
});

it("a stream on which nothing is said is closed", async () => {
  const runtime = createServer((socket: Socket) => {
    socket.on("error", () => {});
    socket.write("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n");
  });
  await new Promise<void>((resolve) => runtime.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void runtime.close());
  const { port } = runtime.address() as { port: number };
  const pod = { metadata: { name: "web" }, spec: { containers: [{ name: "main" }] } };
  const context = {
    runtime: { portForward: async () => `http://127.0.0.1:${port}/` },
    reader: { look: async () => ({ sandboxes: [{ id: "s", state: "SANDBOX_READY" }], containers: [] }) },
  };
  const workers = { find: () => ({ pod, uid: "1" }) };
  const { target } = await start({ streamingIdleMs: 50 }, { context, workers });
  const socket = await handshake(target);
  socket.write(
    `POST /portForward/default/web HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\r\n`,
  );
  let answer = "";
  for await (const chunk of socket) answer += chunk;
  expect(answer).toMatch(/^HTTP\/1.1 101 /);
});
