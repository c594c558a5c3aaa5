/**
 * What a cluster of three nodes with both families does to a machine's network is undone by a purge, to the letter: rules,
 * routes, neighbours, links, addresses and settings. The machine is a network namespace, so that nobody else has a hand in it.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, runOk } from "#base";
import { eventually, root } from "./harness.ts";
import { findKubectls } from "./kubectl.ts";

const name = `purge-${process.pid}`;
const link = `kp${process.pid}`.slice(0, 12);
const inside = [`--net=/run/netns/${name}`];
let home: string;

const within = (...command: string[]) =>
  runOk("nsenter", [...inside, ...command], {
    timeoutMs: 120_000,
    env: { KUBECONFIG: join(home, "kubeconfig") },
  });
const knarr = (...args: string[]) => within(join(root, "knarr"), ...args);

/** Counters, and what the kernel does not let be read. */
const restless = /nf_conntrack_count|_secret|nf_conntrack_buckets/;

async function machine(): Promise<Record<string, string[]>> {
  const seen: Record<string, string[]> = {};
  const look = async (...command: string[]) => {
    const { stdout } = await run("nsenter", [...inside, ...command]);
    seen[command.join(" ")] = stdout.split("\n").sort();
  };
  for (const family of ["-4", "-6"]) {
    await look("ip", "-br", family, "addr");
    await look("ip", family, "route", "show", "table", "all");
    await look("ip", family, "rule");
    await look("ip", family, "neigh", "show", "proxy");
  }
  await look("ip", "-br", "link");
  await look("nft", "list", "ruleset");
  const { stdout } = await run("nsenter", [...inside, "sysctl", "-a", "--pattern", "^net\\."]);
  seen.sysctl = stdout.split("\n").filter((line) => !restless.test(line));
  return seen;
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "knarr-purge-"));
  const ip = (...args: string[]) => runOk("ip", args);
  await ip("netns", "add", name);
  await ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name);
  await ip("link", "set", link, "up");
  for (const args of [
    ["addr", "add", "192.168.76.2/24", "dev", "eth0"],
    ["-6", "addr", "add", "fd00:76::2/64", "dev", "eth0", "nodad"],
    ["link", "set", "lo", "up"],
    ["link", "set", "eth0", "up"],
    ["route", "add", "default", "via", "192.168.76.1"],
  ])
    await ip("-n", name, ...args);
  for (const key of ["ipv4.ip_forward", "ipv6.conf.all.forwarding"])
    await runOk("nsenter", [...inside, "sysctl", "-qw", `net.${key}=0`]);
  // Its own address of IPv6 is settled.
  await eventually("a link", async () =>
    (await run("ip", ["-n", name, "-6", "addr"])).stdout.includes("tentative") ? undefined : true,
  );
});
afterAll(async () => {
  await run("nsenter", [...inside, join(root, "knarr"), "down", "--purge", "--name", name]);
  await run("ip", ["netns", "del", name]);
  await run("ip", ["link", "del", link]);
  await rm(home, { recursive: true, force: true });
});

test("after a purge the machine's network is what it was", async () => {
  const before = await machine();
  await knarr("up", "--name", name, "--data-dir", join(home, "data"), "--nodes", "3", "--ipv6");
  await knarr("image", "busybox", "--name", name);
  const kubectl = (await findKubectls()).at(-1)!.path;
  await within(
    kubectl,
    "create",
    "deployment",
    "web",
    "--image=busybox:1.36",
    "--replicas=3",
    "--",
    "sleep",
    "1000",
  );
  await within(kubectl, "expose", "deployment", "web", "--type=LoadBalancer", "--port=80");
  await within(kubectl, "rollout", "status", "deployment/web", "--timeout=60s");
  const during = await machine();
  for (const [what, lines] of Object.entries(before))
    if (what !== "ip -4 rule" && what !== "ip -6 rule" && what !== "ip -4 neigh show proxy")
      expect(during[what], what).not.toEqual(lines);
  await knarr("down", "--purge", "--name", name);
  expect(await machine()).toEqual(before);
});
