/** The Gateway API on a real HAProxy. https://gateway-api.sigs.k8s.io/ */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import {
  connect as connectHttp2,
  createServer as createHttp2Server,
  type ServerHttp2Stream,
} from "node:http2";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { eventually, newestKubectl, nodeAddress } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { clusterWeb, ok, type Web, webServer } from "./web.ts";

const kubectl = newestKubectl();
const namespace = "gateway";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const apply = (...objects: (string | object)[]) =>
  kubectl.ok(["apply", "-f", "-"], {
    input: objects.map((each) => (typeof each === "string" ? each : JSON.stringify(each))).join("\n---\n"),
  });
const folder = mkdtempSync(join(tmpdir(), "knarr-gateway-"));
const ends: (() => void)[] = [];
let web: Web;
let address: string;

const object = (kind: string, name: string, spec: object, home = namespace) => ({
  apiVersion: `gateway.networking.k8s.io/${kind === "ReferenceGrant" ? "v1beta1" : "v1"}`,
  kind,
  metadata: { name, namespace: home },
  spec,
});
const gateway = (name: string, listeners: object[]) =>
  object("Gateway", name, { gatewayClassName: "knarr", listeners });
const route = (name: string, hostnames: string[], rules: object[], parent: object = { name: "web" }) =>
  object("HTTPRoute", name, { parentRefs: [parent], hostnames, rules });
const to = (name: string, more: object = {}) => ({ name, port: 80, ...more });
const prefix = (value: string, more: object = {}) => ({ path: { type: "PathPrefix", value }, ...more });

const inNamespace = (yaml: string) => yaml.replace(/^metadata: \{/gm, `metadata: {namespace: ${namespace}, `);

/** The conditions of an object, or of its first parent: `Accepted=True(Accepted)`. */
async function conditions(kind: string, name: string, of = ".status.conditions"): Promise<string> {
  const path = `{range ${of}[*]}{.type}={.status}({.reason}) {end}`;
  return (await k("get", kind, name, "-o", `jsonpath=${path}`)).trim();
}

const routeConditions = (name: string, kind = "httproute") =>
  conditions(kind, name, ".status.parents[0].conditions");

async function untilConditions(read: () => Promise<string>, wanted: string): Promise<void> {
  await eventually(wanted, async () => {
    expect(await read()).toContain(wanted);
    return true;
  });
}

/** A Service that leads to a port of this machine. */
function serviceTo(name: string, port: number, appProtocol?: string): object[] {
  const protocol = appProtocol ? { appProtocol } : {};
  return [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace },
      spec: { ports: [{ port: 80, ...protocol }] },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-1`, namespace, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ port, ...protocol }],
      endpoints: [{ addresses: [address], conditions: { ready: true } }],
    },
  ];
}

beforeAll(async () => {
  await knarr(["up", "--gateway-api", "--name", inject("clusterName")], {
    env: { ...process.env, KUBECONFIG: inject("kubeconfig") },
  });
  web = await clusterWeb();
  address = await nodeAddress(kubectl);
  await kubectl.ok(["create", "namespace", namespace]);
  await apply(
    inNamespace(webServer("one")),
    inNamespace(webServer("two")),
    gateway("web", [{ name: "http", port: 80, protocol: "HTTP" }]),
  );
  await k("rollout", "status", "deployment/one", "--timeout=60s");
  await k("rollout", "status", "deployment/two", "--timeout=60s");
});

afterAll(async () => {
  for (const end of ends) end();
  rmSync(folder, { recursive: true, force: true });
  await kubectl.ok(["delete", "namespace", namespace, "elsewhere", "--ignore-not-found", "--timeout=60s"]);
});

test("a Gateway is accepted and says where it is", async () => {
  await k("wait", "--for=condition=Programmed", "gateway/web", "--timeout=20s");
  expect(await conditions("gateway", "web")).toBe("Accepted=True(Accepted) Programmed=True(Programmed)");
  expect(await kubectl.ok(["get", "gatewayclass", "knarr"])).toMatch(/knarr\s+knarr.dev\/gateway\s+True/);
  expect(await k("get", "gateway", "web")).toMatch(new RegExp(`web\\s+knarr\\s+${address}\\s+True`));
});

test("paths, headers, parameters, methods and weights choose the Service", async () => {
  const host = "routes.example.com";
  await apply(
    route(
      "routes",
      [host],
      [
        { matches: [prefix("/app")], backendRefs: [to("two")] },
        { matches: [prefix("/", { headers: [{ name: "x-two", value: "yes" }] })], backendRefs: [to("two")] },
        { matches: [prefix("/", { queryParams: [{ name: "n", value: "2 2" }] })], backendRefs: [to("two")] },
        { matches: [prefix("/", { method: "POST" })], backendRefs: [to("two")] },
        {
          matches: [{ path: { type: "RegularExpression", value: "/n[0-9]+" } }],
          filters: [
            {
              type: "URLRewrite",
              urlRewrite: { path: { type: "ReplaceFullPath", replaceFullPath: "/app/" } },
            },
          ],
          backendRefs: [to("two")],
        },
        {
          matches: [prefix("/half")],
          filters: [
            {
              type: "URLRewrite",
              urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" } },
            },
          ],
          backendRefs: [to("one", { weight: 1 }), to("two", { weight: 1 })],
        },
        { matches: [prefix("/")], backendRefs: [to("one")] },
      ],
    ),
  );
  const at = (path: string) => `http://${host}${path}`;
  expect((await web.answer(at("/"), ok)).body).toBe("one\n");
  expect((await web.ask(at("/app/"))).body).toBe("two app\n");
  expect((await web.ask(at("/"), { headers: { "x-two": "yes" } })).body).toBe("two\n");
  expect((await web.ask(at("/"), { headers: { "x-two": "no" } })).body).toBe("one\n");
  expect((await web.ask(at("/?n=2%202"))).body).toBe("two\n");
  // Both have no handler for POST at /: who answered is in neither, that there was an answer is.
  expect((await web.ask(at("/"), { method: "POST" })).status).not.toBe(404);
  expect((await web.ask(at("/n42"))).body).toBe("two app\n");
  expect((await web.ask(at("/N42"))).status).toBe(404);
  const halves = await Promise.all(Array.from({ length: 40 }, () => web.ask(at("/half/"))));
  const share = halves.filter(({ body }) => body === "two\n").length;
  expect(share).toBeGreaterThan(5);
  expect(share).toBeLessThan(35);
  expect(await routeConditions("routes")).toBe("Accepted=True(Accepted) ResolvedRefs=True(ResolvedRefs)");
  expect(await k("get", "gateway", "web", "-o", "jsonpath={.status.listeners[0].attachedRoutes}")).toBe("1");
});

