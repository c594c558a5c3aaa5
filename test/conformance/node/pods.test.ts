/** Pods as an API on a real node: life cycle, generations, deadlines, streams. */

import { PassThrough } from "node:stream";
import { Exec } from "@kubernetes/client-node";
import { expect } from "vitest";
import WebSocket from "ws";
import { type corev1, type Draft, pods, runtimeClasses } from "#api";
import { eventually } from "../../eventually.ts";
import { podSpec } from "../objects.ts";
import { createPod, shell } from "../pods.ts";
import { conformance, type Given } from "../suite.ts";

const podsOf = ({ kube, namespace }: Given) => kube.resource(pods, namespace);

conformance("node-bf3bdd", "Limits that equal requests make a pod guaranteed", async (given) => {
  const resources = { requests: { cpu: "100m", memory: "100Mi" }, limits: { cpu: "100m", memory: "100Mi" } };
  const name = await createPod(given, { spec: { containers: [shell(given.image, "true", { resources })] } });
  expect((await podsOf(given).get(name)).status?.qosClass).toBe("Guaranteed");
});

conformance("node-24e956", "A running pod tells its node's address", async (given) => {
  const name = await createPod(given, { spec: podSpec(given.image) });
  const pod = await podsOf(given).until(name, ({ status }) => Boolean(status?.hostIP));
  expect(pod.status?.hostIP).toMatch(/^[\d.]+$|:/);
});

conformance("node-c52be7", "A pod ends at its deadline", async (given) => {
  const name = await createPod(given, { labels: { name: "deadline" }, spec: podSpec(given.image) });
  expect((await podsOf(given).list({ labelSelector: "name=deadline" })).items).toHaveLength(1);
  await podsOf(given).patch(name, "merge", { spec: { activeDeadlineSeconds: 5 } });
  const pod = await podsOf(given).until(name, ({ status }) => status?.phase === "Failed");
  expect(pod.status?.reason).toBe("DeadlineExceeded");
});

conformance("node-55253b", "A pod is made, watched, run and deleted", async (given) => {
  const labelSelector = "time=now";
  const all = podsOf(given);
  expect((await all.list({ labelSelector })).items).toEqual([]);
  using watched = await all.watch({ labelSelector });
  const name = await createPod(given, {
    labels: { time: "now" },
    spec: podSpec(given.image, { terminationGracePeriodSeconds: 5 }),
  });
  await watched.next("ADDED", ({ metadata }) => metadata.name === name);
  await watched.next("MODIFIED", ({ status }) => status?.phase === "Running");
  await all.delete(name);
  await watched.next("MODIFIED", ({ metadata }) => metadata.deletionTimestamp !== undefined);
  const { object } = await watched.next("DELETED");
  expect(object.metadata.deletionTimestamp).toBeTruthy();
  expect((await all.list({ labelSelector })).items).toEqual([]);
});

conformance("node-24686f", "A pod's labels are updated", async (given) => {
  const name = await createPod(given, { labels: { time: "then" }, spec: podSpec(given.image) });
  await podsOf(given).update(name, ({ metadata }) => {
    metadata.labels = { time: "later" };
  });
  expect(
    (await podsOf(given).list({ labelSelector: "time=later" })).items.map(({ metadata }) => metadata.name),
  ).toEqual([name]);
});

conformance("node-a94578", "Pods are deleted as a collection", async (given) => {
  for (let i = 0; i < 3; i++)
    await createPod(given, { labels: { type: "Testing" }, spec: podSpec(given.image) });
  const selection = { labelSelector: "type=Testing" };
  expect((await podsOf(given).list(selection)).items).toHaveLength(3);
  await podsOf(given).deleteCollection(selection);
  await eventually("their end", async () =>
    (await podsOf(given).list(selection)).items.length === 0 ? true : undefined,
  );
});

const image2 = (pod: corev1.Pod, tolerationSeconds: number) => {
  const toleration = {
    key: "e2e.example.com/seconds",
    operator: "Exists" as const,
    effect: "NoExecute" as const,
  };
  pod.spec.tolerations = [
    ...(pod.spec.tolerations ?? []).filter(({ key }) => key !== toleration.key),
    { ...toleration, tolerationSeconds },
  ];
};

conformance(
  "node-b99447",
  "Every change of a pod's specification is a generation that its node observes",
  async (given) => {
    const name = await createPod(given, { spec: podSpec(given.image) });
    const all = podsOf(given);
    expect((await all.get(name)).metadata.generation).toBe(1);
    await all.until(name, ({ status }) => status?.observedGeneration === 1);
    await all.patch(name, "merge", { metadata: { labels: { changes: "nothing" } } });
    expect((await all.get(name)).metadata.generation).toBe(1);
    const longer = await all.patch(name, "merge", { spec: { activeDeadlineSeconds: 5_000 } });
    expect(longer.metadata.generation).toBe(2);
    await all.until(name, ({ status }) => status?.observedGeneration === 2);
  },
);

