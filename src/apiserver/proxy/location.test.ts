import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endpointSlices, namespaces, nodes, pods, serviceAccounts, services } from "#api";
import { startTestServer, type TestServer } from "../testing/start.ts";
import { isProxyable, splitName } from "./location.ts";

describe("names", () => {
  it.each([
    ["web", { scheme: "", name: "web", port: "" }],
    ["web:http", { scheme: "", name: "web", port: "http" }],
    ["https:web:443", { scheme: "https", name: "web", port: "443" }],
    [":web:", { scheme: "", name: "web", port: "" }],
    ["ftp:web:21", undefined],
    ["a:b:c:d", undefined],
    ["http::80", undefined],
    ["", undefined],
  ])("%j", (id, expected) => expect(splitName(id)).toEqual(expected));

  it("read back what they were made of", () => {
    const part = fc.stringMatching(/^[a-z0-9.-]{1,20}$/);
    fc.assert(
      fc.property(fc.constantFrom("", "http", "https"), part, part, (scheme, name, port) => {
        expect(splitName(`${scheme}:${name}:${port}`)).toEqual({ scheme, name, port });
      }),
    );
  });
});

describe("addresses", () => {
  it.each(["10.1.2.3", "192.168.0.1", "fd00::1", "2001:db8::5"])("%s is reached", (address) =>
    expect(isProxyable(address)).toBe(true),
  );
  it.each([
    "127.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "224.0.0.1",
    "::1",
    "::",
    "fe80::1",
    "::ffff:127.0.0.1",
    "ff02::1",
    "localhost",
    "",
  ])("%j is not", (address) => expect(isProxyable(address)).toBe(false));
});

describe("what cannot be reached is said as upstream says it", () => {
  let server: TestServer;
  const inDefault = "/api/v1/namespaces/default";
  const container = { name: "c", image: "i" };

  beforeAll(async () => {
    server = await startTestServer();
    const { client } = server;
    await client.create(namespaces, { metadata: { name: "default" } }).catch(() => {});
    await client.create(serviceAccounts, { metadata: { name: "default", namespace: "default" } });
    await client.create(nodes, { metadata: { name: "n1" } });
    const metadata = { name: "web", namespace: "default" };
    await client.create(pods, { metadata, spec: { containers: [container] } });
    await client.create(services, { metadata, spec: { ports: [{ name: "http", port: 80 }] } });
    await client.create(endpointSlices, {
      metadata: { ...metadata, labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      ports: [{ name: "http", port: 8080 }],
      endpoints: [
        { addresses: ["10.0.0.9"] },
        { addresses: ["127.0.0.1"], targetRef: { kind: "Pod", name: "web", namespace: "default" } },
        { addresses: ["10.0.0.8"], targetRef: { kind: "Pod", name: "web", namespace: "default" } },
        { addresses: ["10.0.0.7"], conditions: { ready: false } },
      ],
    });
  });
  afterAll(() => server.stop());

  it.each([
    ["services/web:http", 503, 'no endpoints available for service "web:http"'],
    ["services/web", 503, 'no endpoints available for service "web"'],
    ["services/web:81", 503, 'no service port 81 found for service "web"'],
    ["services/none", 404, 'services "none" not found'],
    ["services/a:b:c:d", 400, 'invalid service request "a:b:c:d"'],
    ["pods/web", 400, "address not allowed"],
    ["pods/none", 404, 'pods "none" not found'],
    ["pods/ftp:web:21", 400, 'invalid pod request "ftp:web:21"'],
  ])("%s", async (name, status, message) => {
    const answer = await server.send("GET", `${inDefault}/${name}/proxy/`);
    expect(answer).toMatchObject({ status, body: { kind: "Status", message } });
  });

  it("nodes", async () => {
    const answer = await server.send("GET", "/api/v1/nodes/n1/proxy/");
    expect(answer).toMatchObject({ status: 503, body: { reason: "ServiceUnavailable" } });
  });

  it("an empty path is sent to the root, a method that is none is refused", async () => {
    const status = { podIP: "10.0.0.8", podIPs: [{ ip: "10.0.0.8" }] };
    await server.client.patch(
      pods,
      { namespace: "default", name: "web" },
      "merge",
      { status },
      { subresource: "status" },
    );
    const answer = await server.send("GET", `${inDefault}/services/web:80/proxy?a=%20b`);
    expect(answer).toMatchObject({
      status: 301,
      headers: { location: `${inDefault}/services/web:80/proxy/?a=%20b` },
    });
    expect(await server.send("TRACE", `${inDefault}/pods/web/proxy/`)).toMatchObject({ status: 405 });
    expect(await server.send("POST", `${inDefault}/pods/web:99999/proxy/`)).toMatchObject({
      status: 400,
      body: { message: 'invalid port "99999"' },
    });
  });
});
