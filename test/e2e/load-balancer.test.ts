/** What a Service promises to the world outside: addresses at once, the client's own address, who may come, and back. */
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { nftTableName, run } from "#base";
import { eventually, get, newestKubectl, nodeAddress } from "./harness.ts";

const kubectl = newestKubectl();
const namespace = "balanced";
const k = (...args: string[]) => kubectl.ok(["-n", namespace, ...args]);
const apply = (input: string) => kubectl.ok(["-n", namespace, "apply", "-f", "-"], { input });
let node: string;

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: c, image: "busybox:1.36", command: [httpd, -f, -p, "80", -h, /etc]}
`;

const service = (name: string, port: number, spec: string) => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: ${port}, targetPort: 80}]${spec}}
---`;

const addressOf = (name: string) =>
  eventually(`the address of ${name}`, async () => {
    const ip = await k("get", "service", name, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}");
    return ip || undefined;
  });

beforeAll(async () => {
  await kubectl.ok(["create", "namespace", namespace]);
  node = await nodeAddress(kubectl);
  await apply(web);
  await k("rollout", "status", "deployment/web", "--timeout=60s");
});
afterAll(() => kubectl.ok(["delete", "namespace", namespace, "--timeout=120s"]));

test("two Services of one port have each an address that answers, and give it back with their type", async () => {
  await apply(service("one", 8765, "") + service("two", 8765, ", sessionAffinity: ClientIP"));
  expect(await addressOf("one")).toBe(node);
  const second = await addressOf("two");
  expect(second).toMatch(/^198\.18\./);
  await eventually("an answer", () => get(`http://${node}:8765/hostname`));
  const name = await eventually("an answer", () => get(`http://${second}:8765/hostname`));
  for (let i = 0; i < 5; i++) expect(await get(`http://${second}:8765/hostname`)).toBe(name);
  // The endpoint that the client was given goes: it is given another one, and keeps that.
  await k("delete", "pod", name.trim(), "--now");
  const next = await eventually("another endpoint", async () => {
    const answer = await get(`http://${second}:8765/hostname`);
    return answer === name ? undefined : answer;
  });
  for (let i = 0; i < 5; i++) expect(await get(`http://${second}:8765/hostname`)).toBe(next);
  expect(await k("get", "events")).toContain("Ensured load balancer");
  await k("patch", "service", "two", "-p", '{"spec":{"type":"ClusterIP"}}');
  await eventually("no address", async () => {
    const ingress = await k("get", "service", "two", "-o", "jsonpath={.status.loadBalancer.ingress}");
    return ingress === "" ? true : undefined;
  });
});

test("source ranges keep others out; a health check tells of local endpoints", async () => {
  const local = ", externalTrafficPolicy: Local, loadBalancerSourceRanges: [10.99.0.0/16]";
  await apply(service("closed", 8766, local));
  expect(await addressOf("closed")).toBe(node);
  const port = await k("get", "service", "closed", "-o", "jsonpath={.spec.healthCheckNodePort}");
  const health = await eventually("a health check", () => get(`http://${node}:${port}/`));
  expect(JSON.parse(health)).toMatchObject({
    service: { namespace, name: "closed" },
    serviceProxyHealthy: true,
  });
  await expect(
    fetch(`http://${node}:8766/hostname`, { signal: AbortSignal.timeout(1_000) }),
  ).rejects.toThrow();
  const open = '{"spec":{"loadBalancerSourceRanges":["0.0.0.0/0"]}}';
  await k("patch", "service", "closed", "-p", open);
  await eventually("an answer", () => get(`http://${node}:8766/hostname`));
});

test("rules that somebody flushed come back by themselves", async () => {
  // By its name: other clusters of this machine have rules too.
  const [table, network] = ["proxy", "network"].map((part) => nftTableName(inject("clusterName"), part));
  expect((await run("nft", ["delete", "table", "ip", network!])).code).toBe(0);
  expect((await run("nft", ["delete", "table", "ip", table!])).code).toBe(0);
  await eventually("the rules", () => get(`http://${node}:8765/hostname`));
  await eventually("the way out of the pods", async () =>
    (await run("nft", ["list", "table", "ip", network!])).stdout.includes("masquerade") ? true : undefined,
  );
});
