import { expect, test } from "vitest";
import type { corev1 } from "#api";
import type { Image } from "#contracts";
import { defaultConfig, type KubeletConfig } from "./config/settings.ts";
import type { PressureKind } from "./eviction/signals.ts";
import { allocatableOf, capacityOf, type Machine, memoryTotalOf, osImageOf } from "./node-info.ts";
import { conditionEvents, nodeConditions, nodeImages, nodeNews } from "./node-status.ts";
import { isNews } from "./pod-worker.ts";
import { isSharedMount } from "./shared-mounts.ts";
import { makePod } from "./testing/pods.ts";

const calm = new Set<PressureKind>();

test("conditions say what is wrong, and keep their times while nothing changes", () => {
  const first = nodeConditions({ pressures: calm, runtimeMessage: "no network" }, [], 0);
  expect(first.map((c) => [c.type, c.status])).toEqual([
    ["MemoryPressure", "False"],
    ["DiskPressure", "False"],
    ["PIDPressure", "False"],
    ["Ready", "False"],
  ]);
  expect(first[3]).toMatchObject({ reason: "KubeletNotReady", message: "no network" });
  const second = nodeConditions(
    { pressures: new Set<PressureKind>(["memory"]), runtimeMessage: undefined },
    first,
    60_000,
  );
  expect(second[0]).toMatchObject({ status: "True", lastTransitionTime: "1970-01-01T00:01:00Z" });
  expect(second[1]).toMatchObject({
    lastTransitionTime: "1970-01-01T00:00:00Z",
    lastHeartbeatTime: "1970-01-01T00:01:00Z",
  });
  expect(second[3]).toMatchObject({ status: "True", reason: "KubeletReady" });
  expect(conditionEvents([], first)).toEqual([
    "NodeHasSufficientMemory",
    "NodeHasNoDiskPressure",
    "NodeHasSufficientPID",
    "NodeNotReady",
  ]);
  expect(conditionEvents(first, second)).toEqual(["NodeHasInsufficientMemory", "NodeReady"]);
  expect(conditionEvents(second, second)).toEqual([]);
});

test("the largest images are told, as many as are asked for", () => {
  const image = (i: number): Image => ({
    id: `sha256:${i}`,
    repoTags: i === 0 ? [] : [`web:${i}`],
    repoDigests: [],
    size: i,
    username: "",
    pinned: false,
  });
  const all = Array.from({ length: 60 }, (_, i) => image(i));
  const images = nodeImages(all, 50);
  expect(images.length).toBe(50);
  expect(images[0]).toEqual({ names: ["web:59"], sizeBytes: 59 });
  expect(nodeImages(all, 3)).toHaveLength(3);
  // One has no name.
  expect(nodeImages(all, -1)).toHaveLength(59);
  expect(nodeImages([image(0)], 50)).toEqual([]);
});

test("the machine's own words are read", () => {
  expect(osImageOf('NAME="x"\nPRETTY_NAME="Debian GNU/Linux 12"\n')).toBe("Debian GNU/Linux 12");
  expect(osImageOf("")).toBe("Linux");
  expect(memoryTotalOf("MemTotal:       1024 kB\nMemFree: 1 kB\n")).toBe(1024 * 1024);
  const machine = {
    cpus: 2,
    memoryBytes: 2 ** 30,
    storageBytes: 1e9,
    inodes: 1,
    hostname: "n",
    hugePages: new Map([[2 ** 21, 2 ** 22]]),
  } as unknown as Machine;
  expect(capacityOf(machine, defaultConfig)).toMatchObject({ cpu: "2", memory: "1048576Ki", pods: "110" });
  expect(allocatableOf(machine, defaultConfig)).toMatchObject({
    memory: `${920 * 1024}Ki`,
    "ephemeral-storage": "900000000",
  });
  const podsOf = (more: Partial<KubeletConfig>) => capacityOf(machine, { ...defaultConfig, ...more }).pods;
  expect([podsOf({ podsPerCore: 10 }), podsOf({ podsPerCore: 100 }), podsOf({ maxPods: 0 })]).toEqual([
    "20",
    "110",
    "0",
  ]);
  const unknownDisk = { ...defaultConfig, localStorageIsolation: false };
  expect(capacityOf(machine, unknownDisk)).not.toHaveProperty("ephemeral-storage");
  expect(allocatableOf(machine, unknownDisk)).not.toHaveProperty("ephemeral-storage");
});

test("it is told that a node takes pods or does not, and that its machine was started again", () => {
  const node = (unschedulable: boolean, bootID?: string): corev1.Node =>
    ({ metadata: { name: "n" }, spec: { unschedulable }, status: { nodeInfo: { bootID } } }) as corev1.Node;
  expect(nodeNews(node(false, "a"), false, "a")).toEqual([]);
  expect(nodeNews(node(false), false, "a")).toEqual([]);
  expect(nodeNews(node(true, "a"), false, "a")).toEqual([
    { kind: "Normal", reason: "NodeNotSchedulable", message: "Node n status is now: NodeNotSchedulable" },
  ]);
  expect(nodeNews(node(false, "a"), true, "b")).toEqual([
    { kind: "Normal", reason: "NodeSchedulable", message: "Node n status is now: NodeSchedulable" },
    { kind: "Warning", reason: "Rebooted", message: "Node n has been rebooted, boot id: b" },
  ]);
});

test("a pod's own status coming back is no news; a change of anything else is", () => {
  const pod = makePod();
  const metadata = { ...pod.metadata, resourceVersion: "2" };
  expect(
    isNews(pod, {
      ...pod,
      metadata,
      status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
    }),
  ).toBe(false);
  expect(isNews(pod, { ...pod, metadata: { ...metadata, labels: { a: "b" } } })).toBe(true);
  expect(isNews(pod, { ...pod, metadata: { ...metadata, deletionTimestamp: "2026-01-01T00:00:00Z" } })).toBe(
    true,
  );
  expect(isNews(pod, { ...pod, status: { conditions: [{ type: "example.com/x", status: "True" }] } })).toBe(
    true,
  );
  expect(isNews(pod, { ...pod, spec: { ...pod.spec, containers: [] } })).toBe(true);
});

test("the mount a path lies on decides whether it is shared", () => {
  const info = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 0:2 / /mnt rw,noatime shared:5 - tmpfs t rw\n";
  expect(isSharedMount(info, "/mnt/x")).toBe(true);
  expect(isSharedMount(info, "/mntx")).toBe(false);
  expect(isSharedMount(info, "/var")).toBe(false);
});
