/**
 * The devices of this node that plugins offer: counted in the node's status, given to containers, remembered over a
 * restart of the kubelet.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import { join } from "node:path";
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import {
  type Allocation,
  candidatesFor,
  type DeviceGrant,
  devicesWanted,
  mergedGrant,
  shortage,
} from "./allocation.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint.ts";
import type { Endpoint } from "./endpoint.ts";
import { createEndpoints, type Endpoints } from "./endpoints.ts";
import { startDeviceRegistration } from "./registration.ts";

/** The pod cannot have its devices, and will not get them by waiting. */
export class DeviceError extends Error {
  override name = "DeviceError";
}

export interface DeviceManager extends Pick<Endpoints, "capacity" | "allocatable" | "handler"> {
  /** The same container is given the same devices again. Throws `DeviceError`. */
  grantFor(pod: Readonly<corev1.Pod>, container: Readonly<corev1.Container>): Promise<DeviceGrant>;
  /** Of each resource of the container. */
  healthOf(podUid: string, container: string): corev1.ResourceStatus[];
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
  /** Devices of pods that have ended are free again. */
  isActive(podUid: string): boolean;
  /** The node has other devices than before. */
  changed(): void;
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
): Promise<string[]> {
  const healthy = [...endpoint.devices].filter(([, isHealthy]) => isHealthy).map(([id]) => id);
  const { reusable, free } = candidatesFor(pod, endpoint.resource, healthy, allocations);
  const first = reusable.slice(0, count);
  if (first.length === count) return first;
  const available = first.length + free.length;
  if (available < count) throw new DeviceError(shortage(endpoint.resource, count, available));
  const wanted = await endpoint.preferred([...first, ...free], first, count).catch((error: unknown) => {
    log.warn({ resource: endpoint.resource, error: messageOf(error) }, "a device plugin has no preference");
    return [];
  });
  const isGood = wanted.every((id) => first.includes(id) || free.includes(id));
  return [...new Set([...first, ...(isGood ? wanted : []), ...free])].slice(0, count);
}

export function createDeviceManager(options: DeviceManagerOptions): DeviceManager {
  const { dir, world } = options;
  const file = join(dir, "knarr_checkpoint.json");
  const endpoints = createEndpoints(options);
  let allocations: Allocation[] = [];
  let registration: { stop(): void } | undefined;
  let turn: Promise<unknown> = Promise.resolve();

  /** One after the other: two containers must not be given one device. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = turn.then(work, work);
    turn = next.catch(() => undefined);
    return next;
  }

  async function allocationOf(
    pod: Readonly<corev1.Pod>,
    container: Readonly<corev1.Container>,
    [resource, count]: [string, number],
  ): Promise<Allocation | undefined> {
    const { uid } = pod.metadata;
    const known = allocations.find(
      (each) => each.podUid === uid && each.container === container.name && each.resource === resource,
    );
    if (known) return known;
    const slot = endpoints.find(resource);
    // Somebody else looks after what no plugin has ever offered.
    if (!slot) return undefined;
    const { endpoint } = slot;
    if (!endpoint) throw new DeviceError(shortage(resource, count, 0));
    allocations = allocations.filter(({ podUid }) => podUid === uid || options.isActive(podUid));
    const ids = await choose(world, pod, endpoint, count, allocations);
    const grant = await endpoint.allocate(ids).catch((error: unknown) => {
      throw new DeviceError(messageOf(error));
    });
    const allocation: Allocation = { podUid: uid, container: container.name, resource, ids, grant };
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
        for (const wanted of devicesWanted(container)) {
          const allocation = await allocationOf(pod, container, wanted);
          if (!allocation) continue;
          await endpoints.find(wanted[0])?.endpoint?.preStart(allocation.ids);
          grants.push(allocation.grant);
        }
        return mergedGrant(grants);
      }),
    healthOf(podUid, container) {
      const own = allocations.filter((each) => each.podUid === podUid && each.container === container);
      return healthOfAll(own, endpoints);
    },
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
