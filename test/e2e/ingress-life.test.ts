/** HAProxy's life beside the server's: it outlives it, is taken over, mended, and ends with the last route. */
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, nodeAddress } from "./harness.ts";
import { isAlive, OwnCluster } from "./own-cluster.ts";
import { ok, Web } from "./web.ts";

let cluster: OwnCluster;
let web: Web;
let address: string;
const servers: Server[] = [];

function pidOfHaproxy(): number {
  const text = readFileSync(join(cluster.dir, "ingress/haproxy.pid"), "utf8");
  return (JSON.parse(text) as { pid: number }).pid;
}

/** A server on this machine that answers its name; resolves to its port. */
async function serve(name: string): Promise<number> {
  const server = createServer((_request, response) => response.end(name));
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return (server.address() as AddressInfo).port;
}

const slice = (port: number) => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  ports: [{ name: "", port }],
  endpoints: [{ addresses: [address], conditions: { ready: true } }],
});

const objects = [
  { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec: { ports: [{ port: 80 }] } },
  {
    apiVersion: "networking.k8s.io/v1",
    kind: "Ingress",
    metadata: { name: "web" },
    spec: { defaultBackend: { service: { name: "web", port: { number: 80 } } } },
  },
];

const apply = (...all: object[]) =>
  cluster.kubectl.ok(["apply", "-f", "-"], { input: all.map((each) => JSON.stringify(each)).join("\n") });

beforeAll(async () => {
  cluster = await OwnCluster.make("ingress", "--http-port", "8681", "--https-port", "8682");
  await cluster.up();
  address = await nodeAddress(cluster.kubectl);
  web = new Web(`http://${address}:8681`, `https://${address}:8682`);
  await apply(...objects, slice(await serve("first")));
  await web.answer("http://any.example.com/", ok);
});
afterAll(async () => {
  for (const server of servers) server.close();
  await cluster.remove();
});

test("it serves on while the server is dead, and the next server changes it as it runs", async () => {
  const before = pidOfHaproxy();
  await cluster.kill();
  expect((await web.ask("http://any.example.com/")).body).toBe("first");
  await cluster.up();
  await apply(slice(await serve("second")));
  await web.answer("http://any.example.com/", ({ body }) => body === "second");
  expect(pidOfHaproxy()).toBe(before);
});

test("killed, it is started again as it was", async () => {
  const before = pidOfHaproxy();
  process.kill(before, "SIGKILL");
  await eventually("another HAProxy", async () => {
    expect(pidOfHaproxy()).not.toBe(before);
    return true;
  });
  expect((await web.answer("http://any.example.com/", ok)).body).toBe("second");
  await apply(slice(await serve("third")));
  await web.answer("http://any.example.com/", ({ body }) => body === "third");
});

test("with the last route it ends", async () => {
  const pid = pidOfHaproxy();
  await cluster.kubectl.ok(["delete", "ingress", "web"]);
  await eventually("its end", async () => {
    expect(isAlive(pid)).toBe(false);
    return true;
  });
  await expect(web.ask("http://any.example.com/")).rejects.toThrow("ECONNREFUSED");
});

test("a purge leaves no HAProxy", async () => {
  await apply(...objects);
  await web.answer("http://any.example.com/", ok);
  const pid = pidOfHaproxy();
  await cluster.down("--purge");
  expect(isAlive(pid)).toBe(false);
});
