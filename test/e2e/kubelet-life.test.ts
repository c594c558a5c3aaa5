/** Rarer turns in a pod's life on a real node: sidecars, lost sandboxes, force, images from archives, streams. */
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { extract, pack } from "tar-stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { type corev1, events, pods } from "#api";
import { buildImage, busyboxLayer } from "#runtime";
import { eventually } from "./harness.ts";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const isReady = (pod: corev1.Pod | undefined) =>
  pod?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
const statusOf = (pod: corev1.Pod | undefined) => pod?.status?.containerStatuses?.[0];
const loop = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
const shell = (script: string, more: object = {}) => ({
  name: "main",
  image: testImage,
  command: ["sh", "-c", script],
  ...more,
});

/** The same layout with another index.json: as other tools write it. */
async function withIndex(
  layout: Buffer,
  change: (index: { manifests: { annotations: object }[] }) => void,
): Promise<Buffer> {
  const out = pack();
  for await (const entry of Readable.from([layout]).pipe(extract())) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    let content = Buffer.concat(chunks);
    if (entry.header.name === "index.json") {
      const index = JSON.parse(content.toString());
      change(index);
      content = Buffer.from(JSON.stringify(index));
    }
    out.entry({ name: entry.header.name }, content);
  }
  out.finalize();
  const parts: Buffer[] = [];
  for await (const part of out) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

