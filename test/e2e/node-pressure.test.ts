/** A node that runs short of memory, and pods that take more of its disk than they may: on a real node. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type corev1, events, nodes } from "#api";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const mi = 1024 * 1024;
const shell = (script: string, more: object = {}) => ({
  name: "main",
  image: testImage,
  command: ["sh", "-c", script],
  ...more,
});

/** What the kubelet counts as available: all but the working set. */
function availableBytes(): number {
  const text = readFileSync("/proc/meminfo", "utf8");
  const bytes = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(text)![1]) * 1024;
  return bytes("MemFree") + bytes("Inactive\\(file\\)");
}

const isEvicted = (pod: corev1.Pod | undefined) =>
  pod?.status?.phase === "Failed" && pod.status.reason === "Evicted";
const isRunning = (pod: corev1.Pod | undefined) => pod?.status?.phase === "Running";

describe.skipIf(!canRunContainers())("a node under pressure", () => {
  let node: TestNode;
  const roomBytes = Math.min(1024 * mi, Math.floor(availableBytes() / 8));
  const least = Math.floor((availableBytes() - roomBytes) / mi);

  beforeAll(async () => {
    node = await startTestNode({
      evictionHard: { "memory.available": `${least}Mi` },
      evictionPressureTransitionMs: 15_000,
    });
  });
  afterAll(() => node.stop());

  test("evicts who takes too much memory, tells why, and takes pods again once it is over", async () => {
    const modest = { resources: { requests: { memory: "16Mi" } } };
    await node.createPod("modest", { containers: [shell("sleep 600", modest)] });
    await node.until("modest", isRunning);
    const fill = `dd if=/dev/zero of=/mem/fill bs=1M count=${Math.ceil((2 * roomBytes) / mi)}; sleep 600`;
    await node.createPod("greedy", {
      volumes: [{ name: "mem", emptyDir: { medium: "Memory" } }],
      containers: [shell(fill, { volumeMounts: [{ name: "mem", mountPath: "/mem" }] })],
    });
    const greedy = await node.until("greedy", isEvicted);
    expect(greedy?.status?.message).toMatch(
      /^The node was low on resource: memory\. Threshold quantity: \S+, available: \S+\. Container main was using \S+, request is 0, has larger consumption of memory\. $/,
    );
    expect(greedy?.status?.conditions).toContainEqual(
      expect.objectContaining({ type: "DisruptionTarget", status: "True", reason: "TerminationByKubelet" }),
    );
    const conditions = (await node.client.get(nodes, { name: "node-1" })).status?.conditions;
    expect(conditions).toContainEqual(expect.objectContaining({ type: "MemoryPressure", status: "True" }));
    await node.createPod("late", { containers: [shell("sleep 600")] });
    const late = await node.until("late", isEvicted);
    expect(late?.status?.message).toBe("Pod was rejected: The node had condition: [MemoryPressure]. ");
    expect(isRunning(await node.until("modest", () => true))).toBe(true);
    const said = await node.client.list(events, { namespace: "default" });
    expect(said.items.map(({ reason }) => reason)).toContain("EvictionThresholdMet");
    let tries = 0;
    await expect
      .poll(
        async () => {
          await node.createPod(`again-${tries++}`, { containers: [shell("sleep 600")] });
          return isRunning(await node.until(`again-${tries - 1}`, (pod) => isRunning(pod) || isEvicted(pod)));
        },
        { timeout: 60_000, interval: 3000 },
      )
      .toBe(true);
  });

  test("evicts pods that go over the limits of their volumes and containers", async () => {
    const fill = (where: string) => `dd if=/dev/zero of=${where}/fill bs=1M count=8; sleep 600`;
    await node.createPod("volume", {
      volumes: [{ name: "data", emptyDir: { sizeLimit: "2Mi" } }],
      containers: [shell(fill("/data"), { volumeMounts: [{ name: "data", mountPath: "/data" }] })],
    });
    await node.createPod("layer", {
      containers: [shell(fill("/tmp"), { resources: { limits: { "ephemeral-storage": "2Mi" } } })],
    });
    const [volume, layer] = await Promise.all([
      node.until("volume", isEvicted),
      node.until("layer", isEvicted),
    ]);
    expect(volume?.status?.message).toBe('Usage of EmptyDir volume "data" exceeds the limit "2Mi". ');
    expect(layer?.status?.message).toBe(
      "Pod ephemeral local storage usage exceeds the total limit of containers 2Mi. ",
    );
  });
});