test("filters redirect, rewrite and change headers", async () => {
  const host = "filters.example.com";
  const filter = (type: string, value: object) => ({
    filters: [{ type, [type[0]!.toLowerCase() + type.slice(1)]: value }],
  });
  await apply(
    route(
      "filters",
      [host],
      [
        {
          matches: [prefix("/secure")],
          ...filter("RequestRedirect", { scheme: "https", port: 443, statusCode: 301 }),
        },
        {
          matches: [prefix("/old")],
          ...filter("RequestRedirect", {
            hostname: "new.example.com",
            path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/new" },
          }),
        },
        {
          matches: [prefix("/cgi-bin")],
          filters: [
            {
              type: "RequestHeaderModifier",
              requestHeaderModifier: {
                set: [{ name: "x-set", value: "s %{x}" }],
                add: [{ name: "x-add", value: "a" }],
                remove: ["x-gone"],
              },
            },
            {
              type: "ResponseHeaderModifier",
              responseHeaderModifier: { set: [{ name: "x-answer", value: "yes" }] },
            },
            { type: "URLRewrite", urlRewrite: { hostname: "inner.example.com" } },
          ],
          backendRefs: [to("one")],
        },
        { matches: [prefix("/")], backendRefs: [to("one")] },
      ],
    ),
  );
  await web.answer(`http://${host}/`, ok);
  const secure = await web.ask(`http://${host}/secure/x?y=1`);
  expect([secure.status, secure.headers.location]).toEqual([301, `https://${host}/secure/x?y=1`]);
  const old = await web.ask(`http://${host}/old/x?y=1`);
  expect([old.status, old.headers.location]).toEqual([302, "http://new.example.com/new/x?y=1"]);
  const shown = await web.ask(`http://${host}/cgi-bin/show`, {
    headers: { "x-gone": "1", "x-set": "before" },
  });
  expect(shown.body).toContain("HTTP_X_SET=s %{x}\n");
  expect(shown.body).toContain("HTTP_X_ADD=a\n");
  expect(shown.body).not.toContain("HTTP_X_GONE");
  expect(shown.body).toContain("HTTP_HOST=inner.example.com\n");
  expect(shown.headers["x-answer"]).toBe("yes");
});

