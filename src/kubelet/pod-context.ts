/** What every part of the kubelet that works on pods is given. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import type { World } from "#base";
import type { Client, EventKind, EventRecorder, Informer } from "#client";
import type { ContainerRuntime } from "#contracts";
import type { KeyedBackoff } from "./backoff.ts";
import type { Cgroups } from "./cgroups.ts";
import type { ClaimManager } from "./claims/manager.ts";
import type { CpuManager } from "./cpus/manager.ts";
import { logDirectoryName } from "./cri-config.ts";
import type { DeviceManager } from "./devices/manager.ts";
import type { PressureKind } from "./eviction/signals.ts";
import type { ImagePuller } from "./image-puller.ts";
import type { MemoryManager } from "./memory/manager.ts";
import type { KubeletMetrics } from "./metrics.ts";
import type { ObjectSource } from "./object-source.ts";
import { containerField } from "./pod-containers.ts";
import type { DnsSettings } from "./pod-network-config.ts";
import type { NodeFigures } from "./pod-resources.ts";
import type { StateReader } from "./pod-state.ts";
import type { ProbeManager } from "./probes/manager.ts";
import type { RuntimeHandlers } from "./runtime-handlers.ts";
import type { SecuritySettings } from "./security-context.ts";
import type { StatusManager } from "./status-manager.ts";
import type { TopologyManager } from "./topology/manager.ts";
import type { RuntimeTurns } from "./turns.ts";
import type { UserNamespaces } from "./user-namespaces.ts";
import type { PodVolumes } from "./volumes/node-volumes.ts";

export interface PodContext {
  client: Client;
  world: World;
  metrics: KubeletMetrics;
  runtime: ContainerRuntime;
  runtimeName: string;
  reader: StateReader;
  /** For what the runtime makes. */
  turns: RuntimeTurns;
  images: ImagePuller;
  volumes: PodVolumes;
  objects: ObjectSource;
  probes: ProbeManager;
  statuses: StatusManager;
  cgroups: Cgroups;
  devices: DeviceManager;
  claims: ClaimManager;
  cpus: CpuManager;
  memory: MemoryManager;
  topology: TopologyManager;
  handlers: RuntimeHandlers;
  userNamespaces: UserNamespaces;
  /** The runtime itself knows what CDI names stand for. */
  runtimeKnowsCdi: boolean;
  recorder: EventRecorder;
  services: Informer<corev1.Service>;
  /** Of containers that end: keys are `<uid>/<container>`. */
  crashes: KeyedBackoff;
  security: SecuritySettings;
  unsafeSysctls: readonly string[];
  dns(): Promise<DnsSettings>;
  /** What the network has to know of a pod before its containers run. */
  admitToNetwork(pod: Readonly<corev1.Pod>, addresses: readonly string[]): Promise<void>;
  nodeName: string;
  nodeAddresses: readonly string[];
  figures: NodeFigures;
  allocatable(): Readonly<Record<string, string>>;
  /** What the node is short of. */
  pressures(): ReadonlySet<PressureKind>;
  isShuttingDown(): boolean;
  lacksAppArmor: boolean;
  paths: KubeletPaths;
  cgroupRoot: string;
  /** Of each pod; 0 is without a limit. */
  podPidsLimit: number;
  /** At the latest after this long a pod is looked at again. */
  resyncMs: number;
}

export interface KubeletPaths {
  podDir(uid: string): string;
  podsDir: string;
  /** Who may use which image. */
  imageRecords: string;
  /** Archives of containers as they were. */
  checkpoints: string;
  /** The kubelet's folder, and that of all logs. */
  dataDir: string;
  logRoot: string;
  /** Pods' logs, and links to those of containers. */
  logsDir: string;
  logLinksDir: string;
  logDir(pod: Readonly<corev1.Pod>): string;
}

export function kubeletPaths(dataDir: string, logDir: string): KubeletPaths {
  const podsDir = join(dataDir, "pods");
  const logsDir = join(logDir, "pods");
  return {
    podsDir,
    imageRecords: join(dataDir, "image_manager"),
    checkpoints: join(dataDir, "checkpoints"),
    dataDir,
    logRoot: logDir,
    logsDir,
    logLinksDir: join(logDir, "containers"),
    podDir: (uid) => join(podsDir, uid),
    logDir: (pod) => join(logsDir, logDirectoryName(pod)),
  };
}

/**
 * Who has processors to himself is not held to a share of their time, nor is a pod of which any container has.
 * https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/#cpu-quota-for-containers-with-exclusive-cpus
 */
export function figuresFor(
  { figures, cpus }: { figures: NodeFigures; cpus: Pick<CpuManager, "exclusive"> },
  { metadata, spec }: Readonly<corev1.Pod>,
  ...only: readonly string[]
): NodeFigures {
  const all = () => [...spec.containers, ...(spec.initContainers ?? [])].map(({ name }) => name);
  const names = only.length > 0 ? only : all();
  const hasSome = names.some((name) => cpus.exclusive(metadata.uid, name).length > 0);
  return hasSome ? { ...figures, cfsPeriodUs: 0 } : figures;
}

/** The reference to one container of a pod, as events name it. */
export function containerReference(pod: Readonly<corev1.Pod>, container: string): corev1.ObjectReference {
  const { namespace = "", name, uid, resourceVersion } = pod.metadata;
  const fieldPath = `spec.${containerField(pod, container)}{${container}}`;
  return { apiVersion: "v1", kind: "Pod", namespace, name, uid, resourceVersion, fieldPath };
}

/** Records an event about a container of a pod. */
export function sayOf(context: PodContext, pod: Readonly<corev1.Pod>, container: string) {
  const reference = containerReference(pod, container);
  return (kind: EventKind, reason: string, message: string) =>
    context.recorder.record(reference, kind, reason, message);
}

/** The text of a file, or nothing. */
export function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
