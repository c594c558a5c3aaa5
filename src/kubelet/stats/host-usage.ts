/** What the machine itself has used: processors, memory, network interfaces, file systems, folders. */
import { readFileSync } from "node:fs";
import { lstat, opendir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { parseFlat } from "./cgroup-usage.ts";

export interface InterfaceUsage {
  name: string;
  rxBytes: number;
  rxPackets: number;
  rxErrors: number;
  rxDropped: number;
  txBytes: number;
  txPackets: number;
  txErrors: number;
  txDropped: number;
}

const nsPerTick = 10_000_000;

/** The time all processors have worked, from the first line of `/proc/stat`; waiting for disks is not work. */
export function cpuTimeOf(procStat: string): number {
  const [, user, nice, system, , , irq, softirq, steal] = procStat
    .split("\n", 1)[0]!
    .split(/\s+/)
    .map(Number);
  return [user, nice, system, irq, softirq, steal].reduce((sum: number, n) => sum + (n || 0), 0) * nsPerTick;
}

export interface MachineMemory {
  totalBytes: number;
  availableBytes: number;
  usageBytes: number;
  workingSetBytes: number;
  rssBytes: number;
  swapUsedBytes: number;
  swapFreeBytes: number;
}

export function machineMemoryOf(meminfo: string): MachineMemory {
  const values = parseFlat(meminfo.replaceAll(/:\s+/g, " ").replaceAll(" kB", ""));
  const bytes = (name: string) => (values.get(name) ?? 0) * 1024;
  const usageBytes = bytes("MemTotal") - bytes("MemFree");
  const workingSetBytes = Math.max(0, usageBytes - bytes("Inactive(file)"));
  return {
    totalBytes: bytes("MemTotal"),
    // As upstream: what is left beside the working set.
    availableBytes: Math.max(0, bytes("MemTotal") - workingSetBytes),
    usageBytes,
    workingSetBytes,
    rssBytes: bytes("AnonPages"),
    swapUsedBytes: bytes("SwapTotal") - bytes("SwapFree"),
    swapFreeBytes: bytes("SwapFree"),
  };
}

/** The lines of `/proc/net/dev`, without the loopback. */
export function interfacesOf(text: string): InterfaceUsage[] {
  return text.split("\n").flatMap((line) => {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim();
    if (colon < 0 || !name || name === "lo") return [];
    const values = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const [rxBytes = 0, rxPackets = 0, rxErrors = 0, rxDropped = 0] = values;
    const [txBytes = 0, txPackets = 0, txErrors = 0, txDropped = 0] = values.slice(8);
    return [{ name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }];
  });
}

/** Interfaces as one process sees them; none once it has ended. */
export function interfacesOfProcess(pid: number | "self"): InterfaceUsage[] {
  try {
    return interfacesOf(readFileSync(`/proc/${pid}/net/dev`, "utf8"));
  } catch {
    return [];
  }
}

export const readProc = (name: string): string => {
  try {
    return readFileSync(`/proc/${name}`, "utf8");
  } catch {
    return "";
  }
};

/** How many processes and threads there are, and may be. */
export function processCounts(): { now: number; max: number } {
  const now = Number(readProc("loadavg").split(" ")[3]?.split("/")[1]) || 0;
  const threads = Number(readProc("sys/kernel/threads-max")) || Number.POSITIVE_INFINITY;
  const pids = Number(readProc("sys/kernel/pid_max")) || Number.POSITIVE_INFINITY;
  return { now, max: Math.min(threads, pids) };
}

export interface FileSystemUsage {
  capacityBytes: number;
  availableBytes: number;
  usedBytes: number;
  inodes: number;
  inodesFree: number;
  inodesUsed: number;
}

export async function fileSystemUsage(path: string): Promise<FileSystemUsage> {
  const { blocks, bfree, bavail, bsize, files, ffree } = await statfs(path);
  return {
    capacityBytes: blocks * bsize,
    availableBytes: bavail * bsize,
    usedBytes: (blocks - bfree) * bsize,
    inodes: files,
    inodesFree: ffree,
    inodesUsed: files - ffree,
  };
}

export interface FolderUsage {
  usedBytes: number;
  inodesUsed: number;
}

/** More entries than this are not looked at: a folder of a pod must not keep the kubelet busy. */
const entriesMax = 200_000;

/** What everything below takes on the disk; links are not followed, and what vanishes meanwhile counts nothing. */
export async function folderUsage(path: string): Promise<FolderUsage> {
  const usage: FolderUsage = { usedBytes: 0, inodesUsed: 0 };
  const add = async (entry: string) => {
    const info = await lstat(entry).catch(() => undefined);
    if (!info) return;
    usage.usedBytes += info.blocks * 512;
    usage.inodesUsed++;
  };
  await add(path);
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const dir = await opendir(folder).catch(() => undefined);
    if (!dir) continue;
    try {
      for await (const entry of dir) {
        if (usage.inodesUsed >= entriesMax) return usage;
        const child = join(folder, entry.name);
        await add(child);
        if (entry.isDirectory()) folders.push(child);
      }
    } catch {
      // The folder went while it was read.
    }
  }
  return usage;
}
