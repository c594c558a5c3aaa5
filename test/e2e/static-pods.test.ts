/** Pods that a node runs by its own files, and what the API shows of them. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { corev1 } from "#api";
import { pods } from "#api";
import { canRunContainers, startTestNode, type TestNode, testImage } from "./kubelet-node.ts";

const name = "static-node-1";
const ref = { namespace: "default", name };
const isReady = (pod: corev1.Pod | undefined) =>
  pod?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;

describe.skipIf(!canRunContainers())("static pods", () => {
  let node: TestNode;
  const folder = mkdtempSync(join(tmpdir(), "knarr-static-"));
  const file = join(folder, "static.yaml");
  const container = () => node.containerd.runtime.listContainers({ "io.kubernetes.pod.name": name });

  /** As a whole: nobody reads half of it. */
  function write(word: string): void {
    const spec = {
      terminationGracePeriodSeconds: 1,
      containers: [
        { name: "main", image: testImage, command: ["sleep", "600"], env: [{ name: "W", value: word }] },
      ],
    };
    const manifest = { apiVersion: "v1", kind: "Pod", metadata: { name: "static" }, spec };
    writeFileSync(join(folder, ".new"), JSON.stringify(manifest));
    renameSync(join(folder, ".new"), file);
  }

  beforeAll(async () => {
    node = await startTestNode({ staticPodPath: folder });
  });
  afterAll(async () => {
    await node.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("run by their file, are shown in the API, and end with their file", async () => {
    writeFileSync(join(folder, "broken.yaml"), "kind: [");
    write("one");
    const mirror = await node.until(name, isReady);
    expect(mirror?.metadata.ownerReferences?.[0]).toMatchObject({ kind: "Node", name: "node-1" });
    const [running] = await container();
    await node.client.delete(pods, ref);
    await node.until(name, (pod) => isReady(pod) && pod?.metadata.uid !== mirror?.metadata.uid);
    expect((await container()).map(({ id }) => id)).toEqual([running!.id]);
    await node.restartKubelet();
    expect((await container()).map(({ id }) => id)).toEqual([running!.id]);
    write("two");
    const changed = (pod: corev1.Pod | undefined) =>
      isReady(pod) && pod?.spec.containers[0]?.env?.[0]?.value === "two";
    await node.until(name, changed);
    const after = await container();
    expect(after).toHaveLength(1);
    expect(after[0]!.id).not.toBe(running!.id);
    rmSync(file);
    await node.until(name, (pod) => pod === undefined);
    await expect.poll(container, { timeout: 20_000 }).toEqual([]);
  });
});
