/**
 * Three nodes on one machine: pods of each reach those of all, by address, Service and name; policies hold between them;
 * nodes come and go while the cluster runs. With both families of addresses where the machine has IPv6.
 */
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { existsSync, readFileSync } from "node:fs";
import { isIPv4, isIPv6 } from "node:net";
import { join } from "node:path";
import dnsPacket from "dns-packet";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runOk } from "#base";
import { eventually, get } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { OwnCluster } from "./own-cluster.ts";

/** Not so on every machine where tests run. */
const hasIpv6 = existsSync("/proc/net/if_inet6");

let cluster: OwnCluster;
let names: string[];
const k = (...args: string[]) => cluster.kubectl.ok(args);
const apply = (input: string) => cluster.kubectl.ok(["apply", "-f", "-"], { input });

const web = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: "busybox:1.36"
        command: [sh, -c, "echo hello; exec httpd -f -p 80 -h /etc"]
        readinessProbe: {httpGet: {port: 80, path: /hostname}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, ipFamilyPolicy: PreferDualStack, selector: {app: web}, ports: [{port: 8770, targetPort: 80}]}
`;

interface WebPod {
  name: string;
  node: string;
  address: string;
}

async function webPods(): Promise<WebPod[]> {
  const path = "{range .items[*]}{.metadata.name} {.spec.nodeName} {.status.podIP}{'\\n'}{end}";
  const lines = (await k("get", "pods", "-l", "app=web", "-o", `jsonpath=${path}`)).trim().split("\n");
  const pods = lines
    .map((line) => line.split(" "))
    .map(([name = "", node = "", address = ""]) => ({ name, node, address }));
  return pods.sort((a, b) => (a.node < b.node ? -1 : 1));
}

const ask = (pod: string, host: string, port = 80) =>
  k("exec", pod, "--", "timeout", "3", "wget", "-qO-", `http://${host}:${port}/hostname`);

beforeAll(async () => {
  cluster = await OwnCluster.make("nodes", "--nodes", "3", ...(hasIpv6 ? ["--ipv6"] : []));
  await cluster.up();
  await knarr(["image", "busybox", "--name", cluster.name], { env: cluster.env });
  names = (await k("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}")).split(" ").sort();
  await apply(web);
  await k("rollout", "status", "daemonset/web", "--timeout=90s");
});
afterAll(() => cluster.remove());

test("pods of every node reach those of all, by address, Service and name", async () => {
  const pods = await webPods();
  expect(pods.map(({ node }) => node)).toEqual(names);
  for (const from of pods) {
    expect(await k("logs", from.name)).toBe("hello\n");
    for (const to of pods) expect(await ask(from.name, to.address)).toBe(`${to.name}\n`);
    const answer = await ask(from.name, "web.default.svc.cluster.local", 8770);
    expect(pods.map(({ name }) => `${name}\n`)).toContain(answer);
  }
  const path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
  const all = (await k("get", "service", "web", "-o", path)).split(" ");
  const addresses = all.filter((address) => isIPv4(address));
  expect(addresses).toHaveLength(3);
  for (const address of addresses)
    await eventually("an answer", () => get(`http://${address}:8770/hostname`));
});

test("every node's NodePort leads to a pod, wherever who asks and the pod are", async () => {
  const pods = await webPods();
  await k("label", "pod", pods[1]!.name, "only=here");
  await apply(`
apiVersion: v1
kind: Service
metadata: {name: port}
spec: {type: NodePort, selector: {only: here}, ports: [{port: 80, nodePort: 30996}]}
`);
  const path = "jsonpath={.items[*].status.addresses[?(@.type=='InternalIP')].address}";
  const addresses = (await k("get", "nodes", "-o", path)).split(" ").filter((address) => isIPv4(address));
  for (const address of addresses) {
    expect(await eventually("an answer", () => get(`http://${address}:30996/hostname`))).toBe(
      `${pods[1]!.name}\n`,
    );
    for (const from of pods) expect(await ask(from.name, address, 30996)).toBe(`${pods[1]!.name}\n`);
  }
});

test("a policy holds between nodes", async () => {
  const [first, second, third] = await webPods();
  await k("label", "pod", second!.name, "may=come");
  await apply(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guarded}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {may: come}}}]}]}