conformance("node-7a3f9e", "Five hundred generations are observed", async (given) => {
  const name = await createPod(given, { spec: podSpec(given.image) });
  const all = podsOf(given);
  for (let i = 1; i < 500; i++) await all.update(name, (pod) => image2(pod, 10_000 + i));
  expect((await all.get(name)).metadata.generation).toBe(500);
  await all.until(name, ({ status }) => status?.observedGeneration === 500, 120_000);
});

conformance("node-7f1bf2", "A graceful deletion is a generation", async (given) => {
  const finalizers = ["example.com/holds"];
  const all = podsOf(given);
  await all.create({ metadata: { name: "held", finalizers }, spec: podSpec(given.image) });
  expect((await all.get("held")).metadata.generation).toBe(1);
  await all.delete("held");
  const deleted = await all.until("held", ({ metadata }) => metadata.deletionTimestamp !== undefined);
  expect(deleted.metadata.generation).toBe(2);
  await all.patch("held", "merge", { metadata: { finalizers: null } });
  await all.untilGone("held");
});

conformance("node-5cc88e", "A command runs over a WebSocket", async (given) => {
  const { kube, namespace, image } = given;
  const name = await createPod(given, { spec: podSpec(image) });
  await podsOf(given).until(name, ({ status }) => status?.phase === "Running");
  const output = new PassThrough();
  const chunks: Buffer[] = [];
  output.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Exec(kube.config).exec(
    namespace,
    name,
    "main",
    ["cat", "/etc/resolv.conf"],
    output,
    null,
    null,
    false,
  );
  await eventually("the output", async () =>
    Buffer.concat(chunks).toString().includes("nameserver") ? true : undefined,
  );
});

conformance("node-3f0823", "A log is read over a WebSocket", async (given) => {
  const { kube, namespace, image } = given;
  const name = await createPod(given, {
    spec: { containers: [shell(image, "echo container is alive; sleep 600")] },
  });
  await podsOf(given).until(name, ({ status }) => status?.phase === "Running");
  const server = kube.config.getCurrentCluster()?.server.replace(/^http/, "ws");
  const options: WebSocket.ClientOptions = {};
  await kube.config.applyToHTTPSOptions(options);
  const socket = new WebSocket(
    `${server}/api/v1/namespaces/${namespace}/pods/${name}/log?container=test`,
    ["binary.k8s.io"],
    options,
  );
  given.afterwards(() => socket.terminate());
  let text = "";
  socket.on("message", (data: Buffer) => {
    text += data.toString();
  });
  const opened = Promise.withResolvers<void>();
  socket.on("open", () => opened.resolve());
  socket.on("error", opened.reject);
  await opened.promise;
  await eventually("the log", async () => (text.includes("container is alive") ? true : undefined));
});

async function withClass(
  given: Given,
  more: Draft<Parameters<typeof runtimeClasses.validate>[0]> = {},
): Promise<string> {
  const name = given.unique("class").slice(0, 60);
  await given.kube.resource(runtimeClasses).create({ metadata: { name }, handler: "runc", ...more } as never);
  given.afterwards(async () => {
    const all = given.kube.resource(runtimeClasses);
    if (await all.find(name)) await all.delete(name);
  });
  return name;
}

const isScheduled = ({ status }: corev1.Pod) =>
  status?.conditions?.some(({ type, status: is }) => type === "PodScheduled" && is === "True") ?? false;

conformance("node-6e2217", "A pod of a RuntimeClass is scheduled", async (given) => {
  const name = await createPod(given, {
    spec: { ...podSpec(given.image), runtimeClassName: await withClass(given) },
  });
  await podsOf(given).until(name, isScheduled);
});

conformance("node-d2b951", "A RuntimeClass adds its overhead", async (given) => {
  const overhead = { podFixed: { cpu: "10m", memory: "1Mi" } };
  const runtimeClassName = await withClass(given, { overhead } as never);
  const name = await createPod(given, { spec: { ...podSpec(given.image), runtimeClassName } });
  const pod = await podsOf(given).until(name, isScheduled);
  expect(pod.spec.overhead).toEqual(overhead.podFixed);
});

conformance("node-37182f", "A pod of a RuntimeClass that is not there is refused", async (given) => {
  const attempt = createPod(given, { spec: { ...podSpec(given.image), runtimeClassName: "does-not-exist" } });
  await expect(attempt).rejects.toMatchObject({
    code: 403,
    message: expect.stringContaining("does-not-exist"),
  });
});

conformance("node-71ccee", "A pod of a RuntimeClass that is gone is refused", async (given) => {
  const runtimeClassName = await withClass(given);
  await given.kube.resource(runtimeClasses).delete(runtimeClassName);
  await given.kube.resource(runtimeClasses).untilGone(runtimeClassName);
  const attempt = createPod(given, { spec: { ...podSpec(given.image), runtimeClassName } });
  await expect(attempt).rejects.toMatchObject({
    code: 403,
    message: expect.stringContaining(runtimeClassName),
  });
});
