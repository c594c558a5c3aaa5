import { expect, test } from "vitest";
import { type corev1, pods } from "#api";
import { createWorld, silentLogger, VirtualClock } from "#base";
import { createClient, FakeApi } from "#client";
import { lastTold } from "./pod-status.ts";
import { canonical, createStatusManager, statusPatch } from "./status-manager.ts";

const running: corev1.PodStatus = {
  phase: "Running",
  podIP: "10.0.0.1",
  podIPs: [{ ip: "10.0.0.1" }],
  conditions: [{ type: "Ready", status: "True" }],
};

test("a patch holds what changed, ends what vanished and leaves the conditions of others", () => {
  expect(statusPatch(running, running)).toBeUndefined();
  const foreign = { type: "example.com/x", status: "True" };
  expect(statusPatch({ ...running, conditions: [...running.conditions!, foreign] }, running)).toBeUndefined();
  const next: corev1.PodStatus = {
    ...running,
    message: "gone",
    conditions: [{ type: "Ready", status: "False" }, foreign],
  };
  expect(statusPatch(running, next)).toEqual({
    message: "gone",
    conditions: [{ type: "Ready", status: "False" }],
  });
  expect(statusPatch({ ...running, message: "x" }, running)).toEqual({ message: null });
  const unready = { type: "Ready", status: "False", reason: "ContainersNotReady", message: "[web]" };
  const done = { type: "Ready", status: "False", reason: "PodCompleted" };
  expect(statusPatch({ ...running, conditions: [unready] }, { ...running, conditions: [done] })).toEqual({
    conditions: [{ ...done, message: null }],
  });
  expect(statusPatch(running, { ...running, podIP: "10.0.0.2", podIPs: [{ ip: "10.0.0.2" }] })).toEqual({
    podIP: "10.0.0.2",
    podIPs: [{ $patch: "replace" }, { ip: "10.0.0.2" }],
  });
});

test("equal objects are equal whatever the order of their fields", () => {
  expect(canonical({ a: 1, b: [{ c: undefined, d: null }] })).toBe(canonical({ b: [{}], a: 1 }));
  expect(canonical({ a: 1 })).not.toBe(canonical({ a: 2 }));
});

test("a status is written once, again when it changes, and again after a failure", async () => {
  const clock = new VirtualClock();
  const api = new FakeApi(clock);
  const client = createClient(api);
  const world = createWorld({ clock, log: silentLogger });
  const pod = await client.create(pods, {
    metadata: { name: "web", namespace: "default" },
    spec: { containers: [] },
  });
  const manager = createStatusManager(client, world);
  const patches = () => api.writes.filter((w) => w === "PATCH pods/status").length;
  manager.set(pod, running);
  await manager.written(pod.metadata.uid);
  manager.set(pod, { ...running });
  await manager.written(pod.metadata.uid);
  expect(patches()).toBe(1);
  let failures = 1;
  api.fault = () => (failures-- > 0 ? new Error("connection lost") : undefined);
  manager.set(pod, { ...running, phase: "Failed" });
  const done = manager.written(pod.metadata.uid);
  await clock.advance(5000);
  await done;
  expect((await client.get(pods, { namespace: "default", name: "web" })).status?.phase).toBe("Failed");
  const ref = { namespace: "default", name: "web" };
  const meddled = await client.patch(
    pods,
    ref,
    "merge",
    { status: { phase: "Pending" } },
    { subresource: "status" },
  );
  manager.reconcile(meddled);
  await manager.written(pod.metadata.uid);
  expect((await client.get(pods, ref)).status?.phase).toBe("Failed");
  manager.reconcile(meddled);
  await client.delete(pods, { namespace: "default", name: "web" }, { gracePeriodSeconds: 0 });
  manager.set(pod, { ...running, phase: "Succeeded" });
  await manager.written(pod.metadata.uid);
  await manager.stop();
});

test("who says that a pod has ended is believed", async () => {
  const client = createClient(new FakeApi(new VirtualClock()));
  const ref = { namespace: "default", name: "web" };
  const pod = await client.create(pods, { metadata: ref, spec: { containers: [] } });
  const manager = createStatusManager(client, createWorld({ log: silentLogger }));
  manager.set(pod, { ...running });
  await manager.written(pod.metadata.uid);
  const status = { phase: "Failed", reason: "Lost" };
  const ended = await client.patch(pods, ref, "merge", { status }, { subresource: "status" });
  manager.reconcile(ended);
  await manager.written(pod.metadata.uid);
  expect((await client.get(pods, ref)).status?.phase).toBe("Failed");
  expect(lastTold(running, ended.status)).toMatchObject({ phase: "Failed" });
  expect(lastTold({ phase: "Succeeded" }, ended.status)).toMatchObject({ phase: "Succeeded" });
  await manager.stop();
});

test("a condition of the kubelet's that is over goes, those of others stay", () => {
  const condition = (type: string, reason?: string) => ({
    type,
    status: "True",
    ...(reason ? { reason } : {}),
  });
  const before = [
    condition("Ready"),
    condition("PodResizePending", "Deferred"),
    condition("example.com/gate"),
    condition("DisruptionTarget", "TerminationByKubelet"),
  ];
  expect(statusPatch({ conditions: before }, { conditions: [condition("Ready")] })).toEqual({
    conditions: [{ $patch: "delete", type: "PodResizePending" }],
  });
});