test("HTTPS listeners show their certificate; other namespaces are asked first", async () => {
  const host = "secure.example.com";
  const [cert, key] = [join(folder, "a.crt"), join(folder, "a.key")];
  const made = spawnSync("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", `/CN=${host}`, "-addext", `subjectAltName=DNS:${host}`, "-keyout", key, "-out", cert],
  ]);
  expect(made.status).toBe(0);
  await kubectl.ok(["create", "namespace", "elsewhere"]);
  await kubectl.ok(["-n", "elsewhere", "create", "secret", "tls", "cert", `--cert=${cert}`, `--key=${key}`]);
  await apply(
    gateway("tls", [
      {
        name: "https",
        port: 443,
        protocol: "HTTPS",
        hostname: host,
        tls: { certificateRefs: [{ name: "cert", namespace: "elsewhere" }] },
      },
    ]),
    route("tls", [], [{ backendRefs: [to("one")] }], { name: "tls" }),
  );
  const listener = () => conditions("gateway", "tls", ".status.listeners[0].conditions");
  await untilConditions(listener, "ResolvedRefs=False(RefNotPermitted)");
  expect(await listener()).toContain("Programmed=False(Invalid)");
  await apply(
    object(
      "ReferenceGrant",
      "certs",
      {
        from: [{ group: "gateway.networking.k8s.io", kind: "Gateway", namespace }],
        to: [{ group: "", kind: "Secret" }],
      },
      "elsewhere",
    ),
  );
  await untilConditions(listener, "Programmed=True(Programmed)");
  expect((await web.answer(`https://${host}/`, ok)).body).toBe("one\n");
  const session = connectHttp2(web.https.href, { servername: host, ca: readFileSync(cert) });
  const stream = session.request({ ":path": "/", ":authority": host });
  const status = await new Promise((resolve, reject) => {
    stream.on("response", (headers) => resolve(headers[":status"]));
    session.on("error", reject);
  });
  session.destroy();
  expect(status).toBe(200);
});

test("routes that cannot be served say why, and answer 500 where they lead nowhere", async () => {
  await apply(
    gateway("narrow", [
      { name: "a", port: 8180, protocol: "HTTP", hostname: "*.narrow.example.com" },
      { name: "tcp", port: 8181, protocol: "TCP" },
    ]),
    route("deep", ["x.y.narrow.example.com"], [{ backendRefs: [to("one")] }], { name: "narrow" }),
    route("foreign", ["other.example.com"], [{ backendRefs: [to("one")] }], { name: "narrow" }),
    route("section", [], [{ backendRefs: [to("one")] }], { name: "narrow", sectionName: "b" }),
    route("nobody", ["nobody.narrow.example.com"], [{ backendRefs: [to("nobody")] }], { name: "narrow" }),
    route(
      "mirror",
      ["mirror.narrow.example.com"],
      [
        {
          filters: [{ type: "RequestMirror", requestMirror: { backendRef: to("two") } }],
          backendRefs: [to("one")],
        },
      ],
      { name: "narrow" },
    ),
    object(
      "HTTPRoute",
      "away",
      { parentRefs: [{ name: "narrow", namespace }], rules: [{ backendRefs: [to("one")] }] },
      "elsewhere",
    ),
  );
  const accepted = { a: "Accepted=False(NoMatchingListenerHostname)", b: "Accepted=False(NoMatchingParent)" };
  await untilConditions(() => routeConditions("foreign"), accepted.a);
  await untilConditions(() => routeConditions("section"), accepted.b);
  await untilConditions(() => routeConditions("nobody"), "ResolvedRefs=False(BackendNotFound)");
  await untilConditions(() => routeConditions("mirror"), "Accepted=False(UnsupportedValue)");
  expect(
    await kubectl.ok([
      ...["-n", "elsewhere", "get", "httproute", "away"],
      ...["-o", "jsonpath={.status.parents[0].conditions[0].reason}"],
    ]),
  ).toBe("NotAllowedByListeners");
  expect(await conditions("gateway", "narrow", ".status.listeners[1].conditions")).toContain(
    "Accepted=False(UnsupportedProtocol)",
  );
  expect((await web.answer("http://x.y.narrow.example.com:8180/", ok)).body).toBe("one\n");
  expect((await web.ask("http://nobody.narrow.example.com:8180/")).status).toBe(500);
  expect((await web.ask("http://narrow.example.com:8180/")).status).toBe(404);
});

