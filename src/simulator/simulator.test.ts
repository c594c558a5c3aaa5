import { expect, onTestFinished, test } from "vitest";
import { type corev1, type Draft, leases, nodes, pods } from "#api";
import { createWorld, seededRandom, silentLogger, UserError, VirtualClock } from "#base";
import { createClient, FakeApi } from "#client";
import { placeNodes, podAddress } from "./nodes.ts";
import { annotations, type Stages } from "./pod-life.ts";
import { startSimulator } from "./start-simulator.ts";

async function setUp(count = 2, stages: Partial<Stages> = {}) {
  const clock = new VirtualClock();
  const world = createWorld({ clock, random: seededRandom(1), log: silentLogger });
  const api = new FakeApi(clock);
  const client = createClient(api);
  const simulator = await startSimulator({ client, world, nodes: count, stages });
  onTestFinished(() => simulator.stop());
  const ref = (name: string) => ({ namespace: "default", name });
  const addPod = (name: string, spec: Draft<corev1.PodSpec> = {}, told: Record<string, string> = {}) =>
    client.create(pods, {
      metadata: { namespace: "default", name, annotations: told },
      spec: { nodeName: "node-1", containers: [{ name: "c", image: "x" }], ...spec },
    });
  const get = (name: string) => client.get(pods, ref(name));
  const ready = (pod: corev1.Pod) => pod.status.conditions?.find((c) => c.type === "Ready")?.status;
  return { clock, api, client, simulator, ref, addPod, get, ready };
}

test("nodes register, are ready, and renew their leases until they fall silent", async () => {
  const { clock, client, simulator } = await setUp();
  const { items } = await client.list(nodes);
  expect(items.map((node) => node.metadata.name)).toEqual(["node-1", "node-2"]);
  expect(items[0]!.status.capacity).toMatchObject({ cpu: "32", memory: "256Gi", pods: "110" });
  expect(items[0]!.metadata.labels).toMatchObject({
    "kubernetes.io/hostname": "node-1",
    "kubernetes.io/os": "linux",
  });
  const renewed = async (name: string) =>
    Date.parse((await client.get(leases, { namespace: "kube-node-lease", name })).spec.renewTime ?? "");
  const before = await renewed("node-1");
  simulator.silence("node-2");
  const silent = await renewed("node-2");
  await clock.advance(30_000);
  expect(await renewed("node-1")).toBeGreaterThan(before + 15_000);
  expect(await renewed("node-2")).toBe(silent);
});

test("a bound pod gets an address of its node, runs and is ready; deleted, it goes", async () => {
  const { clock, client, addPod, get, ready, ref } = await setUp();
  await addPod("a");
  await addPod("b", { initContainers: [{ name: "i", image: "y" }] });
  await clock.advance(1_000);
  const [a, b] = [await get("a"), await get("b")];
  expect(a.status).toMatchObject({ phase: "Running", podIP: "10.244.0.2", hostIP: "172.30.0.0" });
  expect(ready(a)).toBe("True");
  expect(b.status.podIP).toBe("10.244.0.3");
  expect(b.status.initContainerStatuses?.[0]?.state?.terminated?.exitCode).toBe(0);
  await client.delete(pods, ref("a"));
  await clock.advance(31_000);
  await expect(get("a")).rejects.toThrow("not found");
  await addPod("c");
  await clock.advance(1_000);
  // An address that was just freed is given last.
  expect((await get("c")).status.podIP).toBe("10.244.0.4");
});

test("pods end as told: by success, by failure, by restarts", async () => {
  const { clock, addPod, get } = await setUp();
  const told = (code: string) => ({ [annotations.runSeconds]: "5", [annotations.exitCode]: code });
  await addPod("good", { restartPolicy: "Never" }, told("0"));
  await addPod("bad", { restartPolicy: "Never" }, told("3"));
  await addPod("again", { restartPolicy: "OnFailure" }, told("1"));
  await clock.advance(7_000);
  expect((await get("good")).status.phase).toBe("Succeeded");
  const bad = await get("bad");
  expect(bad.status.phase).toBe("Failed");
  expect(bad.status.containerStatuses?.[0]?.state?.terminated).toMatchObject({
    exitCode: 3,
    reason: "Error",
  });
  const waiting = (await get("again")).status.containerStatuses?.[0];
  expect(waiting?.state?.waiting?.reason).toBe("CrashLoopBackOff");
  await clock.advance(11_000);
  expect((await get("again")).status.containerStatuses?.[0]).toMatchObject({ restartCount: 1 });
});

test("the pod of a Job ends by itself", async () => {
  const { clock, client, get } = await setUp();
  const owner = { apiVersion: "batch/v1", kind: "Job", name: "j", uid: "j", controller: true };
  await client.create(pods, {
    metadata: { namespace: "default", name: "j-1", ownerReferences: [owner] },
    spec: { nodeName: "node-2", restartPolicy: "Never", containers: [{ name: "c", image: "x" }] },
  });
  await clock.advance(3_000);
  expect((await get("j-1")).status).toMatchObject({ phase: "Succeeded", podIP: "10.244.1.2" });
});

test("pods start as late as told, or by their luck; some fail, and always the same", async () => {
  const { clock, addPod, client } = await setUp(2, { startJitterMs: 10_000, failureRate: 0.5 });
  for (let i = 0; i < 40; i++) await addPod(`p${i}`, { restartPolicy: "Never" });
  await addPod("late", {}, { [annotations.startSeconds]: "30" });
  const phases = async (name: string) => {
    const { items } = await client.list(pods);
    return items
      .filter(({ metadata }) => metadata.name.startsWith(name))
      .map((pod) => pod.status?.phase ?? "Pending");
  };
  await clock.advance(5_000);
  const started = (await phases("p")).filter((phase) => phase !== "Pending").length;
  expect(started).toBeGreaterThan(5);
  expect(started).toBeLessThan(35);
  await clock.advance(20_000);
  const failed = (await phases("p")).filter((phase) => phase === "Failed").length;
  expect(failed).toBeGreaterThan(5);
  expect(failed).toBeLessThan(35);
  expect(await phases("late")).toEqual(["Pending"]);
  await clock.advance(10_000);
  expect(await phases("late")).not.toEqual(["Pending"]);
  expect((await phases("p")).filter((phase) => phase === "Failed")).toHaveLength(failed);
});

test("readiness follows the annotation", async () => {
  const { clock, client, addPod, get, ready, ref } = await setUp();
  await addPod("a", {}, { [annotations.ready]: "false" });
  await clock.advance(1_000);
  expect(ready(await get("a"))).toBe("False");
  await client.patch(pods, ref("a"), "merge", { metadata: { annotations: { [annotations.ready]: null } } });
  await clock.advance(100);
  expect(ready(await get("a"))).toBe("True");
});

test("a failing server delays pods and loses none", async () => {
  const { clock, api, addPod, get } = await setUp();
  await addPod("a");
  api.fault = (request) => (request.method === "PATCH" ? new Error("refused") : undefined);
  await clock.advance(5_000);
  api.fault = undefined;
  await clock.advance(20_000);
  expect((await get("a")).status.phase).toBe("Running");
});

test("addresses are different for every node", () => {
  const placed = placeNodes(10_000);
  expect(new Set(placed.map((node) => podAddress(node, 0))).size).toBe(10_000);
  expect(new Set(placed.map((node) => node.address)).size).toBe(10_000);
  expect(podAddress(placed[300]!, 0)).toBe("10.245.44.2");
  expect(podAddress(placed[5_000]!, 0)).toBe("100.72.136.2");
  expect(() => placeNodes(20_000)).toThrow(UserError);
});
