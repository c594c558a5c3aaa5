/**
 * `/stats/summary`: what the node and its pods use, as JSON. Pure, but for the memory that rates need.
 * https://kubernetes.io/docs/reference/instrumentation/node-metrics/
 */
import { formatTime } from "#api";
import type { CpuUsage, GroupUsage, MemoryUsage } from "./cgroup-usage.ts";
import type { FileSystemUsage, InterfaceUsage } from "./host-usage.ts";
import type { ContainerUsage, NodeUsage, PodUsage, VolumeUsage } from "./observation.ts";
import type { GroupPressure, Pressure } from "./pressure.ts";

/** Two looks nearer than this say little about a rate. */
const rateMinMs = 500;

/** How fast counters grow, by name, between one look and the next. */
export class Rates {
  #last = new Map<string, { value: number; atMs: number; perSecond?: number }>();

  /** Nanoseconds a second; undefined at the first look. */
  of(key: string, value: number, atMs: number): number | undefined {
    const last = this.#last.get(key);
    if (last && atMs - last.atMs < rateMinMs) return last.perSecond;
    const grows = last !== undefined && value >= last.value;
    const perSecond = grows ? Math.round(((value - last.value) * 1000) / (atMs - last.atMs)) : undefined;
    this.#last.set(key, { value, atMs, ...(perSecond === undefined ? {} : { perSecond }) });
    return perSecond;
  }

