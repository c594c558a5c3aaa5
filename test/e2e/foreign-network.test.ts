/** `--cni none`: the node waits until somebody brings a network, in the usual folders, and leaves them as they were. */
import { existsSync } from "node:fs";
import { rm, rmdir, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { OwnCluster } from "./own-cluster.ts";

let cluster: OwnCluster;
const confFile = "/etc/cni/net.d/05-somebody.conflist";
const program = "/opt/cni/bin/ptp";
const had = existsSync(program);
const leases = `/tmp/knarr-foreign-${process.pid}`;

const network = {
  cniVersion: "1.0.0",
  name: "somebody",
  plugins: [
    {
      type: "ptp",
      ipMasq: true,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: "10.77.0.0/24" }]],
        routes: [{ dst: "0.0.0.0/0" }],
        dataDir: leases,
      },
    },
  ],
};

beforeAll(async () => {
  cluster = await OwnCluster.make("foreign", "--cni", "none");
  await cluster.up();
});
afterAll(async () => {
  await rm(confFile, { force: true });
  for (const dir of ["/etc/cni/net.d", "/etc/cni"]) await rmdir(dir).catch(() => {});
  await cluster.remove();
  await rm(leases, { recursive: true, force: true });
});

test("the node is Ready when somebody has brought a network, and pods have its addresses", async () => {
  const ready = "jsonpath={.items[0].status.conditions[?(@.type=='Ready')]['status','message']}";
  expect(await cluster.kubectl.ok(["get", "nodes", "-o", ready])).toMatch(/^False .*network/);
  await writeFile(confFile, JSON.stringify(network));
  await eventually(
    "the node",
    async () =>
      (await cluster.kubectl.ok(["get", "nodes", "-o", ready])).startsWith("True") ? true : undefined,
    60_000,
  );
  await knarr(["image", "busybox", "--name", cluster.name], { env: cluster.env });
  await cluster.kubectl.ok([
    "run",
    "p",
    "--image=busybox:1.36",
    "--restart=Never",
    "--command",
    "--",
    "sleep",
    "1000",
  ]);
  await cluster.kubectl.ok(["wait", "--for=condition=Ready", "pod/p", "--timeout=60s"]);
  expect(await cluster.kubectl.ok(["get", "pod", "p", "-o", "jsonpath={.status.podIP}"])).toMatch(
    /^10\.77\.0\./,
  );
  const lookup = ["exec", "p", "--", "nslookup", "kubernetes.default.svc.cluster.local"];
  await eventually("cluster DNS", async () => (await cluster.kubectl.try(lookup)).code === 0 || undefined);
});

test("after a purge the folders are as they were", async () => {
  await cluster.down("--purge");
  await cluster.expectNothingLeft();
  expect(existsSync(confFile)).toBe(true);
  expect(existsSync(program)).toBe(had);
});
