/** A device plugin on a real node: its devices are counted, given to containers, and missed when they fail. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type corev1, nodes } from "#api";
import { systemClock } from "#base";
import { podResourcesMessages, podResourcesMethods } from "../../src/kubelet/generated/plugins.ts";
import { connectPlugin } from "../../src/kubelet/plugins/grpc.ts";
import { startTestPlugin, type TestPlugin } from "../../src/kubelet/testing/device-plugin.ts";
import { eventually } from "./harness.ts";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const resource = "example.com/toy";
const using = (count: number, command: string) => ({
  restartPolicy: "Never" as const,
  containers: [
    {
      name: "main",
      image: testImage,
      command: ["sh", "-c", command],
      resources: { limits: { [resource]: String(count) } },
    },
  ],
});
const endedWith = (phase: string) => (pod: corev1.Pod | undefined) => pod?.status?.phase === phase;

describe.skipIf(!canRunContainers())("device plugins", () => {
  let node: TestNode;
  let plugin: TestPlugin;
  const counts = async () => {
    const { status } = await node.client.get(nodes, { name: "node-1" });
    return [status?.capacity?.[resource], status?.allocatable?.[resource]];
  };
  const healthOf = (pod: corev1.Pod | undefined) =>
    pod?.status?.containerStatuses?.[0]?.allocatedResourcesStatus?.[0]?.resources?.[0]?.health;

  /** What an agent is told of the pod's devices. */
  async function asked(podName: string): Promise<unknown[]> {
    const agent = connectPlugin({
      socketPath: join(node.dir, "kubelet/pod-resources/kubelet.sock"),
      clock: systemClock,
      methods: podResourcesMethods,
      messages: { nested: { v1: { nested: podResourcesMessages } } },
    });
    const answer = await agent.call<{ podResources: { containers: { devices: unknown[] }[] } }>("Get", {
      podName,
      podNamespace: "default",
    });
    agent.close();
    return answer.podResources.containers[0]!.devices;
  }

  const untilCounted = (...wanted: [string, string]) =>
    expect.poll(counts, { timeout: 15_000 }).toEqual(wanted);

  /** As every plugin does: it starts anew when the kubelet's socket is made anew. */
  async function joinNode(): Promise<void> {
    plugin?.stop();
    plugin = await eventually("the kubelet's socket", async () => {
      const dir = join(node.dir, "kubelet", "device-plugins");
      if (!existsSync(join(dir, "kubelet.sock"))) return undefined;
      const started = await startTestPlugin(dir, resource);
      await started.register();
      return started;
    });
  }

  beforeAll(async () => {
    node = await startTestNode();
    await joinNode();
  });
  afterAll(async () => {
    plugin?.stop();
    await node.stop();
  });

  test("what is no device plugin's is refused", async () => {
    const wrong = plugin.register({ version: "v1", endpoint: "x.sock", resourceName: resource });
    await expect(wrong).rejects.toThrow("is not supported by kubelet");
  });

  test("devices are counted and given, the preferred ones first, each to one pod", async () => {
    await untilCounted("2", "2");
    const script = 'test -c /dev/nothing && echo "$DEVICES" > /dev/termination-log; sleep 600';
    await node.createPod("one", { ...using(1, script), terminationGracePeriodSeconds: 1 });
    await node.until("one", endedWith("Running"));
    expect(plugin.allocated).toEqual([["second"]]);
    await node.createPod("two", using(1, 'test -c /dev/nothing && test "$DEVICES" = first'));
    await node.until("two", endedWith("Succeeded"));
    await node.createPod("many", using(3, "true"));
    expect((await node.until("many", endedWith("Failed")))?.status).toMatchObject({
      reason: `OutOf${resource}`,
    });
    // What has ended has given back what it had.
    await node.createPod("three", using(1, 'test "$DEVICES" = first'));
    await node.until("three", endedWith("Succeeded"));
  });

  test("a device that fails is no longer given, and one that comes back is", async () => {
    plugin.devices.set("first", false);
    plugin.update();
    await untilCounted("2", "1");
    // Pod one has the other; its status, and the node's own socket, tell how that is.
    plugin.devices.set("second", false);
    plugin.update();
    await node.until("one", (pod) => healthOf(pod) === "Unhealthy");
    expect(await asked("one")).toMatchObject([{ resourceName: resource, deviceIds: ["second"] }]);
    plugin.devices.set("second", true);
    plugin.update();
    await node.until("one", (pod) => healthOf(pod) === "Healthy");
    plugin.devices.set("first", true);
    plugin.update();
    await untilCounted("2", "2");
  });

  test("a kubelet that starts again knows what pods have, and waits for the plugin", async () => {
    await node.restartKubelet();
    await untilCounted("0", "0");
    await joinNode();
    await untilCounted("2", "2");
    await node.createPod("four", using(1, 'test "$DEVICES" = first'));
    await node.until("four", endedWith("Succeeded"));
  });
});
