import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { corev1 } from "#api";
import { createWorld } from "#base";
import { podResourcesMessages, podResourcesMethods } from "../generated/plugins.ts";
import { connectPlugin } from "../plugins/grpc.ts";
import type { PodContext } from "../pod-context.ts";
import { makeContainer, makePod } from "../testing/pods.ts";
import { servePodResources } from "./pod-resources.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-pr-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const gpu = {
  resource: "example.com/gpu",
  devices: new Map([
    ["g0", true],
    ["g1", false],
  ]),
  places: new Map([["g0", [1]]]),
};
const given = {
  devices: {
    all: () => [gpu],
    allocations: (_uid: string, container: string) =>
      container === "main" ? [{ resource: gpu.resource, ids: ["g0"] }] : [],
  },
  cpus: {
    allocatable: [1, 2, 3],
    exclusive: (_uid: string, name: string) => (name === "main" ? [2, 3] : []),
  },
  memory: {
    blocks: (_uid: string, name: string) =>
      name === "main" ? [{ resource: "memory", bytes: 5 * 2 ** 30, mask: 2 }] : [],
    allocatable: () => [{ resource: "memory", bytes: 8 * 2 ** 30, mask: 1 }],
  },
  claims: {
    preparedFor: (_pod: unknown, { name }: corev1.Container) =>
      name === "main"
        ? [
            {
              claim: { namespace: "default", name: "card", uid: "c" },
              podUids: [],
              devices: {
                "driver.example": [
                  { requestNames: [], poolName: "p", deviceName: "d", cdiDeviceIds: ["vendor/x=1"] },
                ],
              },
            },
          ]
        : [],
  },
} as unknown as PodContext;

test("an agent asks a real socket what pods have, and what there is to have", async () => {
  const pod = makePod({
    initContainers: [makeContainer("passing"), makeContainer("side", { restartPolicy: "Always" })],
    containers: [makeContainer("main")],
  });
  const ended = { ...makePod({}, { phase: "Failed" }), metadata: { ...pod.metadata, name: "ended" } };
  const server = await servePodResources(dir, given, () => [pod, ended]);
  const client = connectPlugin({
    socketPath: join(dir, "pod-resources/kubelet.sock"),
    clock: createWorld().clock,
    methods: podResourcesMethods,
    messages: { nested: { v1: { nested: podResourcesMessages } } },
  });
  const nothing = { devices: [], cpuIds: [], memory: [], dynamicResources: [] };
  const main = {
    name: "main",
    devices: [{ resourceName: gpu.resource, deviceIds: ["g0"], topology: { nodes: [{ ID: 1 }] } }],
    cpuIds: [2, 3],
    memory: [{ memoryType: "memory", size: 5 * 2 ** 30, topology: { nodes: [{ ID: 1 }] } }],
    dynamicResources: [
      {
        claimName: "card",
        claimNamespace: "default",
        claimResources: [
          {
            driverName: "driver.example",
            poolName: "p",
            deviceName: "d",
            cdiDevices: [{ name: "vendor/x=1" }],
          },
        ],
      },
    ],
  };
  const shown = { name: "web", namespace: "default", containers: [{ name: "side", ...nothing }, main] };
  expect(await client.call("List", {})).toMatchObject({ podResources: [shown] });
  expect(await client.call("Get", { podName: "web", podNamespace: "default" })).toMatchObject({
    podResources: shown,
  });
  await expect(client.call("Get", { podName: "gone", podNamespace: "default" })).rejects.toThrow(
    "pod gone in namespace default not found",
  );
  expect(await client.call("GetAllocatableResources", {})).toMatchObject({
    devices: [{ resourceName: gpu.resource, deviceIds: ["g0"] }],
    cpuIds: [1, 2, 3],
    memory: [{ memoryType: "memory", size: 8 * 2 ** 30, topology: { nodes: [{ ID: 0 }] } }],
  });
  client.close();
  server.stop();
});
