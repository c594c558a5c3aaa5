import { mkdtemp, readFile, rm } from "node:fs/promises";
import http2 from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type corev1, isStatus, type ResourceType, type StatusError } from "#api";
import { runOk } from "#base";
import { createClient, errorOf } from "./client.ts";
import { httpsTransport } from "./https-transport.ts";
import { FakeApi } from "./testing/fake-api.ts";

const configMaps: ResourceType<corev1.ConfigMap> = {
  group: "",
  version: "v1",
  resource: "configmaps",
  kind: "ConfigMap",
  namespaced: true,
};

test("writes carry the kind, reads answer the object, errors are statuses", async () => {
  const client = createClient(new FakeApi());
  const created = await client.create(configMaps, { metadata: { namespace: "default", name: "a" } });
  expect(created).toMatchObject({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a" } });
  const error = await client.get(configMaps, { namespace: "default", name: "b" }).catch((e: unknown) => e);
  expect(isStatus(error, "NotFound")).toBe(true);
  expect((error as StatusError).message).toBe('configmaps "b" not found');
});

test("a patch whose answer nobody reads answers nothing, and still throws what went wrong", async () => {
  const client = createClient(new FakeApi());
  await client.create(configMaps, { metadata: { namespace: "default", name: "a" } });
  const patch = (name: string) =>
    client.patch(
      configMaps,
      { namespace: "default", name },
      "merge",
      { data: { k: "v" } },
      { ignoresAnswer: true },
    );
  expect(await patch("a")).toBeUndefined();
  expect(await client.get(configMaps, { namespace: "default", name: "a" })).toMatchObject({
    data: { k: "v" },
  });
  expect(isStatus(await patch("b").catch((e: unknown) => e), "NotFound")).toBe(true);
});

test("an answer that is no Status becomes one", () => {
  expect(errorOf(503, "upstream down")).toMatchObject({ code: 503, reason: "ServiceUnavailable" });
  expect(errorOf(502, "")).toMatchObject({ code: 502, message: "the server answered 502" });
});

test("a watch ends quietly when its reader aborts", async () => {
  const api = new FakeApi();
  const client = createClient(api);
  const stop = new AbortController();
  const events: string[] = [];
  const reading = (async () => {
    for await (const event of client.watch(configMaps, { resourceVersion: "1", signal: stop.signal })) {
      events.push(event.object.metadata.name);
      stop.abort();
    }
  })();
  await client.create(configMaps, { metadata: { namespace: "default", name: "a" } });
  await reading;
  expect(events).toEqual(["a"]);
  expect(api.watches).toBe(0);
});

/** A server with a certificate of its own making, and how often a connection was opened. */
async function secureServer() {
  const folder = await mkdtemp(join(tmpdir(), "knarr-client-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  await runOk("openssl", [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1".split(" "),
    ...["-keyout", key, "-out", cert],
    ...subject,
  ]);
  const [keyPem, certPem] = await Promise.all([readFile(key), readFile(cert)]);
  await rm(folder, { recursive: true });
  const sessions: http2.ServerHttp2Session[] = [];
  const server = http2.createSecureServer({ key: keyPem, cert: certPem });
  server.on("session", (session) => sessions.push(session));
  server.on("stream", (stream: http2.ServerHttp2Stream, headers: http2.IncomingHttpHeaders) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200, "content-type": "application/json" });
    if (String(headers[":path"]).includes("watch")) stream.write('{"type":"BOOKMARK","object":{}}\n');
    else stream.end(JSON.stringify({ authorization: headers.authorization, method: headers[":method"] }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  const address = server.address() as { port: number };
  return { url: `https://127.0.0.1:${address.port}`, ca: certPem, sessions };
}

test("over HTTPS: one connection, a bearer token, a new connection after the old is lost", async () => {
  const { url, ca, sessions } = await secureServer();
  const transport = httpsTransport({ url, ca, token: "secret" });
  onTestFinished(() => transport.close());
  const client = createClient(transport);
  const answers = await Promise.all(
    [1, 2, 3].map(() => client.get(configMaps, { name: "x", namespace: "y" })),
  );
  expect(answers[0]).toEqual({ authorization: "Bearer secret", method: "GET" });
  expect(sessions).toHaveLength(1);
  const lost = new Promise((resolve) => sessions[0]!.once("close", resolve));
  sessions[0]!.destroy();
  await lost;
  await expect
    .poll(() => client.get(configMaps, { name: "x", namespace: "y" }).catch(() => undefined))
    .toBeDefined();
  expect(sessions).toHaveLength(2);
});

test("over HTTPS: a server that the authority does not vouch for is refused", async () => {
  const [{ url }, other] = await Promise.all([secureServer(), secureServer()]);
  const transport = httpsTransport({ url, ca: other.ca });
  onTestFinished(() => transport.close());
  await expect(createClient(transport).get(configMaps, { name: "x" })).rejects.toThrow(/certificate/);
});

test("over HTTPS: a watch is aborted at once and leaves no listener on the signal", async () => {
  const { url, ca } = await secureServer();
  const transport = httpsTransport({ url, ca });
  onTestFinished(() => transport.close());
  const stop = new AbortController();
  const events: string[] = [];
  for await (const event of createClient(transport).watch(configMaps, { signal: stop.signal })) {
    events.push(event.type);
    stop.abort();
  }
  expect(events).toEqual(["BOOKMARK"]);
});
