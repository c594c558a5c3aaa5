/** Forwarding in a real kernel, in a network of its own: on while any cluster needs it, and then what it was. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findProgram, run, runOk } from "#base";

const able = process.getuid?.() === 0 && findProgram("nft") !== undefined && findProgram("ip") !== undefined;
const space = `knarr-forward-${process.pid}`;
const inside = [`--net=/run/netns/${space}`];
const files = { ip: "/proc/sys/net/ipv4/ip_forward", ip6: "/proc/sys/net/ipv6/conf/all/forwarding" };
const deviceRa = "/proc/sys/net/ipv6/conf/out/accept_ra";
let folder: string;

beforeAll(async () => {
  if (!able) return;
  folder = await mkdtemp(join(tmpdir(), "knarr-forward-"));
  await runOk("ip", ["netns", "add", space]);
  await runOk("ip", ["-n", space, "link", "add", "out", "type", "veth", "peer", "name", "other"]);
});
afterAll(async () => {
  if (!able) return;
  await run("ip", ["netns", "del", space]);
  await rm(folder, { recursive: true, force: true });
});

const see = async (file: string) => (await runOk("nsenter", [...inside, "cat", file])).trim();
const set = (file: string, value: string) =>
  runOk("nsenter", [...inside, "sh", "-c", 'echo "$1" > "$2"', "sh", value, file]);
const both = async () => [await see(files.ip), await see(files.ip6), await see(deviceRa)];

async function call(what: "startPodNetwork" | "removePodNetwork", clusterName: string): Promise<void> {
  const options = {
    clusterName,
    clusterCidrs: ["10.244.0.0/16", "fd00:10:244::/56"],
    podCidrs: ["10.244.0.0/24", "fd00:10:244::/64"],
    confDir: join(folder, clusterName, "conf"),
    stateDir: join(folder, clusterName, "state"),
  };
  const room = JSON.stringify(pathToFileURL(join(import.meta.dirname, "index.ts")));
  const code = `import { ${what} } from ${room}; await ${what}(${JSON.stringify(options)});`;
  await runOk("nsenter", [...inside, process.execPath, "--input-type=module", "-e", code]);
}

test.skipIf(!able).each([
  ["the first", ["a", "b"]],
  ["the second", ["b", "a"]],
])("where %s of two clusters goes first, the other one leaves the machine as it was", async (_, order) => {
  for (const file of [files.ip, files.ip6]) await set(file, "0");
  await set(deviceRa, "1");
  await call("startPodNetwork", "a");
  await call("startPodNetwork", "b");
  await call("startPodNetwork", "a");
  expect(await both()).toEqual(["1", "1", "2"]);
  await call("removePodNetwork", order[0]!);
  expect(await both()).toEqual(["1", "1", "2"]);
  await call("removePodNetwork", order[1]!);
  expect(await both()).toEqual(["0", "0", "1"]);
});

test.skipIf(!able)("a machine that forwards by itself goes on doing so", async () => {
  for (const file of [files.ip, files.ip6]) await set(file, "1");
  const before = await both();
  for (const name of ["a", "b"]) await call("startPodNetwork", name);
  for (const name of ["a", "b"]) await call("removePodNetwork", name);
  expect(await both()).toEqual(before);
});
