/** An API server behind this one: who asks is told, its resources are discovered, and its absence is 503. */
import { createServer, type Server } from "node:https";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, it } from "vitest";
import { apiServices, configMaps, endpointSlices, services } from "#api";
import { eventually } from "./fixtures/embedded.ts";
import { http1, local, type SecureServer, startSecureServer } from "./fixtures/secure-server.ts";

let server: SecureServer;
let other: Server;
let port: number;
const seen: { url: string; user: unknown; groups: unknown; peer: string }[] = [];

const resources = [
  { name: "nodes", singularName: "", namespaced: false, kind: "NodeMetrics", verbs: ["get", "list"] },
];

beforeAll(async () => {
  server = await startSecureServer();
  const names = { dnsNames: ["metrics.default.svc"], addresses: local.addresses };
  const pair = await server.authority.issue({ commonName: "metrics", use: "server", ...names });
  const options = { ...pair, ca: server.frontProxyCa, requestCert: true, rejectUnauthorized: true };
  other = createServer(options, (request, response) => {
    const { headers, url = "" } = request;
    const peer = (request.socket as TLSSocket).getPeerCertificate().subject.CN;
    seen.push({ url, user: headers["x-remote-user"], groups: headers["x-remote-group"], peer: String(peer) });
    response.setHeader("content-type", "application/json");
    const list = {
      kind: "APIResourceList",
      apiVersion: "v1",
      groupVersion: "metrics.example.com/v1",
      resources,
    };
    const items = [{ metadata: { name: "n1" } }];
    const isList = url.startsWith("/apis/metrics.example.com/v1/nodes");
    response.end(
      JSON.stringify(
        isList ? { kind: "NodeMetricsList", apiVersion: "metrics.example.com/v1", items } : list,
      ),
    );
  });
  await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
  ({ port } = other.address() as { port: number });
});
afterAll(async () => {
  other?.closeAllConnections();
  other?.close();
  await server?.stop();
});

it("has an APIService of its own for every group version", async () => {
  const { items } = await server.client.list(apiServices);
  const names = items.map(({ metadata }) => metadata.name);
  expect(names).toEqual(expect.arrayContaining(["v1.", "v1.apps", "v1.batch", "v1.apiregistration.k8s.io"]));
  expect(items.find(({ metadata }) => metadata.name === "v1.apps")).toMatchObject({
    metadata: { labels: { "kube-aggregator.kubernetes.io/automanaged": "onstart" } },
    spec: { groupPriorityMinimum: 17_800, versionPriority: 15 },
    status: { conditions: [{ type: "Available", status: "True", reason: "Local" }] },
  });
});

it("says how its callers are known", async () => {
  const at = { namespace: "kube-system", name: "extension-apiserver-authentication" };
  const { data } = await server.client.get(configMaps, at);
  expect(data).toMatchObject({
    "client-ca-file": server.authority.cert,
    "requestheader-client-ca-file": server.frontProxyCa,
    "requestheader-allowed-names": '["front-proxy-client"]',
  });
});

it("passes on what lives elsewhere while it is well", { timeout: 60_000 }, async () => {
  const { client } = server;
  const path = "/apis/metrics.example.com/v1/nodes";
  await client.create(apiServices, {
    metadata: { name: "v1.metrics.example.com" },
    spec: {
      group: "metrics.example.com",
      version: "v1",
      groupPriorityMinimum: 100,
      versionPriority: 100,
      caBundle: Buffer.from(server.authority.cert).toString("base64"),
      service: { name: "metrics", namespace: "default" },
    },
  });
  const condition = async () =>
    (await client.get(apiServices, { name: "v1.metrics.example.com" })).status.conditions?.[0];
  await eventually(async () =>
    expect(await condition()).toMatchObject({
      status: "False",
      reason: "ServiceNotFound",
      message: 'service/metrics in "default" is not present',
    }),
  );
  expect(await http1(server, "GET", path)).toMatchObject({ status: 503 });
  await client.create(services, {
    metadata: { name: "metrics", namespace: "default" },
    spec: { ports: [{ port: 443, targetPort: port }] },
  });
  await eventually(async () =>
    expect(await condition()).toMatchObject({
      status: "False",
      reason: "EndpointsNotFound",
      message: 'cannot find endpointslices for service/metrics in "default"',
    }),
  );
  await client.create(endpointSlices, {
    metadata: { name: "metrics", namespace: "default", labels: { "kubernetes.io/service-name": "metrics" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.0.0.1"], conditions: { ready: true } }],
    ports: [{ name: "", port, protocol: "TCP" as const }],
  } as never);
  await eventually(async () => expect(await condition()).toMatchObject({ status: "True", reason: "Passed" }));
  const answer = await http1(server, "GET", `${path}?limit=5`, { headers: { "x-remote-user": "nobody" } });
  expect(JSON.parse(answer.text)).toMatchObject({
    kind: "NodeMetricsList",
    items: [{ metadata: { name: "n1" } }],
  });
  expect(seen.at(-1)).toEqual({
    url: `${path}?limit=5`,
    user: "admin",
    groups: "system:masters, system:authenticated",
    peer: "front-proxy-client",
  });
  const aggregated = { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" };
  const discovery = JSON.parse((await http1(server, "GET", "/apis", { headers: aggregated })).text);
  const group = discovery.items.find(
    (each: { metadata: { name: string } }) => each.metadata.name === "metrics.example.com",
  );
  expect(group.versions).toMatchObject([
    {
      version: "v1",
      freshness: "Current",
      resources: [{ resource: "nodes", responseKind: { kind: "NodeMetrics" } }],
    },
  ]);
  await client.delete(apiServices, { name: "v1.metrics.example.com" });
  expect(await http1(server, "GET", path)).toMatchObject({ status: 404 });
});
