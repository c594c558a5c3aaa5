/**
 * One look at what the node and its pods use: groups and interfaces each time, disks only where they are asked for,
 * because measuring folders takes long.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import { findHierarchies, type Hierarchies } from "../cgroups.ts";
import type { PodContext } from "../pod-context.ts";
import { cgroupPathOf } from "../pod-resources.ts";
import { isRunning, type ObservedPod } from "../pod-state.ts";
import { claimNameOf } from "../volumes/persistent-volume-claim.ts";
import { firstProcess, type GroupUsage, groupUsage, machinePressure } from "./cgroup-usage.ts";
import {
  cpuTimeOf,
  type FileSystemUsage,
  type FolderUsage,
  fileSystemUsage,
  folderUsage,
  type InterfaceUsage,
  interfacesOfProcess,
  type MachineMemory,
  machineMemoryOf,
  processCounts,
  readProc,
} from "./host-usage.ts";
import type { GroupPressure } from "./pressure.ts";

export interface ContainerUsage {
  id: string;
  name: string;
  image: string;
  startedMs: number;
  groupPath: string;
  group: GroupUsage;
  /** Of what the container wrote itself; absent in a look without disks. */
  rootfs?: FolderUsage;
  logs?: FolderUsage;
}

export interface VolumeUsage {
  name: string;
  folder: FolderUsage;
  fileSystem: FileSystemUsage;
  /** Its bytes count as the pod's own: it is not memory, and not a claim's. */
  isEphemeral: boolean;
  claim?: string;
}

export interface PodUsage {
  pod: Readonly<corev1.Pod>;
  startedMs: number;
  groupPath: string;
  group: GroupUsage | undefined;
  sandboxId: string | undefined;
  interfaces: readonly InterfaceUsage[];
  containers: readonly ContainerUsage[];
  volumes: readonly VolumeUsage[];
}

export interface NodeUsage {
  atMs: number;
  bootMs: number;
  cpuNs: number;
  memory: MachineMemory;
  pressure?: GroupPressure | undefined;
  interfaces: readonly InterfaceUsage[];
  processes: { now: number; max: number };
  /** All pods together. */
  podsGroup: GroupUsage | undefined;
  pods: readonly PodUsage[];
  disks?: Disks;
}

export interface Disks {
  /** Where the pods' folders and logs lie. */
  node: FileSystemUsage;
  /** Where the runtime keeps images and what containers write. */
  image: FileSystemUsage & { usedByImagesBytes: number; inodesUsedByImages: number };
  /** Both are the same file system. */
  isShared: boolean;
}

export interface Observer {
  /** Pods that have ended are left out. */
  look(pods: readonly Readonly<corev1.Pod>[], withDisks: boolean): Promise<NodeUsage>;
}

/** A folder is measured again after this long, and after many times as long as measuring it takes. */
const folderAgeMs = 9_000;
const folderRestFactor = 50;
const forgottenMs = 10 * 60_000;

/** Kinds of volumes whose bytes are the pod's own, by the name of their folder. */
const ephemeralKinds = new Set([
  "kubernetes.io~empty-dir",
  "kubernetes.io~configmap",
  "kubernetes.io~downward-api",
  "kubernetes.io~projected",
  "kubernetes.io~secret",
]);

export function createObserver(context: PodContext, diskPath: string): Observer {
  const hierarchies = findHierarchies();
  const { clock } = context.world;
  const measured = new Map<string, { atMs: number; goodMs: number; usage: FolderUsage }>();

  async function folderOf(path: string): Promise<FolderUsage> {
    const known = measured.get(path);
    const startMs = clock.monotonic();
    if (known && startMs - known.atMs < known.goodMs) return known.usage;
    const usage = await folderUsage(path);
    const atMs = clock.monotonic();
    const goodMs = Math.max(folderAgeMs, folderRestFactor * (atMs - startMs));
    measured.set(path, { atMs, goodMs, usage });
    return usage;
  }

  function forgetOld(): void {
    for (const [path, { atMs }] of measured)
      if (clock.monotonic() - atMs > forgottenMs) measured.delete(path);
  }

  async function withDisksOf(usage: NodeUsage): Promise<NodeUsage> {
    forgetOld();
    const layers = await writableLayers(context);
    const pods: PodUsage[] = [];
    for (const pod of usage.pods) {
      const containers = await Promise.all(
        pod.containers.map(async (each) => ({
          ...each,
          rootfs: layers.get(each.id) ?? { usedBytes: 0, inodesUsed: 0 },
          logs: await logUsage(join(context.paths.logDir(pod.pod), each.name)),
        })),
      );
      const volumes = await volumesOf(pod.pod, join(context.paths.podDir(pod.pod.metadata.uid), "volumes"));
      pods.push({ ...pod, containers, volumes });
    }
    return { ...usage, pods, disks: await disksOf(context, diskPath) };
  }

  async function volumesOf(pod: Readonly<corev1.Pod>, dir: string): Promise<VolumeUsage[]> {
    const found: VolumeUsage[] = [];
    for (const kind of await readdir(dir).catch(() => [])) {
      if (!ephemeralKinds.has(kind)) continue;
      for (const name of await readdir(join(dir, kind)).catch(() => [])) {
        const path = join(dir, kind, name);
        const fileSystem = await fileSystemUsage(path).catch(() => undefined);
        const volume = pod.spec.volumes?.find((each) => each.name === name);
        if (!fileSystem || !volume) continue;
        found.push({
          name,
          folder: await folderOf(path),
          fileSystem,
          isEphemeral: volume.emptyDir?.medium !== "Memory",
        });
      }
    }
    return [...found, ...othersOf(context, pod)];
  }

  return {
    async look(pods, withDisks) {
      const states = await context.reader.readAll();
      const nowMs = clock.now();
      const usage: NodeUsage = {
        atMs: nowMs,
        bootMs: bootTimeMs(),
        cpuNs: cpuTimeOf(readProc("stat")),
        memory: machineMemoryOf(readProc("meminfo")),
        pressure: machinePressure(hierarchies),
        interfaces: interfacesOfProcess("self"),
        processes: processCounts(),
        podsGroup: groupUsage(hierarchies, context.cgroupRoot),
        pods: pods.flatMap((pod) => {
          const state = states.get(pod.metadata.uid);
          return state ? (podUsage(context, hierarchies, pod, state) ?? []) : [];
        }),
      };
      return withDisks ? withDisksOf(usage) : usage;
    },
  };
}

