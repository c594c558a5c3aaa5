/**
 * An API server behind the API server: its resources are discovered, read and written as if they were the cluster's own,
 * and who asks is known to it. The other server is this process; the cluster must be able to reach this machine.
 */
import type { IncomingMessage } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import type { TLSSocket } from "node:tls";
import { expect } from "vitest";
import {
  type apiregistrationv1,
  apiServices,
  configMaps,
  type Draft,
  endpointSlices,
  type KubernetesObject,
  type metav1,
  services,
} from "#api";
import { createWorld, silentLogger } from "#base";
import { createAuthority } from "../../../src/distro/certificates.ts";
import { eventually } from "../../eventually.ts";
import { conformance, type Given } from "../suite.ts";

const version = "v1alpha1";
const verbs = ["create", "delete", "get", "list", "patch", "update", "watch"];

/** One kind, kept in memory: what the sample API server of the official test has in an etcd of its own. */
class Flunders {
  readonly #group: string;
  readonly #all = new Map<string, KubernetesObject>();
  readonly users: string[] = [];

  constructor(group: string) {
    this.#group = group;
  }

  answer(method: string, path: string, body: string): { code: number; body: object } {
    const apiVersion = `${this.#group}/${version}`;
    const root = `/apis/${apiVersion}`;
    if (path === root) {
      const resources = [
        { name: "flunders", singularName: "flunder", namespaced: true, kind: "Flunder", verbs },
      ];
      return {
        code: 200,
        body: { kind: "APIResourceList", apiVersion: "v1", groupVersion: apiVersion, resources },
      };
    }
    const match = new RegExp(`^${root}/namespaces/([^/]+)/flunders(?:/([^/]+))?$`).exec(path);
    if (!match) return { code: 404, body: status(404, "NotFound") };
    const name = match[2];
    if (method === "POST") {
      const made = JSON.parse(body) as KubernetesObject;
      this.#all.set(made.metadata.name ?? "", made);
      return { code: 201, body: made };
    }
    if (!name) {
      const items = [...this.#all.values()];
      return {
        code: 200,
        body: { kind: "FlunderList", apiVersion, metadata: { resourceVersion: "1" }, items },
      };
    }
    const found = this.#all.get(name);
    if (!found) return { code: 404, body: status(404, "NotFound") };
    if (method === "DELETE") this.#all.delete(name);
    return { code: 200, body: found };
  }
}

function status(code: number, reason: string): Draft<metav1.Status> {
  return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", reason, message: reason, code };
}

/** An address of this machine that may stand in an EndpointSlice: a loopback address may not. */
function ownAddress(): string {
  const given = process.env.CONFORMANCE_HOST;
  const found = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const address = given ?? found.find((each) => !each.internal && each.family === "IPv4")?.address;
  if (!address) throw new Error("this machine has no address that a cluster could reach");
  return address;
}

/** Only the front proxy of the cluster may say who asks. */
async function serve(given: Given, flunders: Flunders, host: string, name: string) {
  const known = await given.kube
    .resource(configMaps, "kube-system")
    .get("extension-apiserver-authentication");
  const authority = await createAuthority(createWorld({ log: silentLogger }), "conformance-aggregated");
  const pair = await authority.issue({
    commonName: "flunders",
    use: "server",
    dnsNames: [`${name}.${given.namespace}.svc`],
    addresses: [host],
  });
  const ca = known.data?.["requestheader-client-ca-file"] ?? "";
  const options = { cert: pair.cert, key: pair.key, ca, requestCert: true, rejectUnauthorized: true };
  const server = createServer(options, async (request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const peer = (request.socket as TLSSocket).getPeerCertificate().subject.CN;
    flunders.users.push(`${String(request.headers["x-remote-user"])} by ${String(peer)}`);
    const path = (request.url ?? "").split("?")[0] ?? "";
    const { code, body } = flunders.answer(request.method ?? "", path, Buffer.concat(chunks).toString());
    response.writeHead(code, { "content-type": "application/json" });
    response.end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "0.0.0.0", resolve));
  given.afterwards(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    caBundle: Buffer.from(authority.cert).toString("base64"),
  };
}

/** A Service without a selector, whose only endpoint is this process. */
async function expose({ kube, namespace }: Given, name: string, host: string, port: number): Promise<void> {
  const ports = [{ name: "https", port: 7443, targetPort: port }];
  await kube.resource(services, namespace).create({ metadata: { name }, spec: { ports } });
  await kube.resource(endpointSlices, namespace).create({
    metadata: { name, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints: [{ addresses: [host], conditions: { ready: true } }],
    ports: [{ name: "https", port, protocol: "TCP" }],
  });
}

const isAvailable = ({ status: of }: apiregistrationv1.APIService) =>
  of?.conditions?.some((each) => each.type === "Available" && each.status === "True") ?? false;

conformance("api-machinery-c4947e", "An aggregated API server is part of the API", async (given) => {
  const { kube, namespace, kubectl, afterwards } = given;
  const group = `${namespace}.wardle.example.com`;
  const name = "sample-api";
  const host = ownAddress();
  const flunders = new Flunders(group);
  const { port, caBundle } = await serve(given, flunders, host, name);
  await expose(given, name, host, port);
  const all = kube.resource(apiServices);
  const apiService = `${version}.${group}`;
  afterwards(async () => (await all.find(apiService)) && all.delete(apiService));
  await all.create({
    metadata: { name: apiService },
    spec: {
      group,
      version,
      service: { namespace, name, port: 7443 },
      groupPriorityMinimum: 2_000,
      versionPriority: 200,
      caBundle,
    },
  });
  await all.until(apiService, isAvailable);

  const path = `/apis/${group}/${version}/namespaces/${namespace}/flunders`;
  const flunder = {
    apiVersion: `${group}/${version}`,
    kind: "Flunder",
    metadata: { name: "first", namespace },
  };
  await eventually("the aggregated API", async () =>
    (await kube.send("GET", path)).code === 200 ? true : undefined,
  );
  expect(await kube.ask("POST", path, { body: flunder })).toEqual(flunder);
  expect((await kube.ask<{ items: unknown[] }>("GET", path)).items).toEqual([flunder]);
  expect(
    flunders.users.some((each) => !each.startsWith("undefined by") && !each.endsWith("by undefined")),
  ).toBe(true);
  const { groups } = await kube.ask<metav1.APIGroupList>("GET", "/apis");
  expect(groups.find((each) => each.name === group)?.preferredVersion?.version).toBe(version);
  expect(await kubectl.ok(["get", `flunders.${group}`, "--namespace", namespace, "-o", "name"])).toContain(
    "first",
  );
  await kube.ask("DELETE", `${path}/first`);
  expect((await kube.ask<{ items: unknown[] }>("GET", path)).items).toEqual([]);

  const labelled = await all.patch(apiService, "merge", { metadata: { labels: { e2e: namespace } } });
  expect(labelled.metadata.labels).toEqual({ e2e: namespace });
  expect(isAvailable(await all.get(apiService, "status"))).toBe(true);
  const condition = { type: "StatusUpdated", status: "True", reason: "E2E", message: "Set from e2e test" };
  const updated = await all.update(
    apiService,
    (object) => {
      object.status = { conditions: [...(object.status?.conditions ?? []), condition] };
    },
    "status",
  );
  expect(updated.status?.conditions?.map(({ type }) => type)).toContain("StatusUpdated");
  await all.update(apiService, ({ spec }) => {
    spec!.versionPriority = 300;
  });
  await all.deleteCollection({ labelSelector: `e2e=${namespace}` });
  await all.untilGone(apiService);
  await eventually("the end of the aggregated API", async () =>
    (await kube.send("GET", path)).code === 404 ? true : undefined,
  );
});