  /** Forgets what has not been looked at since. */
  forgetBefore(atMs: number): void {
    for (const [key, entry] of this.#last) if (entry.atMs < atMs) this.#last.delete(key);
  }
}

type Json = Record<string, unknown>;

interface Measured {
  cpu: Pick<CpuUsage, "totalNs">;
  pressure?: GroupPressure | undefined;
}

/** Tasks that waited for one resource; nothing where the kernel does not tell. */
const psi = (pressure: Pressure | undefined): Json => (pressure ? { psi: pressure } : {});

const ioJson = (pressure: GroupPressure | undefined, usage: NodeUsage): Json =>
  pressure ? { io: { time: formatTime(usage.atMs), ...psi(pressure.io) } } : {};

function cpuJson({ cpu, pressure }: Measured, key: string, usage: NodeUsage, rates: Rates): Json {
  const rate = rates.of(key, cpu.totalNs, usage.atMs);
  return {
    time: formatTime(usage.atMs),
    ...(rate === undefined ? {} : { usageNanoCores: rate }),
    usageCoreNanoSeconds: cpu.totalNs,
    ...psi(pressure?.cpu),
  };
}

function memoryJson({ memory, pressure }: GroupUsage, usage: NodeUsage): Json {
  return {
    time: formatTime(usage.atMs),
    ...(memory.limitBytes > 0
      ? { availableBytes: Math.max(0, memory.limitBytes - memory.workingSetBytes) }
      : {}),
    usageBytes: memory.usageBytes,
    workingSetBytes: memory.workingSetBytes,
    rssBytes: memory.rssBytes,
    pageFaults: memory.pageFaults,
    majorPageFaults: memory.majorPageFaults,
    ...psi(pressure?.memory),
  };
}

function networkJson(interfaces: readonly InterfaceUsage[], usage: NodeUsage): Json | undefined {
  const first = interfaces.find((each) => each.name === "eth0") ?? interfaces[0];
  if (!first) return undefined;
  const of = ({ name, rxBytes, rxErrors, txBytes, txErrors }: InterfaceUsage) => ({
    name,
    rxBytes,
    rxErrors,
    txBytes,
    txErrors,
  });
  return { time: formatTime(usage.atMs), ...of(first), interfaces: interfaces.map(of) };
}

function fsJson(fs: FileSystemUsage, used: { usedBytes: number; inodesUsed: number }, atMs: number): Json {
  return {
    time: formatTime(atMs),
    availableBytes: fs.availableBytes,
    capacityBytes: fs.capacityBytes,
    usedBytes: used.usedBytes,
    inodesFree: fs.inodesFree,
    inodes: fs.inodes,
    inodesUsed: used.inodesUsed,
  };
}

const swapJson = (memory: MemoryUsage, usage: NodeUsage): Json => ({
  time: formatTime(usage.atMs),
  swapAvailableBytes: usage.memory.swapFreeBytes,
  swapUsageBytes: memory.swapBytes,
});

function containerJson(each: ContainerUsage, usage: NodeUsage, rates: Rates): Json {
  const { disks } = usage;
  return {
    name: each.name,
    startTime: formatTime(each.startedMs),
    cpu: cpuJson(each.group, each.id, usage, rates),
    memory: memoryJson(each.group, usage),
    ...ioJson(each.group.pressure, usage),
    ...(disks && each.rootfs ? { rootfs: fsJson(disks.image, each.rootfs, usage.atMs) } : {}),
    ...(disks && each.logs ? { logs: fsJson(disks.node, each.logs, usage.atMs) } : {}),
    swap: swapJson(each.group.memory, usage),
  };
}

function volumeJson({ name, folder, fileSystem, claim }: VolumeUsage, namespace: string, atMs: number): Json {
  return {
    ...fsJson(fileSystem, folder, atMs),
    name,
    ...(claim ? { pvcRef: { name: claim, namespace } } : {}),
  };
}

/** What of the node's disk a pod takes: what its containers write and log, and its own volumes. */
export function ephemeralUsage(pod: PodUsage): { usedBytes: number; inodesUsed: number } {
  const parts = [
    ...pod.containers.flatMap((each) => [each.rootfs, each.logs]),
    ...pod.volumes.filter((each) => each.isEphemeral).map((each) => each.folder),
  ].filter((part) => part !== undefined);
  return {
    usedBytes: parts.reduce((sum, part) => sum + part.usedBytes, 0),
    inodesUsed: parts.reduce((sum, part) => sum + part.inodesUsed, 0),
  };
}

function groupJson(group: GroupUsage, key: string, usage: NodeUsage, rates: Rates): Json {
  return {
    cpu: cpuJson(group, key, usage, rates),
    memory: memoryJson(group, usage),
    ...ioJson(group.pressure, usage),
    swap: swapJson(group.memory, usage),
  };
}

function podJson(each: PodUsage, usage: NodeUsage, rates: Rates): Json {
  const { name, namespace = "", uid } = each.pod.metadata;
  const network = networkJson(each.interfaces, usage);
  return {
    podRef: { name, namespace, uid },
    startTime: formatTime(each.startedMs),
    containers: each.containers.map((container) => containerJson(container, usage, rates)),
    ...(each.group ? groupJson(each.group, uid, usage, rates) : {}),
    ...(network ? { network } : {}),
    ...(each.volumes.length > 0
      ? { volume: each.volumes.map((volume) => volumeJson(volume, namespace, usage.atMs)) }
      : {}),
    ...(usage.disks
      ? { "ephemeral-storage": fsJson(usage.disks.node, ephemeralUsage(each), usage.atMs) }
      : {}),
    process_stats: { process_count: each.group?.processes ?? 0 },
  };
}

function nodeJson(nodeName: string, usage: NodeUsage, rates: Rates): Json {
  const { memory, disks, processes } = usage;
  const time = formatTime(usage.atMs);
  const network = networkJson(usage.interfaces, usage);
  const pods = usage.podsGroup;
  return {
    nodeName,
    ...(pods
      ? {
          systemContainers: [
            { name: "pods", startTime: formatTime(usage.bootMs), ...groupJson(pods, "pods", usage, rates) },
          ],
        }
      : {}),
    startTime: formatTime(usage.bootMs),
    cpu: cpuJson({ cpu: { totalNs: usage.cpuNs }, pressure: usage.pressure }, "node", usage, rates),
    memory: {
      time,
      availableBytes: memory.availableBytes,
      usageBytes: memory.usageBytes,
      workingSetBytes: memory.workingSetBytes,
      rssBytes: memory.rssBytes,
      ...psi(usage.pressure?.memory),
    },
    ...ioJson(usage.pressure, usage),
    swap: { time, swapAvailableBytes: memory.swapFreeBytes, swapUsageBytes: memory.swapUsedBytes },
    ...(network ? { network } : {}),
    ...(disks
      ? { fs: fsJson(disks.node, disks.node, usage.atMs), runtime: runtimeJson(disks, usage.atMs) }
      : {}),
    rlimit: { time, maxpid: processes.max, curproc: processes.now },
  };
}

function runtimeJson({ image }: NonNullable<NodeUsage["disks"]>, atMs: number): Json {
  const used = { usedBytes: image.usedByImagesBytes, inodesUsed: image.inodesUsedByImages };
  return { imageFs: fsJson(image, used, atMs), containerFs: fsJson(image, used, atMs) };
}

/** Looks older than this no longer serve for a rate. */
const rateAgeMaxMs = 5 * 60_000;

export function summaryOf(nodeName: string, usage: NodeUsage, rates: Rates): Json {
  const pods = usage.pods.map((each) => podJson(each, usage, rates));
  const node = nodeJson(nodeName, usage, rates);
  rates.forgetBefore(usage.atMs - rateAgeMaxMs);
  return { node, pods };
}
