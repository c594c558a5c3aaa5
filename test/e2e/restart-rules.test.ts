/** What runs again after it ended, all at once too, and the signal that containers are stopped by: on a real node. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const shell = (name: string, script: string, more: Partial<corev1.Container> = {}) => ({
  name,
  image: testImage,
  command: ["sh", "-c", script],
  ...more,
});
const statusesOf = (pod: corev1.Pod | undefined) => [
  ...(pod?.status?.initContainerStatuses ?? []),
  ...(pod?.status?.containerStatuses ?? []),
];
const rules = (action: string, ...values: number[]) =>
  [{ action, exitCodes: { operator: "In", values } }] as corev1.ContainerRestartRule[];

describe.skipIf(!canRunContainers())("restart rules and stop signals", () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode();
  });
  afterAll(() => node.stop());

  test("a rule restarts what its pod would leave ended", async () => {
    const script = "[ -e /data/ran ] && exit 3; touch /data/ran; exit 42";
    const volumeMounts = [{ name: "data", mountPath: "/data" }];
    const restart = { restartPolicy: "Never", restartPolicyRules: rules("Restart", 42) };
    await node.createPod("rules", {
      restartPolicy: "Never",
      volumes: [{ name: "data", emptyDir: {} }],
      containers: [shell("main", script, { ...restart, volumeMounts })],
    });
    const pod = await node.until("rules", (each) => each?.status?.phase === "Failed");
    expect(statusesOf(pod)[0]).toMatchObject({ restartCount: 1, state: { terminated: { exitCode: 3 } } });
  });

  test("one end makes all containers of a pod begin anew, in its sandbox", async () => {
    const volumeMounts = [{ name: "data", mountPath: "/data" }];
    const watch = "sleep 1; [ -e /data/again ] && sleep 600; touch /data/again; exit 88";
    const anew = { restartPolicy: "Never", restartPolicyRules: rules("RestartAllContainers", 88) };
    const created = await node.createPod("anew", {
      restartPolicy: "Never",
      volumes: [{ name: "data", emptyDir: {} }],
      initContainers: [shell("init", "true")],
      containers: [
        shell("worker", "trap 'exit 0' TERM; while :; do sleep 0.1; done"),
        shell("watcher", watch, { ...anew, volumeMounts }),
      ],
    });
    expect(created.spec.containers[1]?.restartPolicyRules?.[0]?.action).toBe("RestartAllContainers");
    const pod = await node.until(
      "anew",
      (each) =>
        statusesOf(each).length === 3 && statusesOf(each).every((status) => status.restartCount === 1),
    );
    const again = await node.until("anew", (each) =>
      (each?.status?.containerStatuses ?? []).every((s) => s.state?.running),
    );
    expect(again?.status?.podIP).toBe(pod?.status?.podIP);
    expect(again?.status?.conditions).toContainEqual(
      expect.objectContaining({ type: "AllContainersRestarting", status: "False" }),
    );
  });

  test("a container is stopped by the signal that it names", async () => {
    const script =
      "trap 'echo stopped by USR1 > /dev/termination-log; exit 7' USR1; while :; do sleep 0.1; done";
    await node.createPod("signal", {
      os: { name: "linux" },
      activeDeadlineSeconds: 2,
      containers: [shell("main", script, { lifecycle: { stopSignal: "SIGUSR1" } })],
    });
    const pod = await node.until("signal", (each) => each?.status?.phase === "Failed");
    expect(statusesOf(pod)[0]).toMatchObject({
      stopSignal: "SIGUSR1",
      state: { terminated: { exitCode: 7, message: "stopped by USR1\n" } },
    });
  });
});
