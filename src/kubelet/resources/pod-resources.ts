/**
 * What pods have of the node for themselves, for agents that watch over devices and processors: `List`, `Get` and
 * `GetAllocatableResources` of the pod resources API, v1.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#monitoring-device-plugin-resources
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import protobuf from "protobufjs";
import type { corev1 } from "#api";
import { podResourcesMessages, podResourcesMethods } from "../generated/plugins.ts";
import type { Block } from "../memory/state.ts";
import { serveUnary } from "../plugins/serve.ts";
import type { PodContext } from "../pod-context.ts";
import { isFinal } from "../pod-status.ts";
import { nodesIn } from "../topology/numa.ts";

type Pod = Readonly<corev1.Pod>;
type Given = Pick<PodContext, "devices" | "cpus" | "memory" | "claims">;

export const podResourcesTypes = protobuf.Root.fromJSON({
  nested: { v1: { nested: podResourcesMessages } },
});

const topologyOf = (nodes: readonly number[]) => ({ nodes: nodes.map((ID) => ({ ID })) });

/** One entry for each device: each lies somewhere else. */
function devicesOf({ devices }: Given, resource: string, ids: readonly string[]) {
  const places = devices.all().find((each) => each.resource === resource)?.places;
  return ids.map((id) => {
    const nodes = places?.get(id);
    return { resourceName: resource, deviceIds: [id], ...(nodes ? { topology: topologyOf(nodes) } : {}) };
  });
}

const memoryOf = (blocks: readonly Block[]) =>
  blocks.map(({ resource, bytes, mask }) => ({
    memoryType: resource,
    size: bytes,
    topology: topologyOf(nodesIn(mask)),
  }));

function claimsOf({ claims }: Given, pod: Pod, container: Readonly<corev1.Container>) {
  return claims.preparedFor(pod, container).map(({ claim, devices }) => ({
    claimName: claim.name,
    claimNamespace: claim.namespace,
    claimResources: Object.entries(devices).flatMap(([driverName, prepared]) =>
      prepared.map(({ poolName, deviceName, cdiDeviceIds }) => ({
        driverName,
        poolName,
        deviceName,
        cdiDevices: cdiDeviceIds.map((name) => ({ name })),
      })),
    ),
  }));
}

function containerOf(given: Given, pod: Pod, container: Readonly<corev1.Container>) {
  const { uid } = pod.metadata;
  const { name } = container;
  return {
    name,
    devices: given.devices
      .allocations(uid, name)
      .flatMap(({ resource, ids }) => devicesOf(given, resource, ids)),
    cpuIds: [...given.cpus.exclusive(uid, name)],
    memory: memoryOf(given.memory.blocks(uid, name).filter(({ bytes }) => bytes > 0)),
    dynamicResources: claimsOf(given, pod, container),
  };
}

/** Init containers that pass are not told of. */
export function podResourcesOf(given: Given, pod: Pod) {
  const { name, namespace } = pod.metadata;
  const sidecars = (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy === "Always");
  const containers = [...sidecars, ...pod.spec.containers].map((each) => containerOf(given, pod, each));
  return { name, namespace, containers };
}

export function allocatableResourcesOf(given: Given) {
  return {
    devices: given.devices.all().flatMap(({ resource, devices }) =>
      devicesOf(
        given,
        resource,
        [...devices].filter(([, isHealthy]) => isHealthy).map(([id]) => id),
      ),
    ),
    cpuIds: [...given.cpus.allocatable],
    memory: memoryOf(given.memory.allocatable()),
  };
}

/** `pod-resources/kubelet.sock`, made anew. */
export async function servePodResources(
  dataDir: string,
  given: Given,
  pods: () => readonly Pod[],
): Promise<{ stop(): void }> {
  const dir = join(dataDir, "pod-resources");
  const socketPath = join(dir, "kubelet.sock");
  await mkdir(dir, { recursive: true, mode: 0o750 });
  await rm(socketPath, { force: true });
  const active = () => pods().filter(({ status }) => !isFinal(status?.phase));
  return serveUnary({
    socketPath,
    types: podResourcesTypes,
    methods: podResourcesMethods,
    answers: {
      List: () => ({ podResources: active().map((pod) => podResourcesOf(given, pod)) }),
      GetAllocatableResources: () => allocatableResourcesOf(given),
      Get({ podName, podNamespace }: { podName: string; podNamespace: string }) {
        const found = active().find(
          ({ metadata }) => metadata.name === podName && metadata.namespace === podNamespace,
        );
        if (!found) throw new Error(`pod ${podName} in namespace ${podNamespace} not found`);
        return { podResources: podResourcesOf(given, found) };
      },
    },
  });
}
