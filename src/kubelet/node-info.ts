/** What this machine is and has. */
import { readFile, statfs } from "node:fs/promises";
import { arch, availableParallelism, hostname, release } from "node:os";
import type { corev1 } from "#api";
import type { RuntimeVersion } from "#contracts";

export interface Machine {
  cpus: number;
  memoryBytes: number;
  storageBytes: number;
  inodes: number;
  hostname: string;
  info: corev1.NodeSystemInfo;
}

const kubeletVersion = "v1.36.0";

const goArchitectures: Record<string, string> = { x64: "amd64", ia32: "386" };

async function text(path: string): Promise<string> {
  return (await readFile(path, "utf8").catch(() => "")).trim();
}

/** `PRETTY_NAME` of `/etc/os-release`. */
export function osImageOf(osRelease: string): string {
  return /^PRETTY_NAME="?([^"\n]*)"?$/m.exec(osRelease)?.[1] ?? "Linux";
}

export function memoryTotalOf(meminfo: string): number {
  return Number(/^MemTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
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
  return {
    cpus: availableParallelism(),
    memoryBytes: memoryTotalOf(meminfo),
    storageBytes: disk.blocks * disk.bsize,
    inodes: disk.files,
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
      systemUUID: systemUuid || machineId,
    },
  };
}

/** What is kept back from pods: upstream's hard eviction thresholds. */
const memoryReserveBytes = 100 * 1024 * 1024;
const storageReserveShare = 0.1;

export function capacityOf(machine: Machine, maxPods: number): Record<string, string> {
  return {
    cpu: String(machine.cpus),
    "ephemeral-storage": `${Math.floor(machine.storageBytes / 1024)}Ki`,
    memory: `${Math.floor(machine.memoryBytes / 1024)}Ki`,
    pods: String(maxPods),
  };
}

export function allocatableOf(machine: Machine, maxPods: number): Record<string, string> {
  return {
    ...capacityOf(machine, maxPods),
    "ephemeral-storage": String(Math.floor(machine.storageBytes * (1 - storageReserveShare))),
    memory: `${Math.floor((machine.memoryBytes - memoryReserveBytes) / 1024)}Ki`,
  };
}

export interface Pressure {
  memory: boolean;
  disk: boolean;
  pid: boolean;
}

/** Upstream's hard thresholds: memory.available<100Mi, nodefs.available<10%, nodefs.inodesFree<5%. */
export async function readPressure(dataDir: string): Promise<Pressure> {
  const [meminfo, disk, threads] = await Promise.all([
    text("/proc/meminfo"),
    statfs(dataDir),
    text("/proc/sys/kernel/threads-max"),
  ]);
  const loadavg = await text("/proc/loadavg");
  const running = Number(loadavg.split(" ")[3]?.split("/")[1] ?? 0);
  const available =
    Number(/^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? Number.POSITIVE_INFINITY) * 1024;
  return {
    memory: available < memoryReserveBytes,
    disk:
      disk.bavail < disk.blocks * storageReserveShare || (disk.files > 0 && disk.ffree < disk.files * 0.05),
    pid: running > Number(threads || Number.POSITIVE_INFINITY) * 0.95,
  };
}
