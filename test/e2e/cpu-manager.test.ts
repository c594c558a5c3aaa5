/** Whole processors for one container alone, on a real node. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pods } from "#api";
import { runOk } from "#base";
import { eventually } from "./harness.ts";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const cpus = availableParallelism();

describe.skipIf(!canRunContainers() || cpus < 2)("the static CPU policy", () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode({ cpuManagerPolicy: "static", reservedCpus: "0" });
  });
  afterAll(() => node.stop());

  /** What the kernel says of the container's own process. */
  async function allowed(pod: string): Promise<string> {
    const [container] = await node.containerd.runtime.listContainers({ "io.kubernetes.pod.name": pod });
    const groups = await runOk("find", ["/sys/fs/cgroup", "-type", "d", "-name", container!.id]);
    const pid = readFileSync(join(groups.split("\n")[0]!, "cgroup.procs"), "utf8").split("\n")[0]!;
    return /^Cpus_allowed_list:\s+(\S+)$/m.exec(readFileSync(join("/proc", pid, "status"), "utf8"))![1]!;
  }

  const create = async (name: string, limits?: Record<string, string>) => {
    const resources = limits ? { resources: { limits, requests: limits } } : {};
    const container = { name: "main", image: testImage, command: ["sleep", "6000"], ...resources };
    await node.createPod(name, { terminationGracePeriodSeconds: 0, containers: [container] });
    await node.until(name, (pod) => pod?.status?.phase === "Running");
  };

  test("a guaranteed container has its processor to itself, until it ends", async () => {
    const all = cpus === 2 ? "0-1" : `0-${cpus - 1}`;
    await create("shared");
    expect(await allowed("shared")).toBe(all);
    await create("alone", { cpu: "1", memory: "32Mi" });
    const own = await allowed("alone");
    expect(own).toMatch(/^[1-9]\d*$/);
    await eventually("the others gone from it", async () => {
      const rest = await allowed("shared");
      return rest !== all && !rest.split(/[,-]/).includes(own) ? true : undefined;
    });
    await node.client.delete(pods, { namespace: "default", name: "alone" });
    await eventually("the others back on it", async () =>
      (await allowed("shared")) === all ? true : undefined,
    );
  });
});