/** Volumes that are file systems of their own, as they were last measured. */
function othersOf({ volumes }: PodContext, pod: Readonly<corev1.Pod>): VolumeUsage[] {
  const known = volumes.usage(pod.metadata.uid);
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    const usage = known.get(volume.name);
    if (!usage) return [];
    const {
      usedBytes,
      inodesUsed = 0,
      availableBytes = 0,
      capacityBytes = 0,
      inodes = 0,
      inodesFree = 0,
    } = usage;
    const claim = claimNameOf(pod, volume);
    return [
      {
        name: volume.name,
        folder: { usedBytes, inodesUsed },
        fileSystem: { availableBytes, capacityBytes, usedBytes, inodes, inodesFree, inodesUsed },
        isEphemeral: false,
        ...(claim ? { claim } : {}),
      },
    ];
  });
}

function bootTimeMs(): number {
  return (Number(/^btime (\d+)$/m.exec(readProc("stat"))?.[1]) || 0) * 1000;
}

function podUsage(
  context: PodContext,
  hierarchies: Hierarchies,
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
): PodUsage | undefined {
  const groupPath = cgroupPathOf(context.cgroupRoot, pod);
  const sandbox = state.sandboxes.find((each) => each.state === "SANDBOX_READY");
  if (!sandbox) return undefined;
  const containers = state.containers.filter(isRunning).flatMap((each): ContainerUsage[] => {
    const [path, group] = containerGroup(hierarchies, groupPath, each.id);
    if (!group) return [];
    const { id, name, image, startedAt } = each;
    return [{ id, name, image: image.image, startedMs: startedAt / 1e6, groupPath: path, group }];
  });
  // A runtime may have no process of the sandbox's own: then the containers' is in the same network.
  const groups = [`${groupPath}/${sandbox.id}`, ...containers.map((each) => each.groupPath)];
  const process = pod.spec.hostNetwork
    ? undefined
    : groups.map((each) => firstProcess(hierarchies, each)).find((pid) => pid !== undefined);
  return {
    pod,
    startedMs: sandbox.createdAt / 1e6,
    groupPath,
    group: groupUsage(hierarchies, groupPath),
    sandboxId: sandbox.id,
    interfaces: process === undefined ? [] : interfacesOfProcess(process),
    containers,
    volumes: [],
  };
}

/** containerd names a container's cgroup after it, CRI-O `crio-` and its name. */
function containerGroup(
  hierarchies: Hierarchies,
  groupPath: string,
  id: string,
): [path: string, group: GroupUsage | undefined] {
  const plain = `${groupPath}/${id}`;
  const usage = groupUsage(hierarchies, plain);
  if (usage) return [plain, usage];
  const prefixed = `${groupPath}/crio-${id}`;
  return [prefixed, groupUsage(hierarchies, prefixed)];
}

/** What each container wrote into its own layer, as the runtime measures it. */
async function writableLayers(context: PodContext): Promise<Map<string, FolderUsage>> {
  const stats = await context.runtime.listContainerStats().catch(() => []);
  return new Map(
    stats.map(({ attributes, writableLayer }) => [
      attributes.id,
      {
        usedBytes: writableLayer?.usedBytes?.value ?? 0,
        inodesUsed: writableLayer?.inodesUsed?.value ?? 0,
      },
    ]),
  );
}

/** Logs lie flat in their folder. */
async function logUsage(dir: string): Promise<FolderUsage> {
  const usage: FolderUsage = { usedBytes: 0, inodesUsed: 0 };
  for (const name of await readdir(dir).catch(() => [])) {
    const info = await stat(join(dir, name)).catch(() => undefined);
    if (!info) continue;
    usage.usedBytes += info.blocks * 512;
    usage.inodesUsed++;
  }
  return usage;
}

export async function disksOf(context: Pick<PodContext, "runtime">, diskPath: string): Promise<Disks> {
  const node = await fileSystemUsage(diskPath);
  const [images] = await context.runtime.imageFsInfo().catch(() => []);
  const mountpoint = images?.fsId?.mountpoint ?? "";
  const image = mountpoint ? await fileSystemUsage(mountpoint).catch(() => node) : node;
  const [a, b] = await Promise.all([stat(diskPath), stat(mountpoint).catch(() => undefined)]);
  return {
    node,
    image: {
      ...image,
      usedByImagesBytes: images?.usedBytes?.value ?? 0,
      inodesUsedByImages: images?.inodesUsed?.value ?? 0,
    },
    isShared: b === undefined || a.dev === b.dev,
  };
}
