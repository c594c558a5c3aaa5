/** A node behind a router joins: packets of its pods, also the largest, travel through the overlay, and policies see through it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { run, runOk } from "#base";
import { eventually, newestKubectl } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { freeNetworks } from "./networks.ts";

const kubectl = newestKubectl();
const name = inject("clusterName");
const node = `far-${process.pid}`;
const router = `way-${process.pid}`;
const link = `kw${process.pid}`.slice(0, 12);
const launcher = join(import.meta.dirname, "../..", "knarr");
const inside = ["nsenter", `--net=/run/netns/${node}`];
let folder: string;
let agent: ChildProcess | undefined;

/** What the node's network namespace has that a cluster might leave there, or change. */
async function surroundings(): Promise<string[]> {
  const see = async (...args: string[]) => (await runOk(inside[0]!, [...inside.slice(1), ...args])).trim();
  const links = await see("ip", "-br", "-4", "addr");
  const routes = await see("ip", "-4", "route", "show", "table", "all");
  const forwarding = await see("cat", "/proc/sys/net/ipv4/ip_forward");
  return [links, routes, forwarding, await see("nft", "list", "ruleset")];
}

let before: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-far-"));
  const [outer, inner] = await freeNetworks(2);
  const ip = (...args: string[]) => runOk("ip", args);
  for (const space of [node, router]) {
    await ip("netns", "add", space);
    await ip("-n", space, "link", "set", "lo", "up");
  }
  await ip("link", "add", link, "type", "veth", "peer", "name", "up0", "netns", router);
  await ip("addr", "add", `${outer}.1/24`, "dev", link);
  await ip("link", "set", link, "up");
  await ip("-n", router, "link", "add", "down0", "type", "veth", "peer", "name", "eth0", "netns", node);
  for (const args of [
    [router, "addr", "add", `${outer}.2/24`, "dev", "up0"],
    [router, "link", "set", "up0", "up"],
    [router, "addr", "add", `${inner}.1/24`, "dev", "down0"],
    [router, "link", "set", "down0", "up"],
    [router, "route", "add", "default", "via", `${outer}.1`],
    [node, "addr", "add", `${inner}.2/24`, "dev", "eth0"],
    [node, "link", "set", "eth0", "up"],
    [node, "route", "add", "default", "via", `${inner}.1`],
  ]) {
    await ip("-n", ...args);
  }
  await runOk(inside[0]!, [...inside.slice(1), "sysctl", "-qw", "net.ipv4.ip_forward=0"]);
  before = await surroundings();
  await runOk("nsenter", [`--net=/run/netns/${router}`, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await ip("route", "add", `${inner}.0/24`, "via", `${outer}.2`);
  const { server, token } = JSON.parse(await knarr(["token", "create", "--name", name, "-o", "json"])) as {
    server: string;
    token: string;
  };
  const options = ["--server", server, "--token", token, "--node-name", node, "--data-dir", folder];
  agent = spawn(inside[0]!, [...inside.slice(1), launcher, "agent", ...options], { stdio: "ignore" });
  await eventually(
    "the node",
    async () => (await kubectl.ok(["get", "node", node])).includes(" Ready ") || undefined,
  );
  await knarr(["image", "busybox", "--data-dir", folder]);
});
afterAll(async () => {
  await kubectl.try(["delete", "pod", "over-near", "over-far", "--now"]);
  agent?.kill("SIGTERM");
  await run(inside[0]!, [...inside.slice(1), launcher, "down", "--purge", "--data-dir", folder]);
  await kubectl.try(["delete", "node", node]);
  for (const space of [node, router]) await run("ip", ["netns", "del", space]);
  await rm(folder, { recursive: true, force: true });
});

const pod = (podName: string, nodeName: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${podName}, labels: {app: ${podName}}}
spec:
  nodeName: ${nodeName}
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "busybox:1.36", command: [httpd, -f, -p, "80", -h, /]}]
---`;

test("what pods send each other arrives whole, in both directions, under their own addresses", async () => {
  const first = await kubectl.ok([
    ...["get", "nodes", "-l", "node-role.kubernetes.io/control-plane"],
    ...["-o", "jsonpath={.items[0].metadata.name}"],
  ]);
  await kubectl.ok(["apply", "-f", "-"], { input: pod("over-near", first) + pod("over-far", node) });
  await kubectl.ok(["wait", "--for=condition=Ready", "pod/over-near", "pod/over-far", "--timeout=60s"]);
  const address = (podName: string) => kubectl.ok(["get", "pod", podName, "-o", "jsonpath={.status.podIP}"]);
  const bytes = async (from: string, to: string) => {
    const load = `wget -qO- http://${to}/bin/busybox | wc -c`;
    return Number(await kubectl.ok(["exec", from, "--", "timeout", "10", "sh", "-c", load]));
  };
  const [near, far] = [await address("over-near"), await address("over-far")];
  const size = await bytes("over-near", near);
  expect(size).toBeGreaterThan(100_000);
  expect(await bytes("over-near", far)).toBe(size);
  expect(await bytes("over-far", near)).toBe(size);
  expect((await run("ip", ["route", "get", far])).stdout).toContain("dev knarr-vx");
  // Who asks is seen as himself: a policy that names him lets him in, and nobody else.
  await kubectl.ok(["apply", "-f", "-"], {
    input: `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: over}
spec:
  podSelector: {matchLabels: {app: over-far}}
  ingress: [{from: [{podSelector: {matchLabels: {app: over-near}}}]}]
`,
  });
  expect(await bytes("over-near", far)).toBe(size);
  await kubectl.ok(["label", "pod", "over-near", "app=other", "--overwrite"]);
  await eventually("the policy", async () => {
    const refused = await kubectl.try(["exec", "over-near", "--", "timeout", "1", "wget", "-qO-", far]);
    return refused.code === 0 ? undefined : true;
  });
  await kubectl.ok(["delete", "networkpolicy", "over"]);
});

test("after a purge everything is as it was: links, addresses, routes, rules and forwarding", async () => {
  await kubectl.ok(["delete", "pod", "over-near", "over-far", "--now"]);
  expect(await surroundings()).not.toEqual(before);
  agent?.kill("SIGTERM");
  await runOk(inside[0]!, [...inside.slice(1), launcher, "down", "--purge", "--data-dir", folder], {
    timeoutMs: 120_000,
  });
  expect(await surroundings()).toEqual(before);
});
