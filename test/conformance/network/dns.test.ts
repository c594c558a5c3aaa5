/** Names of services and pods. https://github.com/kubernetes/dns/blob/master/docs/specification.md */
import { expect } from "vitest";
import { services } from "#api";
import { createPod, outputOf, shell } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";
import { createService, startClient, startServer, untilReady } from "./traffic.ts";

const labels = { app: "named" };
const domain = ({ namespace }: Given) => `${namespace}.svc.cluster.local`;
const escaped = (ip: string) => new RegExp(`\\b${ip.replaceAll(".", "\\.")}\\b`);

conformance("network-dcc7ab", "The cluster's own service has a name", async (given) => {
  const { clusterIP = "" } = (await given.kube.resource(services, "default").get("kubernetes")).spec;
  const client = await startClient(given);
  await client.resolves("kubernetes.default.svc.cluster.local", (text) => escaped(clusterIP).test(text));
  expect(
    await client.run(
      "ping -c 1 -W 1 kubernetes.default >/dev/null 2>&1; wget -T 1 -O - http://kubernetes.default.svc:443 2>&1 | head -1",
    ),
  ).not.toMatch(/bad address/);
});

conformance("network-687a84", "A pod finds itself in /etc/hosts", async (given) => {
  const container = shell(given.image, "cat /etc/hosts; echo; hostname -f");
  const options = { name: "hosts", spec: { hostname: "dns-querier-1", subdomain: "dns-test-service" } };
  const text = await outputOf(given, container, options);
  expect(text).toContain(`dns-querier-1.dns-test-service.${domain(given)}`);
  expect(text).toMatch(/127\.0\.0\.1\s+localhost/);
});

async function headlessAndPlain(given: Given): Promise<{ podIp: string; clusterIp: string }> {
  const ports = [{ name: "http", port: 80, targetPort: 8080, protocol: "TCP" as const }];
  await createService(given, "headless", { clusterIP: "None", selector: labels, ports });
  const plain = await createService(given, "plain", { selector: labels, ports });
  const pod = await startServer(given, "server", labels, 8080);
  return { podIp: pod.status?.podIP ?? "", clusterIp: plain.spec.clusterIP ?? "" };
}

conformance("network-2e47c2", "Services have names, addresses and ports", async (given) => {
  const { podIp, clusterIp } = await headlessAndPlain(given);
  const client = await startClient(given);
  for (const [name, ip] of [
    ["headless", podIp],
    ["plain", clusterIp],
  ] as const) {
    await client.resolves(`${name}.${domain(given)}`, (text) => escaped(ip).test(text));
    await client.resolves(`_http._tcp.${name}.${domain(given)}`, (text) => /\b80(80)?\b/.test(text), "srv");
  }
  const reverse = `${clusterIp.split(".").reverse().join(".")}.in-addr.arpa`;
  await client.resolves(reverse, (text) => text.includes(`plain.${domain(given)}`), "ptr");
});

conformance("network-0a05ad", "Services are found by parts of their names", async (given) => {
  const { podIp, clusterIp } = await headlessAndPlain(given);
  const client = await startClient(given);
  for (const [name, ip] of [
    ["headless", podIp],
    ["plain", clusterIp],
  ] as const)
    for (const suffix of ["", `.${given.namespace}`, `.${given.namespace}.svc`])
      await client.finds(`${name}${suffix}`, ip);
});

for (const [id, title] of [
  ["network-088181", "A pod's host name has an address"],
  ["network-018bc9", "A pod's subdomain has an address"],
] as const)
  conformance(id, title, async (given) => {
    await createService(given, "dns-test-service", {
      clusterIP: "None",
      selector: labels,
      ports: [{ port: 1234 }],
    });
    const spec = {
      hostname: "dns-querier",
      subdomain: "dns-test-service",
      restartPolicy: "Always" as const,
      containers: [shell(given.image, "sleep 3600")],
    };
    const name = await createPod(given, { labels, spec });
    const client = await startClient(given);
    const { status } = await untilReady(given, name);
    const asked =
      id === "network-088181"
        ? `dns-querier.dns-test-service.${domain(given)}`
        : `dns-test-service.${domain(given)}`;
    await client.resolves(asked, (text) => escaped(status?.podIP ?? "none").test(text));
    const own = await given.kubectl.ok(["exec", "-n", given.namespace, name, "--", "hostname", "-f"]);
    expect(own.trim()).toBe(`dns-querier.dns-test-service.${domain(given)}`);
  });

conformance("network-350d9a", "An external name is an alias, until it is none", async (given) => {
  const all = given.kube.resource(services, given.namespace);
  await createService(given, "alias", { type: "ExternalName", externalName: "foo.example.com" });
  const client = await startClient(given);
  const name = `alias.${domain(given)}`;
  await client.resolves(name, (text) => text.includes("foo.example.com"), "cname");
  await all.patch("alias", "merge", { spec: { externalName: "bar.example.com" } });
  await client.resolves(name, (text) => text.includes("bar.example.com"), "cname");
  const changed = await all.update("alias", ({ spec }) => {
    spec.type = "ClusterIP";
    delete spec.externalName;
    spec.ports = [{ port: 80, name: "http", protocol: "TCP" }];
  });
  await client.resolves(name, (text) => escaped(changed.spec.clusterIP ?? "none").test(text));
});

conformance("network-b12e44", "A pod brings its own DNS configuration", async (given) => {
  const dnsConfig = {
    nameservers: ["1.1.1.1"],
    searches: ["resolv.conf.local"],
    options: [{ name: "ndots", value: "2" }],
  };
  const text = await outputOf(given, shell(given.image, "cat /etc/resolv.conf"), {
    spec: { dnsPolicy: "None", dnsConfig },
  });
  expect(text.trim().split("\n").sort()).toEqual([
    "nameserver 1.1.1.1",
    "options ndots:2",
    "search resolv.conf.local",
  ]);
});