test("a port that somebody has is left to him, and taken when it is free", async () => {
  const other = createTcpServer().listen(0, "0.0.0.0");
  ends.push(() => other.close());
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as AddressInfo;
  await apply(gateway("taken", [{ name: "a", port, protocol: "HTTP" }]));
  const listener = () => conditions("gateway", "taken", ".status.listeners[0].conditions");
  await untilConditions(listener, "Accepted=False(PortUnavailable)");
  expect((await web.ask("http://routes.example.com/")).status).toBe(200);
  other.close();
  await untilConditions(listener, "Programmed=True(Programmed)");
  await k("delete", "gateway", "taken");
});

test("gRPC is HTTP/2 as far as the server", async () => {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "x-path": headers[":path"] }));
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
  });
  server.listen(0, address);
  ends.push(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await apply(
    ...serviceTo("calls", port),
    object("GRPCRoute", "calls", {
      parentRefs: [{ name: "web" }],
      hostnames: ["calls.example.com"],
      rules: [
        { matches: [{ method: { service: "a.Greeter", method: "Hello" } }], backendRefs: [to("calls")] },
      ],
    }),
  );
  await untilConditions(() => routeConditions("calls", "grpcroute"), "Accepted=True(Accepted)");
  const session = connectHttp2(web.http.href);
  ends.push(() => session.destroy());
  const call = (path: string) =>
    new Promise((resolve, reject) => {
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        ":authority": "calls.example.com",
        "content-type": "application/grpc",
        te: "trailers",
      });
      stream.on("response", (headers) => headers[":status"] !== 200 && resolve(headers[":status"]));
      stream.on("trailers", (trailers) => resolve(`${trailers["grpc-status"]} ${trailers["x-path"]}`));
      stream.on("error", reject);
      stream.resume();
      stream.end(Buffer.from([0, 0, 0, 0, 0]));
    });
  expect(await eventually("an answer", () => call("/a.Greeter/Hello"))).toBe("0 /a.Greeter/Hello");
  expect(await call("/a.Greeter/Bye")).toBe(404);
});

test("WebSockets stay open through the gateway", async () => {
  const server = new WebSocketServer({ port: 0, host: address });
  server.on("connection", (socket) => socket.on("message", (data) => socket.send(`heard ${data}`)));
  ends.push(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address() as AddressInfo;
  await apply(
    ...serviceTo("sockets", port),
    route("sockets", ["sockets.example.com"], [{ backendRefs: [to("sockets")] }]),
  );
  await untilConditions(() => routeConditions("sockets"), "Accepted=True(Accepted)");
  const socket = new WebSocket(`ws://${web.http.host}/`, { headers: { host: "sockets.example.com" } });
  ends.push(() => socket.terminate());
  const heard = await new Promise((resolve, reject) => {
    socket.on("open", () => socket.send("hello"));
    socket.on("message", (data) => resolve(String(data)));
    socket.on("error", reject);
  });
  expect(heard).toBe("heard hello");
  // A change of structure: the old worker keeps the connection.
  await apply(
    route("late", ["late.example.com"], [{ timeouts: { request: "7s" }, backendRefs: [to("one")] }]),
  );
  await web.answer("http://late.example.com/", ok);
  const again = new Promise((resolve) => socket.once("message", (data) => resolve(String(data))));
  socket.send("still there");
  expect(await again).toBe("heard still there");
});

test("without the Gateway nothing is served, and its routes say nothing more", async () => {
  await k("delete", "gateway", "web");
  await eventually("the end of the status", async () => {
    expect(await k("get", "httproute", "routes", "-o", "jsonpath={.status.parents}")).toBe("[]");
    return true;
  });
  await eventually("the end of its port", async () => {
    await expect(web.ask("http://routes.example.com/")).rejects.toThrow("ECONNREFUSED");
    return true;
  });
});
