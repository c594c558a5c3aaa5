/**
 * The devices of this node that plugins offer: counted in the node's status, given to containers, remembered over a
 * restart of the kubelet.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import { join } from "node:path";
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import type { HintProvider } from "../topology/manager.ts";
import type { NumaMask } from "../topology/numa.ts";
import {
  type Allocation,
  AllocationError,
  candidatesFor,
  type DeviceGrant,
  devicesWanted,
  mergedGrant,
  shortage,
} from "./allocation.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import { createEndpoints, type Endpoints } from "./endpoints.ts";
import { byPlace, deviceHints } from "./hints.ts";
import { startDeviceRegistration } from "./registration.ts";

export interface DeviceManager
  extends Pick<Endpoints, "capacity" | "allocatable" | "handler" | "all">,
    HintProvider {
  /** The same container is given the same devices again. Throws `AllocationError`. */
  grantFor(pod: Readonly<corev1.Pod>, container: Readonly<corev1.Container>): Promise<DeviceGrant>;
  /** Of each resource of the container. */
  healthOf(podUid: string, container: string): corev1.ResourceStatus[];
  /** What a container has. */
  allocations(podUid: string, container: string): readonly Allocation[];
  /** Pods that have devices. */
  pods(): string[];
  release(podUid: string): void;
  /** What is known from before: first of all. */
  load(): Promise<void>;
  /** From now on plugins may come. */
  start(): Promise<void>;
  stop(): void;
}

export interface DeviceManagerOptions {
  /** `device-plugins`. */
  dir: string;
  world: World;
  /** The machine's NUMA nodes. */
  nodes: readonly number[];
  /** Devices of pods that have ended are free again. */
  isActive(podUid: string): boolean;
  /** The node has other devices than before. */
  changed(): void;
}

/** Devices for a container, if they can be had from these nodes. */
interface Wish {
  pod: Readonly<corev1.Pod>;
  container: Readonly<corev1.Container>;
  count: number;
  mask: NumaMask | undefined;
}

function healthOfDevice(
  resourceID: string,
  devices: ReadonlyMap<string, boolean> | undefined,
): corev1.ResourceHealth {
  const isHealthy = devices?.get(resourceID);
  if (isHealthy === undefined) return { resourceID, health: "Unknown" };
  return { resourceID, health: isHealthy ? "Healthy" : "Unhealthy" };
}

function healthOfAll(allocations: readonly Allocation[], endpoints: Endpoints): corev1.ResourceStatus[] {
  return allocations
    .toSorted((a, b) => (a.resource < b.resource ? -1 : 1))
    .map(({ resource, ids }) => {
      const devices = endpoints.find(resource)?.endpoint?.devices;
      return { name: resource, resources: ids.map((id) => healthOfDevice(id, devices)) };
    });
}

/** Which devices, by what is free and what the plugin prefers. */
async function choose(
  { log }: World,
  pod: Readonly<corev1.Pod>,
  endpoint: Endpoint,
  count: number,
  allocations: readonly Allocation[],
  mask: NumaMask | undefined,
): Promise<string[]> {
  const healthy = [...endpoint.devices].filter(([, isHealthy]) => isHealthy).map(([id]) => id);
  const { reusable, free } = candidatesFor(pod, endpoint.resource, healthy, allocations);
  const first = reusable.slice(0, count);
  if (first.length === count) return first;
  const available = first.length + free.length;
  if (available < count) throw new AllocationError(shortage(endpoint.resource, count, available));
  const [near, far] = byPlace(free, endpoint, mask);
  const offered = first.length + near.length >= count ? near : free;
  const wanted = await endpoint.preferred([...first, ...offered], first, count).catch((error: unknown) => {
    log.warn({ resource: endpoint.resource, error: messageOf(error) }, "a device plugin has no preference");
    return [];
  });
  const isGood = wanted.every((id) => first.includes(id) || offered.includes(id));
  return [...new Set([...first, ...(isGood ? wanted : []), ...near, ...far])].slice(0, count);
}

/** Throws `AllocationError`. */
async function allocateFrom(
  world: World,
  endpoint: Endpoint,
  { pod, container, count, mask }: Wish,
  allocations: readonly Allocation[],
): Promise<Allocation> {
  const ids = await choose(world, pod, endpoint, count, allocations, mask);
  const grant = await endpoint.allocate(ids).catch((error: unknown) => {
    throw new AllocationError(messageOf(error));
  });
  const { resource } = endpoint;
  return { podUid: pod.metadata.uid, container: container.name, resource, ids, grant };
}

export function createDeviceManager(options: DeviceManagerOptions): DeviceManager {
  const { dir, world } = options;
  const file = join(dir, "knarr_checkpoint.json");
  const endpoints = createEndpoints(options);
  let allocations: Allocation[] = [];
  let registration: { stop(): void } | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  const of = (podUid: string, container: string) =>
    allocations.filter((each) => each.podUid === podUid && each.container === container);

  /** One after the other: two containers must not be given one device. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = turn.then(work, work);
    turn = next.catch(() => undefined);
    return next;
  }

  async function allocationOf(resource: string, wish: Wish): Promise<Allocation | undefined> {
    const { uid } = wish.pod.metadata;
    const known = of(uid, wish.container.name).find((each) => each.resource === resource);
    if (known) return known;
    const slot = endpoints.find(resource);
    // Somebody else looks after what no plugin has ever offered.
    if (!slot) return undefined;
    const { endpoint } = slot;
    if (!endpoint) throw new AllocationError(shortage(resource, wish.count, 0));
    allocations = allocations.filter(({ podUid }) => podUid === uid || options.isActive(podUid));
    const allocation = await allocateFrom(world, endpoint, wish, allocations);
    allocations.push(allocation);
    await writeCheckpoint(file, { allocations, resources: endpoints.resources() });
    return allocation;
  }

  return {
    capacity: endpoints.capacity,
    allocatable: endpoints.allocatable,
    handler: endpoints.handler,
    grantFor: (pod, container) =>
      inTurn(async () => {
        const grants: DeviceGrant[] = [];
        for (const [resource, count] of devicesWanted(container)) {
          const allocation = await allocationOf(resource, { pod, container, count, mask: undefined });
          if (!allocation) continue;
          await endpoints.find(resource)?.endpoint?.preStart(allocation.ids);
          grants.push(allocation.grant);
        }
        return mergedGrant(grants);
      }),
    allocate: (pod, container, mask) =>
      inTurn(async () => {
        for (const [resource, count] of devicesWanted(container))
          await allocationOf(resource, { pod, container, count, mask });
      }),
    hints: (pod, container) => deviceHints({ pod, container, endpoints, allocations, nodes: options.nodes }),
    all: endpoints.all,
    allocations: of,
    healthOf: (podUid, container) => healthOfAll(of(podUid, container), endpoints),
    pods: () => [...new Set(allocations.map(({ podUid }) => podUid))],
    release(podUid) {
      allocations = allocations.filter((each) => each.podUid !== podUid);
    },
    async load() {
      try {
        const checkpoint = await readCheckpoint(file);
        allocations = checkpoint.allocations;
        endpoints.remember(checkpoint.resources);
      } catch (error) {
        world.log.warn({ file, error: messageOf(error) }, "what devices pods have could not be read");
      }
    },
    async start() {
      registration = await startDeviceRegistration(dir, ({ resource, socketPath, options: plugin }) =>
        endpoints.register(resource, socketPath, plugin),
      );
    },
    stop() {
      registration?.stop();
      endpoints.stop();
    },
  };
}