describe.skipIf(!canRunContainers())("a pod's life", () => {
  let node: TestNode;
  beforeAll(async () => {
    node = await startTestNode();
  });
  afterAll(() => node.stop());
  const ref = (name: string) => ({ namespace: "default", name });
  const gone = (name: string) => node.until(name, (p) => p === undefined);

  test("sidecars start first, stay beside the others and end after them", async () => {
    const proxy = {
      ...shell("sleep 1; touch /tmp/up; trap 'echo last; exit 0' TERM; while :; do sleep 0.1; done"),
      name: "proxy",
      restartPolicy: "Always",
      startupProbe: { exec: { command: ["test", "-f", "/tmp/up"] }, periodSeconds: 1, failureThreshold: 30 },
    };
    await node.createPod("side", {
      restartPolicy: "Never",
      initContainers: [proxy],
      containers: [shell("sleep 1")],
    });
    const early = await node.until(
      "side",
      (p) => p?.status?.initContainerStatuses?.[0]?.state?.running !== undefined,
    );
    expect(statusOf(early)?.state?.waiting?.reason).toBe("PodInitializing");
    await node.until("side", isReady);
    const done = await node.until("side", (p) => p?.status?.phase === "Succeeded");
    expect(done?.status?.initContainerStatuses?.[0]?.state?.terminated?.exitCode).toBe(0);
    await node.client.delete(pods, ref("side"));
    await gone("side");
  });

  test("a sandbox that is lost is replaced, and its containers with it", async () => {
    await node.createPod("lost", { containers: [shell(loop)] });
    const before = await node.until("lost", isReady);
    const { runtime } = node.containerd;
    const [sandbox] = await runtime.listPodSandboxes({ "io.kubernetes.pod.uid": before!.metadata.uid });
    await runtime.stopPodSandbox(sandbox!.id);
    const after = await node.until("lost", (p) => isReady(p) && (statusOf(p)?.restartCount ?? 0) > 0);
    expect(after?.status?.podIP).not.toBe("");
    await node.client.delete(pods, ref("lost"), { gracePeriodSeconds: 0 });
    await gone("lost");
    await eventually("nothing runs", async () =>
      (await runtime.listPodSandboxes()).length === 0 ? true : undefined,
    );
  });

  test("the host's network is used under the host's name, and an HTTP probe reaches it", async () => {
    const probe = { httpGet: { path: "/", port: "web" }, periodSeconds: 1 };
    const script = "mkdir -p /tmp/www; echo page > /tmp/www/index.html; exec httpd -f -p 18080 -h /tmp/www";
    const main = shell(script, { ports: [{ name: "web", containerPort: 18080 }], readinessProbe: probe });
    await node.createPod("host", { hostNetwork: true, hostPID: true, containers: [main] });
    const pod = await node.until("host", isReady);
    expect(pod?.status?.podIP).toBe("127.0.0.1");
    const id = statusOf(pod)?.containerID?.split("//")[1] ?? "";
    const result = await node.containerd.runtime.execSync(id, ["hostname"], 5);
    expect(Buffer.from(result.stdout).toString().trim()).toBe(
      readFileSync("/proc/sys/kernel/hostname", "utf8").trim(),
    );
    await node.client.delete(pods, ref("host"), { gracePeriodSeconds: 0 });
    await gone("host");
  });

  test("ports are forwarded and output is attached to", async () => {
    const script =
      "mkdir /tmp/www; echo page > /tmp/www/index.html; httpd -p 8080 -h /tmp/www; while :; do echo tick; sleep 0.1; done";
    const readinessProbe = { tcpSocket: { port: 8080 }, periodSeconds: 1 };
    await node.createPod("streams", {
      terminationGracePeriodSeconds: 0,
      containers: [shell(script, { readinessProbe })],
    });
    await node.until("streams", isReady);
    const open = (path: string) =>
      new WebSocket(`wss://127.0.0.1:${node.kubelet.port}${path}`, ["v4.channel.k8s.io"], {
        ...node.credentials,
      });
    const collect = (socket: WebSocket, channel: number, enough: (text: string) => boolean) =>
      new Promise<string>((resolve, reject) => {
        let text = "";
        socket.on("message", (data: Buffer) => {
          if (data[0] === channel) text += data.subarray(1).toString("latin1");
          if (enough(text)) resolve(text);
        });
        socket.on("error", reject);
        socket.on("close", () => reject(new Error(`closed after ${JSON.stringify(text)}`)));
      }).finally(() => socket.terminate());
    const forward = open("/portForward/default/streams?port=8080");
    const page = collect(forward, 0, (text) => text.includes("page"));
    forward.on("open", () =>
      forward.send(Buffer.concat([Buffer.from([0]), Buffer.from("GET / HTTP/1.0\r\n\r\n")])),
    );
    expect(await page).toContain("200 OK");
    expect(
      await collect(open("/attach/default/streams/main?output=1"), 1, (text) => text.includes("tick")),
    ).toContain("tick");
    await node.client.delete(pods, ref("streams"), { gracePeriodSeconds: 0 });
    await gone("streams");
  });

  test("a pod that was deleted while no kubelet ran is ended by the next", async () => {
    await node.createPod("orphan", { containers: [shell(loop)] });
    await node.until("orphan", isReady);
    await node.kubelet.stop();
    await node.client.delete(pods, ref("orphan"), { gracePeriodSeconds: 0 });
    expect((await node.containerd.runtime.listPodSandboxes()).length).toBe(1);
    await node.restartKubelet();
    await eventually("it is ended", async () =>
      (await node.containerd.runtime.listPodSandboxes()).length === 0 ? true : undefined,
    );
  });

  test("a stubborn container does not outlive a forced deletion, nor a failed hook or a pull a deletion", async () => {
    await node.createPod("stubborn", {
      terminationGracePeriodSeconds: 600,
      containers: [shell("trap '' TERM; while :; do sleep 0.1; done")],
    });
    await node.until("stubborn", isReady);
    await node.client.delete(pods, ref("stubborn"));
    await node.until("stubborn", (p) => p?.metadata.deletionTimestamp !== undefined);
    await node.client.delete(pods, ref("stubborn"), { gracePeriodSeconds: 1 });
    await gone("stubborn");
    // Its hook fails at once, and the container does not end when it is told to.
    await node.createPod("hooked", {
      terminationGracePeriodSeconds: 600,
      containers: [
        {
          ...shell("trap '' TERM; while :; do sleep 0.1; done"),
          lifecycle: { postStart: { exec: { command: ["sh", "-c", "sleep 0.5; exit 3"] } } },
        },
      ],
    });
    await eventually("the hook has failed", async () => {
      const { items } = await node.client.list(events, { namespace: "default" });
      const told = items.some(
        (e) => e.reason === "FailedPostStartHook" && e.involvedObject.name === "hooked",
      );
      return told || undefined;
    });
    await node.client.delete(pods, ref("hooked"), { gracePeriodSeconds: 1 });
    await gone("hooked");
    // Nobody answers at this address: the pull hangs.
    await node.createPod("hanging", { containers: [{ ...shell(loop), image: "192.0.2.1:5000/none:1" }] });
    await node.until(
      "hanging",
      (p) => p?.status?.phase === "Pending" && p.status.containerStatuses !== undefined,
    );
    await node.client.delete(pods, ref("hanging"));
    await gone("hanging");
  });

  test("images are loaded as other tools save them", async () => {
    const layout = await buildImage({
      name: "localhost/other:1",
      layers: [busyboxLayer("/bin/busybox", ["sh"])],
    });
    const foreign = await withIndex(layout, (index) => {
      index.manifests[0]!.annotations = { "org.opencontainers.image.ref.name": "localhost/foreign:2" };
    });
    const file = join(node.dir, "foreign.tar");
    await writeFile(file, foreign);
    expect(await node.containerd.images.import(file)).toEqual(["localhost/foreign:2"]);
    const nameless = await withIndex(layout, (index) => {
      index.manifests[0]!.annotations = {};
    });
    await expect(node.containerd.images.import(nameless)).rejects.toThrow("names no image");
    await node.createPod("foreign", { containers: [{ ...shell(loop), image: "localhost/foreign:2" }] });
    await node.until("foreign", isReady);
    await node.client.delete(pods, ref("foreign"), { gracePeriodSeconds: 0 });
    await gone("foreign");
    await node.containerd.images.remove("localhost/foreign:2");
    expect(
      (await node.containerd.images.list()).some((i) => i.repoTags.includes("localhost/foreign:2")),
    ).toBe(false);
  });
});