`);
  await eventually("the policy", async () => {
    const refused = await cluster.kubectl.try([
      "exec",
      first!.name,
      "--",
      "timeout",
      "1",
      "wget",
      "-qO-",
      third!.address,
    ]);
    return refused.code === 0 ? undefined : true;
  });
  expect(await ask(second!.name, first!.address)).toBe(`${first!.name}\n`);
  expect(await ask(second!.name, third!.address)).toBe(`${third!.name}\n`);
  await k("delete", "networkpolicy", "guarded");
});

test.runIf(hasIpv6)("all of it with IPv6 too, in the pods' own view and in that of policies", async () => {
  const all = await webPods();
  const from = all[0]!.name;
  const second = (kind: string, name: string, path: string) => k("get", kind, name, "-o", `jsonpath=${path}`);
  const addresses = new Map<string, string>();
  for (const { name } of all) addresses.set(name, await second("pod", name, "{.status.podIPs[1].ip}"));
  for (const { name } of all)
    for (const [to, address] of addresses) expect(await ask(name, `[${address}]`)).toBe(`${to}\n`);
  const balancers = (await second("service", "web", "{.status.loadBalancer.ingress[*].ip}")).split(" ");
  const fronts = [
    await second("service", "web", "{.spec.clusterIPs[1]}"),
    ...balancers.filter((each) => isIPv6(each)),
  ];
  for (const front of fronts) {
    expect(isIPv6(front)).toBe(true);
    expect(await ask(from, `[${front}]`, 8770)).toMatch(/^web-/);
    expect(await eventually("an answer", () => get(`http://[${front}]:8770/hostname`))).toMatch(/^web-/);
  }
  const lookUp = (what: string) => k("exec", from, "--", "nslookup", "-type=aaaa", what);
  expect(await lookUp("web.default.svc.cluster.local")).toContain(fronts[0]);
  expect(await k("exec", from, "--", "nslookup", fronts[0]!)).toContain("web.default.svc.cluster.local");
  await apply(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: guarded}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {may: come}}}]}]}
`);
  const third = `[${addresses.get(all[2]!.name)}]`;
  await eventually("the policy", async () => {
    const args = ["exec", from, "--", "timeout", "1", "wget", "-qO-", `http://${third}/hostname`];
    return (await cluster.kubectl.try(args)).code === 0 ? undefined : true;
  });
  expect(await ask(all[1]!.name, third)).toBe(`${all[2]!.name}\n`);
  await k("delete", "networkpolicy", "guarded");
});

test("names of a domain with resolvers of its own are asked of those, from every node", async () => {
  const resolver = createSocket("udp4");
  resolver.on("message", (message, from) => {
    const { id, questions = [] } = dnsPacket.decode(message);
    const answers = questions
      .filter(({ type }) => type === "A")
      .map(({ name }) => ({ type: "A" as const, name, ttl: 60, data: "203.0.113.99" }));
    resolver.send(dnsPacket.encode({ type: "response", id, questions, answers }), from.port, from.address);
  });
  const path = `jsonpath={.items[?(@.metadata.name=='${names[0]}')].status.addresses[0].address}`;
  const address = await k("get", "nodes", "-o", path);
  // Not on all addresses: an answer would come from another one than was asked.
  await new Promise<void>((resolve) => resolver.bind(0, address, resolve));
  try {
    const server = `${address}:${resolver.address().port}`;
    const stubs = `--from-literal=stubDomains={"acme.local":["${server}"]}`;
    await k("-n", "kube-system", "create", "configmap", "kube-dns", stubs);
    for (const { name } of await webPods())
      await eventually("the address", async () => {
        const { stdout } = await cluster.kubectl.try(["exec", name, "--", "nslookup", "www.acme.local"]);
        return stdout.includes("203.0.113.99") ? true : undefined;
      });
  } finally {
    resolver.close();
  }
});

test("while the control plane is down the other nodes go on: pods reach pods and Services, and names are known", async () => {
  const [, second, third] = await webPods();
  await k("delete", "configmap", "-n", "kube-system", "kube-dns", "--ignore-not-found");
  const read = (file: string) =>
    JSON.parse(readFileSync(join(cluster.dir, file), "utf8")) as { dnsPort: number; nodeAddress: string };
  const { dnsPort, nodeAddress } = read("nodes/2/cluster.json");
  const service = await k("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}");
  await cluster.kill();
  const resolver = new Resolver({ timeout: 1_000, tries: 3 });
  resolver.setServers([`${nodeAddress}:${dnsPort}`]);
  expect(await resolver.resolve4("web.default.svc.cluster.local")).toEqual([service]);
  const inside = [
    "nsenter",
    `--net=/run/netns/knarr-${cluster.name}-2`,
    "timeout",
    "3",
    "/bin/busybox",
    "wget",
    "-qO-",
  ];
  const from = (url: string) => runOk(inside[0]!, [...inside.slice(1), url]);
  expect(await from(`http://${third!.address}/hostname`)).toBe(`${third!.name}\n`);
  expect(await from(`http://${second!.address}/hostname`)).toBe(`${second!.name}\n`);
  expect(await from(`http://${service}:8770/hostname`)).toMatch(/^web-/);
  await cluster.up();
  expect(await ask(second!.name, third!.address)).toBe(`${third!.name}\n`);
});

test("nodes come and go, and after a purge nothing is left", async () => {
  const up = (count: number) =>
    knarr([...cluster.upArguments, "--nodes", String(count)], { env: cluster.env });
  expect(await up(2)).toContain("removed");
  expect((await k("get", "nodes", "-o", "name")).trim().split("\n")).toHaveLength(2);
  await up(3);
  expect((await k("get", "nodes", "-o", "name")).trim().split("\n")).toHaveLength(3);
  await cluster.down("--purge");
  await cluster.expectNothingLeft();
});
