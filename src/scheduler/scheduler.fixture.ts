/** Pods, nodes and cycles for tests of the scheduler. */
import type { corev1, Draft } from "#api";
import { seededRandom } from "#base";
import { SchedulerCache } from "./cache.ts";
import { type CycleResult, SchedulingCycle } from "./cycle.ts";
import type { SchedulingWorld, StorageLookups } from "./define-plugin.ts";
import type { DeviceLookups } from "./devices/device-lookups.ts";
import { DevicePools } from "./devices/pools.ts";
import { TakenDevices } from "./devices/taken-devices.ts";
import { podInfoOf } from "./pod-info.ts";
import { defaultProfile, type SchedulerProfile } from "./profile.ts";

export interface NodeOptions {
  labels?: Record<string, string>;
  taints?: corev1.Taint[];
  cpu?: string;
  memory?: string;
  pods?: string;
  unschedulable?: boolean;
  images?: corev1.ContainerImage[];
}

export function nodeOf(name: string, options: NodeOptions = {}): corev1.Node {
  const { labels = {}, taints, unschedulable, images, cpu = "4", memory = "8Gi", pods = "110" } = options;
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name,
      uid: name,
      resourceVersion: "1",
      creationTimestamp: "",
      labels: { "kubernetes.io/hostname": name, ...labels },
    },
    spec: { ...(taints ? { taints } : {}), ...(unschedulable ? { unschedulable } : {}) },
    status: { allocatable: { cpu, memory, pods }, ...(images ? { images } : {}) },
  };
}

export interface PodOptions extends Draft<corev1.PodSpec> {
  labels?: Record<string, string>;
  namespace?: string;
  cpu?: string;
  memory?: string;
  image?: string;
  hostPort?: number;
}

export function podOf(name: string, options: PodOptions = {}): corev1.Pod {
  const { labels = {}, namespace = "default", cpu, memory, image = "x", hostPort, ...spec } = options;
  const requests = { ...(cpu ? { cpu } : {}), ...(memory ? { memory } : {}) };
  const ports = hostPort ? [{ containerPort: hostPort, hostPort }] : [];
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { namespace, name, uid: name, resourceVersion: "1", creationTimestamp: "", labels },
    spec: { containers: [{ name: "c", image, resources: { requests }, ports }], ...spec },
    status: {},
  } as corev1.Pod;
}

const noStorage: StorageLookups = {
  claim: () => undefined,
  volume: () => undefined,
  volumes: () => [],
  storageClass: () => undefined,
  csiNode: () => undefined,
  csiDriver: () => undefined,
  capacities: () => [],
};

const noDevices: DeviceLookups = {
  pools: new DevicePools(),
  taken: new TakenDevices(),
  taintRules: [],
  deviceClass: () => undefined,
  claim: () => undefined,
  pending: () => undefined,
  assume: () => undefined,
  forget: () => undefined,
  written: () => undefined,
  classFor: () => undefined,
  classesVersion: 0,
  extendedClaim: () => undefined,
  keep: () => undefined,
};

export const noKin: SchedulingWorld = {
  kinSelector: () => undefined,
  namespacesWith: () => [],
  storage: noStorage,
  devices: noDevices,
  groups: { group: () => undefined, members: () => [] },
};

export function cacheOf(nodes: readonly corev1.Node[], pods: readonly corev1.Pod[] = []): SchedulerCache {
  const cache = new SchedulerCache();
  for (const node of nodes) cache.setNode(node);
  for (const pod of pods) cache.setPod(pod);
  return cache;
}

export function trySchedule(
  pod: corev1.Pod,
  cache: SchedulerCache,
  world: SchedulingWorld = noKin,
  profile: SchedulerProfile = defaultProfile,
): CycleResult {
  return new SchedulingCycle({ cache, profile, world, random: seededRandom(1) }).schedule(podInfoOf(pod));
}

/** The node's name, or the message. */
export function placeOf(result: CycleResult): string {
  return result.kind === "node" ? result.name : result.message;
}
