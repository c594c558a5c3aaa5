/**
 * Pods that behave badly, and many of them: what they take they give back. `KNARR_POD_ROUNDS=10` starts and removes as
 * many pods as the node takes ten times.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import { pods } from "#api";
import { run } from "#base";
import { eventually } from "./harness.ts";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const rounds = Number(process.env.KNARR_POD_ROUNDS ?? "1");
const count = rounds > 1 ? 110 : 20;

const shell = (script: string, more: object = {}) => ({
  name: "main",
  image: testImage,
  command: ["sh", "-c", script],
  ...more,
});
/** What this process holds, the kubelet and the API with it. */
function liveMegabytes(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed / 2 ** 20;
}

const isRunning = (pod: corev1.Pod | undefined) => pod?.status?.phase === "Running";

describe.skipIf(!canRunContainers())("hard pods", () => {
  let node: TestNode;
  const pidsLimit = 48;
  beforeAll(async () => {
    node = await startTestNode({ podPidsLimit: pidsLimit });
  });
  afterAll(() => node.stop());

  const remove = async (name: string) => {
    await node.client.delete(pods, { namespace: "default", name });
    await node.until(name, (pod) => pod === undefined);
  };

  async function groups(): Promise<string[]> {
    const { stdout } = await run("find", [
      "/sys/fs/cgroup",
      "-type",
      "d",
      "-path",
      `*${node.cgroupRoot}/*/pod*`,
    ]);
    return stdout.split("\n").filter(Boolean);
  }

  /** What pods take of the machine. */
  async function taken(): Promise<Record<string, number>> {
    const mounts = readFileSync("/proc/mounts", "utf8").split("\n");
    const routes = (await run("ip", ["-o", "route", "show"])).stdout.split("\n");
    const rules = (await run("nft", ["list", "ruleset"])).stdout.split("\n");
    const processes = (await run("ps", ["-eo", "args"])).stdout.split("\n");
    const folder = (path: string) => readdirSync(join(node.dir, path)).length;
    return {
      mounts: mounts.filter((line) => line.includes(node.dir)).length,
      // A pod's interface goes with its namespace, which is a mount and holds a route.
      routes: routes.filter((line) => line.startsWith("10.251.0.")).length,
      rules: rules.filter((line) => line.includes("10.251.0.")).length,
      processes: processes.filter((line) => line.includes(node.dir)).length,
      files: readdirSync("/proc/self/fd").length,
      groups: (await groups()).length,
      folders: folder("kubelet/pods"),
      logs: folder("kubelet/logs/pods"),
      links: folder("kubelet/logs/containers"),
      leases: folder("ipam/test"),
    };
  }

  test("one that forks without end is held to its number of processes, and is removed whole", async () => {
    await node.createPod("bomb", {
      containers: [shell("f() { f | f & }; f; while :; do sleep 1 || :; done")],
    });
    const bomb = await node.until("bomb", isRunning);
    const uid = bomb!.metadata.uid;
    const log = join(node.dir, "kubelet/logs/pods", `default_bomb_${uid}`, "main/0.log");
    await eventually("its end of processes", async () =>
      readFileSync(log, "utf8").includes("can't fork") ? true : undefined,
    );
    await node.createPod("neighbour", { containers: [shell("sleep 600")], terminationGracePeriodSeconds: 0 });
    await node.until("neighbour", isRunning);
    await Promise.all([remove("bomb"), remove("neighbour")]);
    expect((await groups()).filter((path) => path.endsWith(uid))).toEqual([]);
  });

  test("one that ignores TERM has its grace, and no more", async () => {
    await node.createPod("deaf", {
      terminationGracePeriodSeconds: 1,
      containers: [shell("trap '' TERM; while :; do sleep 1 || :; done")],
    });
    await node.until("deaf", isRunning);
    await remove("deaf");
    await eventually("the end of its container", async () =>
      (await node.containerd.runtime.listContainers()).length === 0 ? true : undefined,
    );
  });

  test(
    `${rounds} times ${count} pods leave nothing`,
    async () => {
      const before = await taken();
      const heapMegabytes: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const names = Array.from({ length: count }, (_, i) => `many-${round}-${i}`);
        const spec = {
          terminationGracePeriodSeconds: 0,
          volumes: [{ name: "data", emptyDir: { medium: "Memory" } }],
          containers: [shell("sleep 6000", { volumeMounts: [{ name: "data", mountPath: "/data" }] })],
        };
        for (const name of names) await node.createPod(name, spec);
        for (const name of names) await node.until(name, isRunning);
        expect((await taken()).mounts).toBeGreaterThan(before.mounts! + count);
        await Promise.all(names.map(remove));
        heapMegabytes.push(liveMegabytes());
      }
      // The first rounds fill what is kept of bounded size: events, in the API in this process.
      expect(heapMegabytes.at(-1)! - heapMegabytes[Math.floor(rounds / 2)]!).toBeLessThan(10);
      await eventually("a machine as it was", async () => {
        const now = await taken();
        const more = Object.keys(before).filter(
          (key) => now[key]! > before[key]! + (key === "files" ? 4 : 0),
        );
        if (more.length > 0) throw new Error(JSON.stringify({ more, before, now }));
        return true;
      });
    },
    rounds * 300_000,
  );
});
