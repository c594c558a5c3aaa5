/** What can happen to pods from below: their shims and containerd are killed, clocks jump, registries do not answer. */
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type corev1, events, leases, nodes, parseTime, pods } from "#api";
import { type Clock, systemClock } from "#base";
import { eventually } from "./harness.ts";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const isReady = (pod: corev1.Pod | undefined) =>
  pod?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
const restartsOf = (pod: corev1.Pod | undefined) => pod?.status?.containerStatuses?.[0]?.restartCount ?? 0;
const idOf = (pod: corev1.Pod | undefined) =>
  pod?.status?.containerStatuses?.[0]?.containerID?.split("//")[1] ?? "";

const hourMs = 3_600_000;

/** The machine's clock, moved by hand; what measures durations goes on as it was. */
class MovedClock implements Clock {
  offsetMs = 0;
  now = () => systemClock.now() + this.offsetMs;
  monotonic = () => systemClock.monotonic();
  after = (delayMs: number, fn: () => void) => systemClock.after(delayMs, fn);
  every = (periodMs: number, fn: () => void) => systemClock.every(periodMs, fn);
  sleep = (delayMs: number, signal?: AbortSignal) => systemClock.sleep(delayMs, signal);
}

describe.skipIf(!canRunContainers())("pods and what is below them", () => {
  const clock = new MovedClock();
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode({}, clock);
  });
  afterAll(() => node.stop());

  const shell = (script: string, more: object = {}) => ({
    terminationGracePeriodSeconds: 0,
    containers: [{ name: "main", image: testImage, command: ["sh", "-c", script], ...more }],
  });
  const remove = async (...names: string[]) => {
    for (const name of names) await node.client.delete(pods, { namespace: "default", name });
    for (const name of names) await node.until(name, (pod) => pod === undefined);
  };

  /** By the sandbox or container that it is of. */
  function shimsOf(...ids: string[]): number[] {
    return readdirSync("/proc").flatMap((entry) => {
      if (!/^\d+$/.test(entry)) return [];
      try {
        const words = readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0");
        return words[0]!.includes("containerd-shim") && words.some((word) => ids.includes(word))
          ? [Number(entry)]
          : [];
      } catch {
        return [];
      }
    });
  }

  /** The API says of every container that runs that it runs, and of no other. */
  async function expectAgreement(): Promise<void> {
    await eventually("the API and the runtime to say the same", async () => {
      const { items } = await node.client.list(pods, { namespace: "default" });
      const said = items.flatMap(({ status }) => status?.containerStatuses ?? []);
      const running = said
        .filter(({ state }) => state?.running)
        .map((each) => each.containerID!.split("//")[1]);
      const found = await node.containerd.runtime.listContainers();
      const real = found.filter(({ state }) => state === "CONTAINER_RUNNING").map(({ id }) => id);
      if (running.sort().join() !== real.sort().join()) throw new Error(JSON.stringify({ running, real }));
      return true;
    });
  }

  test("kill -9 of a shim: its pod begins again, and nothing of the old one is left", async () => {
    await node.createPod("struck", shell("sleep 6000"));
    await node.createPod("bystander", shell("sleep 6000"));
    const before = await node.until("struck", isReady);
    const bystander = await node.until("bystander", isReady);
    const [sandbox] = await node.containerd.runtime.listPodSandboxes({
      "io.kubernetes.pod.uid": before!.metadata.uid,
    });
    const shims = shimsOf(sandbox!.id);
    expect(shims.length).toBe(1);
    process.kill(shims[0]!, "SIGKILL");
    const after = await node.until("struck", (pod) => isReady(pod) && idOf(pod) !== idOf(before));
    expect(restartsOf(after)).toBe(1);
    expect(idOf(await node.until("bystander", isReady))).toBe(idOf(bystander));
    await expectAgreement();
    await remove("struck", "bystander");
  });

  test("kill -9 of containerd and shims while pods come: all of them come", async () => {
    const names = Array.from({ length: 10 }, (_, i) => `load-${i}`);
    for (const name of names) await node.createPod(name, shell("sleep 6000"));
    const first = await eventually("the first sandboxes", async () => {
      const sandboxes = await node.containerd.runtime.listPodSandboxes();
      return sandboxes.length >= 4 ? sandboxes : undefined;
    });
    process.kill(node.containerd.pid, "SIGKILL");
    for (const pid of shimsOf(...first.slice(0, 3).map(({ id }) => id))) process.kill(pid, "SIGKILL");
    for (const name of names) await node.until(name, isReady);
    await expectAgreement();
    await remove(...names);
    await eventually("the end of all sandboxes", async () =>
      (await node.containerd.runtime.listPodSandboxes()).length === 0 ? true : undefined,
    );
  });

  test("a clock that jumps back and forth stops nothing, restarts nothing and holds nothing back", async () => {
    const readinessProbe = { exec: { command: ["true"] }, initialDelaySeconds: 1, periodSeconds: 1 };
    const lease = async () =>
      (await node.client.get(leases, { namespace: "kube-node-lease", name: "node-1" })).spec!.renewTime!;
    await node.createPod("steady", shell("sleep 6000", { readinessProbe }));
    await node.createPod("crashing", shell("sleep 2; exit 1"));
    const steady = await node.until("steady", isReady);
    for (const offsetMs of [-2 * hourMs, 3 * hourMs]) {
      clock.offsetMs = offsetMs;
      const restarts = restartsOf(await node.until("crashing", () => true));
      const name = offsetMs < 0 ? "past" : "future";
      await node.createPod(name, shell("sleep 6000", { readinessProbe }));
      await node.until(name, isReady);
      await node.until("crashing", (pod) => restartsOf(pod) > restarts);
      await eventually("a lease of these days", async () =>
        Math.abs(parseTime(await lease())! - clock.now()) < 60_000 ? true : undefined,
      );
    }
    expect(idOf(await node.until("steady", isReady))).toBe(idOf(steady));
    const { status } = await node.client.get(nodes, { name: "node-1" });
    expect(status!.conditions!.find(({ type }) => type === "Ready")!.status).toBe("True");
    await expectAgreement();
    await remove("steady", "crashing", "past", "future");
    clock.offsetMs = 0;
  });

  test("a registry that takes calls and never answers holds up nobody else, nor the end of its pods", async () => {
    const calls = new Set<Socket>();
    const registry: Server = createServer((socket) => calls.add(socket.on("error", () => {})));
    await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
    const { port } = registry.address() as { port: number };
    const slow = [0, 1, 2].map((i) => `slow-${i}`);
    for (const name of slow)
      await node.createPod(name, shell("sleep 6000", { image: `127.0.0.1:${port}/${name}:1` }));
    await eventually("calls", async () => (calls.size >= 3 ? true : undefined));
    await node.createPod("quick", shell("sleep 6000"));
    await node.until("quick", isReady);
    const { items } = await node.client.list(events, { namespace: "default" });
    expect(items.filter((e) => e.reason === "Pulling" && slow.includes(e.involvedObject.name!)).length).toBe(
      3,
    );
    await remove(...slow, "quick");
    for (const call of calls) call.destroy();
    await new Promise((resolve) => registry.close(resolve));
  });
});
