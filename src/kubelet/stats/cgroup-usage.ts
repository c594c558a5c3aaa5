/**
 * What a cgroup has used, read from its files: v1 with a hierarchy for each controller, or v2 with one for all. The
 * files are read at once and not one after the other: they lie in memory, and a group may vanish between two of them.
 * https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Hierarchies } from "../cgroups.ts";
import { type GroupPressure, pressureOf } from "./pressure.ts";

export interface MemoryUsage {
  usageBytes: number;
  /** What the kernel could not take back without hurting: usage without inactive file pages. */
  workingSetBytes: number;
  rssBytes: number;
  cacheBytes: number;
  swapBytes: number;
  /** 0 is without a limit. */
  limitBytes: number;
  pageFaults: number;
  majorPageFaults: number;
}

export interface CpuUsage {
  totalNs: number;
  userNs: number;
  systemNs: number;
  periods: number;
  throttledPeriods: number;
  throttledNs: number;
}

export interface GroupUsage {
  cpu: CpuUsage;
  memory: MemoryUsage;
  processes: number;
  pressure?: GroupPressure | undefined;
}

/** Larger figures are the kernel's way to say that there is no limit. */
const limitMaxBytes = 2 ** 60;
/** The kernel counts in hundredths of a second here, whatever it ticks in. */
const nsPerTick = 10_000_000;

/** `name 12` lines. */
export function parseFlat(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const space = line.indexOf(" ");
    if (space > 0) values.set(line.slice(0, space), Number(line.slice(space + 1)) || 0);
  }
  return values;
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

const numberOf = (file: string) => Number(textOf(file)) || 0;
const flatOf = (file: string) => parseFlat(textOf(file) ?? "");
const limitOf = (text: string | undefined) => {
  const value = Number(text);
  return value > 0 && value < limitMaxBytes ? value : 0;
};

function memoryV1(dir: string): MemoryUsage | undefined {
  const usage = textOf(join(dir, "memory.usage_in_bytes"));
  if (usage === undefined) return undefined;
  const stat = flatOf(join(dir, "memory.stat"));
  const of = (name: string) => stat.get(name) ?? 0;
  const usageBytes = Number(usage) || 0;
  return {
    usageBytes,
    workingSetBytes: Math.max(0, usageBytes - of("total_inactive_file")),
    rssBytes: of("total_rss"),
    cacheBytes: of("total_cache"),
    swapBytes: of("total_swap"),
    limitBytes: limitOf(textOf(join(dir, "memory.limit_in_bytes"))),
    pageFaults: of("total_pgfault"),
    majorPageFaults: of("total_pgmajfault"),
  };
}

function memoryV2(dir: string): MemoryUsage | undefined {
  const usage = textOf(join(dir, "memory.current"));
  if (usage === undefined) return undefined;
  const stat = flatOf(join(dir, "memory.stat"));
  const of = (name: string) => stat.get(name) ?? 0;
  const usageBytes = Number(usage) || 0;
  return {
    usageBytes,
    workingSetBytes: Math.max(0, usageBytes - of("inactive_file")),
    rssBytes: of("anon"),
    cacheBytes: of("file"),
    swapBytes: numberOf(join(dir, "memory.swap.current")),
    limitBytes: limitOf(textOf(join(dir, "memory.max"))),
    pageFaults: of("pgfault"),
    majorPageFaults: of("pgmajfault"),
  };
}

function cpuV1(hierarchies: Hierarchies, path: string): CpuUsage {
  const accounting = join(hierarchies.controllerDir("cpuacct") ?? "", path);
  const stat = flatOf(join(accounting, "cpuacct.stat"));
  const throttling = flatOf(join(hierarchies.controllerDir("cpu") ?? "", path, "cpu.stat"));
  return {
    totalNs: numberOf(join(accounting, "cpuacct.usage")),
    userNs: (stat.get("user") ?? 0) * nsPerTick,
    systemNs: (stat.get("system") ?? 0) * nsPerTick,
    periods: throttling.get("nr_periods") ?? 0,
    throttledPeriods: throttling.get("nr_throttled") ?? 0,
    throttledNs: throttling.get("throttled_time") ?? 0,
  };
}

function cpuV2(dir: string): CpuUsage {
  const stat = flatOf(join(dir, "cpu.stat"));
  const ns = (name: string) => (stat.get(name) ?? 0) * 1000;
  return {
    totalNs: ns("usage_usec"),
    userNs: ns("user_usec"),
    systemNs: ns("system_usec"),
    periods: stat.get("nr_periods") ?? 0,
    throttledPeriods: stat.get("nr_throttled") ?? 0,
    throttledNs: ns("throttled_usec"),
  };
}

/** Undefined for a group that is not there. */
export function groupUsage(hierarchies: Hierarchies, path: string): GroupUsage | undefined {
  if (hierarchies.unified) {
    const dir = join(hierarchies.controllerDir("memory") ?? "", path);
    const memory = memoryV2(dir);
    if (!memory) return undefined;
    const processes = numberOf(join(dir, "pids.current"));
    return { memory, cpu: cpuV2(dir), processes, pressure: pressureOf(dir) };
  }
  const memoryRoot = hierarchies.controllerDir("memory");
  const memory = memoryRoot && memoryV1(join(memoryRoot, path));
  if (!memory) return undefined;
  const pidsRoot = hierarchies.controllerDir("pids");
  const processes = pidsRoot ? numberOf(join(pidsRoot, path, "pids.current")) : 0;
  return { memory, cpu: cpuV1(hierarchies, path), processes };
}

/** Of the whole machine. */
export function machinePressure({ unified, controllerDir }: Hierarchies): GroupPressure | undefined {
  return unified ? pressureOf(controllerDir("memory") ?? "") : undefined;
}

/** The first process of a group: of a sandbox's, the one whose network its containers share. */
export function firstProcess(hierarchies: Hierarchies, path: string): number | undefined {
  const dir = hierarchies.controllerDir("memory") ?? "";
  return Number(textOf(join(dir, path, "cgroup.procs"))?.split("\n")[0]) || undefined;
}
