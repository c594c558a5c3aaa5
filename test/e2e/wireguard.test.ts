/** Two nodes that speak through WireGuard: by the kernel's own or, where it has none, by Debian's wireguard-go. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { run } from "#base";
import { installPackages } from "#distro";
import { eventually } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { OwnCluster } from "./own-cluster.ts";

let cluster: OwnCluster;

beforeAll(async () => {
  await installPackages(["wireguard-tools", "wireguard-go"]);
  cluster = await OwnCluster.make("wire", "--nodes", "2", "--backend", "wireguard");
  await cluster.up();
  await knarr(["image", "busybox", "--name", cluster.name], { env: cluster.env });
});
afterAll(() => cluster?.remove());

const podOn = (node: string) => `
apiVersion: v1
kind: Pod
metadata: {name: on-${node}}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "busybox:1.36", command: [httpd, -f, -p, "80", -h, /]}]
---`;

test("what pods of different nodes send each other arrives whole, and travels encrypted", async () => {
  const { kubectl } = cluster;
  const names = (await kubectl.ok(["get", "nodes", "-o", "name"])).trim().split("\n");
  const pods = names.map((name) => name.replace("node/", "on-"));
  await kubectl.ok(["apply", "-f", "-"], { input: names.map((name) => podOn(name.slice(5))).join("") });
  await kubectl.ok(["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]);
  const [near = "", far = ""] = pods;
  const address = (pod: string) => kubectl.ok(["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
  const bytes = async (from: string, to: string) => {
    const load = `wget -qO- http://${await address(to)}/bin/busybox | wc -c`;
    return Number(await kubectl.ok(["exec", from, "--", "timeout", "20", "sh", "-c", load]));
  };
  const size = await bytes(near, near);
  expect(size).toBeGreaterThan(100_000);
  expect(await eventually("an answer", async () => (await bytes(near, far)) || undefined)).toBe(size);
  expect(await bytes(far, near)).toBe(size);
  const route = (await run("ip", ["route", "get", await address(far)])).stdout;
  const [, device = ""] = /dev (knarr-wg\S+)/.exec(route) ?? [];
  const [received = 0, sent = 0] = (await run("wg", ["show", device, "transfer"])).stdout
    .split(/\s+/)
    .slice(1, 3)
    .map(Number);
  expect([received > size, sent > size]).toEqual([true, true]);
});

test("after a purge nothing is left of it", async () => {
  await cluster.down("--purge");
  await cluster.expectNothingLeft();
  expect((await run("ip", ["-br", "link", "show", "type", "tun"])).stdout).not.toContain("knarr-wg");
  expect((await run("ip", ["-br", "link", "show", "type", "wireguard"])).stdout).not.toContain("knarr-wg");
});
