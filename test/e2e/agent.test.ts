/** A second machine joins: a network namespace with its own agent, containerd, address and pods. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { run, runOk } from "#base";
import { eventually, newestKubectl } from "./harness.ts";
import { knarr, tryKnarr } from "./knarr.ts";
import { freeNetworks } from "./networks.ts";

const kubectl = newestKubectl();
const name = inject("clusterName");
const node = `second-${process.pid}`;
const link = `kn${process.pid}`.slice(0, 12);
const launcher = join(import.meta.dirname, "../..", "knarr");
const inside = ["nsenter", `--net=/run/netns/${node}`];
let folder: string;
/** The first three bytes of the network between the two. */
let network: string;
let agent: ChildProcess | undefined;

interface Token {
  server: string;
  token: string;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "knarr-agent-"));
  [network = ""] = await freeNetworks(1);
  const ip = (...args: string[]) => runOk("ip", args);
  await ip("netns", "add", node);
  await ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", node);
  await ip("addr", "add", `${network}.1/24`, "dev", link);
  await ip("link", "set", link, "up");
  for (const args of [
    ["addr", "add", `${network}.2/24`, "dev", "eth0"],
    ["link", "set", "eth0", "up"],
    ["link", "set", "lo", "up"],
    ["route", "add", "default", "via", `${network}.1`],
  ]) {
    await ip("-n", node, ...args);
  }
});

afterAll(async () => {
  agent?.kill("SIGTERM");
  await tryKnarr(["down", "--purge", "--data-dir", folder]);
  await kubectl.try(["delete", "node", node]);
  await run("ip", ["netns", "del", node]);
  await rm(folder, { recursive: true, force: true });
});

test("a token of another cluster is refused before a word is said", async () => {
  const { server, token } = JSON.parse(
    await knarr(["token", "create", "--name", name, "-o", "json"]),
  ) as Token;
  const wrong = token.replace(/\.[0-9a-f]{64}\./, `.${"0".repeat(64)}.`);
  const args = [launcher, "agent", "--server", server, "--data-dir", join(folder, "refused"), "--token"];
  const refused = await run(inside[0]!, [...inside.slice(1), ...args, wrong]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("is not the server this token was made by");
  const unknown = await run(inside[0]!, [
    ...inside.slice(1),
    ...args,
    token.replace(/.{48}$/, "0".repeat(48)),
  ]);
  expect(unknown.stderr).toContain("the server does not know this token");
});

test("with the right one the machine becomes a node", async () => {
  const { server, token } = JSON.parse(
    await knarr(["token", "create", "--name", name, "-o", "json"]),
  ) as Token;
  const options = ["--server", server, "--token", token, "--node-name", node, "--data-dir", folder];
  agent = spawn(inside[0]!, [...inside.slice(1), launcher, "agent", ...options], { stdio: "ignore" });
  await eventually(
    "the node",
    async () => (await kubectl.ok(["get", "node", node])).includes(" Ready ") || undefined,
  );
  await knarr(["image", "busybox", "--data-dir", folder]);
});

const pod = (podName: string, nodeName: string) => `
apiVersion: v1
kind: Pod
metadata: {name: ${podName}, labels: {app: far}}
spec:
  nodeName: ${nodeName}
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "busybox:1.36", command: [httpd, -f, -p, "80", -h, /etc]}]
---`;

test("its pods are reached from the first node's, by address, Service and name", async () => {
  const first = await kubectl.ok([
    "get",
    "nodes",
    "-l",
    "node-role.kubernetes.io/control-plane",
    "-o",
    "jsonpath={.items[0].metadata.name}",
  ]);
  const service = `
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {selector: {app: far}, ports: [{port: 80}]}
`;
  await kubectl.ok(["apply", "-f", "-"], { input: pod("near-a", first) + pod("far-b", node) + service });
  await kubectl.ok(["wait", "--for=condition=Ready", "pod/near-a", "pod/far-b", "--timeout=60s"]);
  const address = (podName: string) => kubectl.ok(["get", "pod", podName, "-o", "jsonpath={.status.podIP}"]);
  const ask = (from: string, host: string) =>
    kubectl.ok(["exec", from, "--", "timeout", "5", "wget", "-qO-", `http://${host}/hostname`]);
  expect(await ask("near-a", await address("far-b"))).toBe("far-b\n");
  expect(await ask("far-b", await address("near-a"))).toBe("near-a\n");
  const seen = new Set<string>();
  await eventually("both endpoints", async () => {
    seen.add(await ask("far-b", "far.default.svc.cluster.local"));
    return seen.size === 2 ? true : undefined;
  });
  expect(await kubectl.ok(["logs", "far-b"])).toBe("");
});

test("its address changes while it runs: pods go on, ways and certificates follow", async () => {
  const of = (path: string) => kubectl.ok(["get", "pod", "far-b", "-o", `jsonpath=${path}`]);
  const [address, container] = [
    await of("{.status.podIP}"),
    await of("{.status.containerStatuses[0].containerID}"),
  ];
  const ip = (...args: string[]) => runOk("ip", ["-n", node, ...args]);
  await ip("addr", "flush", "dev", "eth0");
  await ip("addr", "add", `${network}.3/24`, "dev", "eth0");
  await ip("route", "add", "default", "via", `${network}.1`);
  const path = "jsonpath={.status.addresses[?(@.type=='InternalIP')].address}";
  await eventually(
    "the new address",
    async () => ((await kubectl.ok(["get", "node", node, "-o", path])) === `${network}.3` ? true : undefined),
    60_000,
  );
  await eventually("a route", async () => {
    const { stdout } = await run("ip", ["route", "get", address]);
    return stdout.includes(`via ${network}.3`) ? true : undefined;
  });
  const ask = (from: string, host: string) =>
    kubectl.ok(["exec", from, "--", "timeout", "5", "wget", "-qO-", `http://${host}/hostname`]);
  expect(await ask("near-a", address)).toBe("far-b\n");
  // The API server checks whom it speaks to: the certificate is good for the new address.
  expect(await ask("far-b", "far.default.svc.cluster.local")).toMatch(/^(near-a|far-b)\n$/);
  expect(await of("{.status.containerStatuses[0].containerID}")).toBe(container);
});

test("its node can go", async () => {
  await kubectl.ok(["delete", "pod", "near-a", "far-b", "--now"]);
  await kubectl.ok(["delete", "service", "far"]);
});
