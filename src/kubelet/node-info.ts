/** What this machine is and has. */
import { readdir, readFile, statfs } from "node:fs/promises";
import { arch, availableParallelism, hostname, release } from "node:os";
import { join } from "node:path";
import { binaryQuantity, type corev1, quantityMilliValue, quantityValue } from "#api";
import type { RuntimeVersion } from "#contracts";
import type { KubeletConfig } from "./config/settings.ts";
import { amountOf } from "./eviction/signals.ts";

export interface Machine {
  cpus: number;
  memoryBytes: number;
  storageBytes: number;
  inodes: number;
  /** Bytes in huge pages, by the size of the page. */
  hugePages: ReadonlyMap<number, number>;
  swapBytes: number;
  hostname: string;
  info: corev1.NodeSystemInfo;
}

const kubeletVersion = "v1.36.0";

const goArchitectures: Record<string, string> = { x64: "amd64", ia32: "386" };

async function text(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim();
}

async function readHugePages(): Promise<Map<number, number>> {
  const root = "/sys/kernel/mm/hugepages";
  const pages = new Map<number, number>();
  for (const name of await readdir(root).catch(() => [])) {
    const size = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]) * 1024;
    if (size > 0) pages.set(size, size * (Number(await text(join(root, name, "nr_hugepages"))) || 0));
  }
  return pages;
}

/** `PRETTY_NAME` of `/etc/os-release`. */
export function osImageOf(osRelease: string): string {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux";
}

export function memoryTotalOf(meminfo: string): number {
  return Number(/^MemTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

export function swapTotalOf(meminfo: string): number {
  return Number(/^SwapTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

export async function readMachine(dataDir: string, runtime: RuntimeVersion): Promise<Machine> {
  const [osRelease, meminfo, bootId, machineId, systemUuid, disk] = await Promise.all([
    text("/etc/os-release"),
    text("/proc/meminfo"),
    text("/proc/sys/kernel/random/boot_id"),
    text("/etc/machine-id"),
    text("/sys/class/dmi/id/product_uuid"),
    statfs(dataDir),
  ]);
  const swapBytes = swapTotalOf(meminfo);
  return {
    cpus: availableParallelism(),
    swapBytes,
    memoryBytes: memoryTotalOf(meminfo),
    storageBytes: disk.blocks * disk.bsize,
    inodes: disk.files,
    hugePages: await readHugePages(),
    hostname: hostname().toLowerCase(),
    info: {
      architecture: goArchitectures[arch()] ?? arch(),
      bootID: bootId,
      containerRuntimeVersion: `${runtime.runtimeName}://${runtime.runtimeVersion}`,
      kernelVersion: release(),
      kubeProxyVersion: "",
      kubeletVersion,
      machineID: machineId,
      operatingSystem: "linux",
      osImage: osImageOf(osRelease),
      ...(swapBytes > 0 ? { swap: { capacity: swapBytes } } : {}),
      systemUUID: systemUuid || machineId,
    },
  };
}

type Capacity = Pick<KubeletConfig, "maxPods" | "podsPerCore" | "localStorageIsolation">;

/** How many pods the node takes. */
export function podsMaxOf(
  { cpus }: Machine,
  { maxPods, podsPerCore }: Omit<Capacity, "localStorageIsolation">,
) {
  return podsPerCore > 0 ? Math.min(maxPods, cpus * podsPerCore) : maxPods;
}

export function capacityOf(machine: Machine, config: Capacity): Record<string, string> {
  const storage = `${Math.floor(machine.storageBytes / 1024)}Ki`;
  return {
    cpu: String(machine.cpus),
    ...(config.localStorageIsolation ? { "ephemeral-storage": storage } : {}),
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    pods: String(podsMaxOf(machine, config)),
    ...hugePagesOf(machine),
  };
}

/** Sizes of huge pages as they are named: `2Mi`, and the bytes that lie in them. */
export function hugePagesOf(machine: Machine): Record<string, string> {
  return Object.fromEntries(
    [...machine.hugePages].map(([size, bytes]) => [
      `hugepages-${binaryQuantity(size)}`,
      binaryQuantity(bytes),
    ]),
  );
}

/** The processors of a list such as `0-1,4`. Throws an `Error` for what is none. */
export function parseCpuList(text: string): number[] {
  const cpus = new Set<number>();
  for (const part of text.split(",").filter(Boolean)) {
    const [, from, to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? [];
    if (from === undefined || Number(to) < Number(from)) throw new Error(`is no list of processors: ${part}`);
    for (let cpu = Number(from); cpu <= Number(to); cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

type Reservations = Capacity &
  Pick<KubeletConfig, "kubeReserved" | "systemReserved" | "reservedCpus" | "evictionHard">;

/** What pods may not ask for: what is kept for the system, and what would lead to evictions. */
export function allocatableOf(machine: Machine, config: Reservations): Record<string, string> {
  const reserved = (name: string, of: (amount: string | undefined) => number) =>
    of(config.kubeReserved[name]) + of(config.systemReserved[name]);
  const kept = (signal: string, capacity: number) => amountOf(config.evictionHard[signal] ?? "0", capacity);
  const reservedMilli = config.reservedCpus
    ? parseCpuList(config.reservedCpus).length * 1000
    : reserved("cpu", quantityMilliValue);
  const milli = Math.max(0, machine.cpus * 1000 - reservedMilli);
  const inPages = [...machine.hugePages.values()].reduce((sum, bytes) => sum + bytes, 0);
  const memory =
    machine.memoryBytes -
    inPages -
    reserved("memory", quantityValue) -
    kept("memory.available", machine.memoryBytes);
  const storage =
    machine.storageBytes -
    reserved("ephemeral-storage", quantityValue) -
    kept("nodefs.available", machine.storageBytes);
  return {
    ...capacityOf(machine, config),
    cpu: milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`,
    ...(config.localStorageIsolation
      ? { "ephemeral-storage": String(Math.max(0, Math.floor(storage))) }
      : {}),
    memory: `${Math.max(0, Math.floor(memory / 1024))}Ki`,
  };
}

/** What all pods may have together: unlike what they may ask for, up to where evictions begin. */
export function nodeShareOf(
  machine: Machine,
  config: Reservations & Pick<KubeletConfig, "enforceNodeAllocatable">,
) {
  const { cpu, memory } = allocatableOf(machine, { ...config, evictionHard: {} });
  const isLimited = config.enforceNodeAllocatable.includes("pods");
  return { milliCpu: quantityMilliValue(cpu), memoryBytes: isLimited ? quantityValue(memory) : 0 };
}
