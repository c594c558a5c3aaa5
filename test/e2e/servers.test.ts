/** Two whole servers on one real etcd: what one leaves undone when it is killed, the other takes up. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type EtcdProcess, hasEtcd, startEtcd } from "../integration/fixtures/etcd.ts";
import { eventually } from "./harness.ts";
import { OwnCluster } from "./own-cluster.ts";

const leaseMs = 15_000;
/** A Lease runs out, and whoever waits for it looks every few seconds. */
const takeOverMaxMs = leaseMs + 15_000;

const isThere = await hasEtcd();
let etcd: EtcdProcess;
let first: OwnCluster;
let second: OwnCluster;

/** As on another machine: keys and addresses of the cluster, ports of its own. */
function copyMembership(from: OwnCluster, to: OwnCluster): void {
  cpSync(join(from.dir, "tls"), join(to.dir, "tls"), { recursive: true });
  const config = JSON.parse(readFileSync(join(from.dir, "cluster.json"), "utf8")) as Record<string, unknown>;
  const ports = { apiPort: 16443, kubeletPort: 16250, dnsPort: 16053, httpPort: 16080, httpsPort: 16081 };
  writeFileSync(
    join(to.dir, "cluster.json"),
    JSON.stringify({ ...config, ...ports, name: to.name, slot: 49 }),
  );
}

beforeAll(async () => {
  if (!isThere) return;
  etcd = await startEtcd();
  const flags = ["--simulate", "--nodes", "2", "--datastore", etcd.datastore];
  first = await OwnCluster.make("first", ...flags);
  second = await OwnCluster.make("second", ...flags);
  await first.up();
  copyMembership(first, second);
  await second.up();
});

afterAll(async () => {
  await first?.remove();
  await second?.remove();
  await etcd?.remove();
});

const lines = (text: string) => text.split("\n").filter(Boolean);

async function holders(): Promise<string[]> {
  const path = "{range .items[*]}{.metadata.name}={.spec.holderIdentity}{'\\n'}{end}";
  const text = await second.kubectl.ok(["get", "leases", "-n", "kube-system", "-o", `jsonpath=${path}`]);
  return lines(text).filter((line) => !line.startsWith("apiserver-"));
}

async function running(): Promise<number> {
  const text = await second.kubectl.ok(["get", "pods", "-l", "app=web", "--no-headers"]);
  return lines(text).filter((line) => line.includes("Running")).length;
}

test.skipIf(!isThere)("the second server goes on when the first is killed", async () => {
  const kubernetes = async () =>
    (await second.kubectl.ok(["get", "endpoints", "kubernetes", "--no-headers"])).split(/\s+/)[1]!.split(",");
  await eventually("both servers in the kubernetes Service", async () =>
    (await kubernetes()).length === 2 ? true : undefined,
  );
  const before = await holders();
  expect(before.map((line) => line.split("=")[0])).toEqual([
    "knarr-simulator",
    "kube-controller-manager",
    "kube-scheduler",
  ]);
  // Written through the one that does not lead.
  await second.kubectl.ok([
    "create",
    "deployment",
    "web",
    "--image=registry.k8s.io/pause:3.10.1",
    "--replicas=2",
  ]);
  await eventually("two pods", async () => ((await running()) === 2 ? true : undefined), 30_000);

  await first.kill();
  await second.kubectl.ok(["scale", "deployment", "web", "--replicas=5"]);
  await eventually("five pods", async () => ((await running()) === 5 ? true : undefined), takeOverMaxMs);
  const after = await holders();
  expect(after).toHaveLength(before.length);
  for (const line of after) expect(before).not.toContain(line);
  await eventually(
    "the killed server out of the kubernetes Service",
    async () => ((await kubernetes()).join() === "127.0.0.1:16443" ? true : undefined),
    45_000,
  );

  // Back again, it waits its turn.
  await first.up();
  await second.kubectl.ok(["scale", "deployment", "web", "--replicas=3"]);
  await eventually("three pods", async () => ((await running()) === 3 ? true : undefined), 30_000);
  expect(await holders()).toEqual(after);
});
