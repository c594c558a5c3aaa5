/** Data that outlives its pods, the node's agent and the whole cluster, on the default StorageClass. */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually, example } from "./harness.ts";
import { knarr } from "./knarr.ts";
import { OwnCluster } from "./own-cluster.ts";

let cluster: OwnCluster;
const k = (...args: string[]) => cluster.kubectl.ok(args);
const ready = () => k("rollout", "status", "statefulset/database", "--timeout=60s");
const rows = (pod: string) =>
  eventually(`the rows of ${pod}`, () => k("exec", pod, "--", "cat", "/data/rows"), 20_000);

beforeAll(async () => {
  cluster = await OwnCluster.make("volumes");
  await cluster.up();
  await knarr(["image", "busybox", "--name", cluster.name], { env: cluster.env });
  await cluster.kubectl.ok(["apply", "-f", "-"], { input: example("database.yaml") });
  await ready();
});
afterAll(() => cluster.remove());

test("there is a default StorageClass, and every pod has a volume of its own", async () => {
  expect(await k("get", "sc")).toMatch(
    /\nstandard \(default\)\s+knarr\.dev\/local-path\s+Delete\s+WaitForFirstConsumer\s+true\s/,
  );
  for (const name of ["database-0", "database-1"])
    await k("exec", name, "--", "sh", "-c", `echo ${name} >> /data/rows`);
  expect(await rows("database-0")).toBe("database-0\n");
  expect(await rows("database-1")).toBe("database-1\n");
});

test("rows outlive the pod, the agent, and the cluster", async () => {
  await k("delete", "pod", "database-0");
  await ready();
  expect(await rows("database-0")).toBe("database-0\n");
  await cluster.kill();
  await cluster.up();
  expect(await rows("database-1")).toBe("database-1\n");
  await cluster.down();
  await cluster.up();
  await eventually("the pods", ready, 60_000);
  expect(await rows("database-0")).toBe("database-0\n");
  expect(await rows("database-1")).toBe("database-1\n");
});

test("a claim grows, and takes its folder along when it goes", async () => {
  const path = await k("get", "pv", "-o", "jsonpath={.items[0].spec.local.path}");
  expect(existsSync(path)).toBe(true);
  const more = '{"spec":{"resources":{"requests":{"storage":"128Mi"}}}}';
  await k("patch", "pvc", "data-database-0", "-p", more);
  await eventually("more room", async () =>
    (await k("get", "pvc", "data-database-0", "-o", "jsonpath={.status.capacity.storage}")) === "128Mi"
      ? true
      : undefined,
  );
  await k("delete", "statefulset", "database");
  await k("delete", "pvc", "--all", "--timeout=30s");
  await eventually("no volumes", async () =>
    (await k("get", "pv", "-o", "name")) === "" ? true : undefined,
  );
  expect(existsSync(path)).toBe(false);
});
