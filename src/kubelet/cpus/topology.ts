/** Which processors belong together, and which of them serve best for a number of exclusive ones. The choice is pure. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CpuOptions } from "./options.ts";

type TakeOptions = Partial<Pick<CpuOptions, "fullCores" | "distribute" | "byCache">>;

export interface Cpu {
  id: number;
  /** Threads of one core share its units. */
  core: string;
  socket: number;
  numaNode: number;
  /** Those of one group share their last cache. */
  cache?: string;
}

const root = "/sys/devices/system/cpu";

function numberIn(path: string): number {
  try {
    return Number(readFileSync(path, "utf8")) || 0;
  } catch {
    return 0;
  }
}

/** Of this machine; without the facts, each processor is a core of one socket. */
export function readTopology(count: number): Cpu[] {
  return Array.from({ length: count }, (_, id) => {
    const dir = join(root, `cpu${id}`);
    const socket = numberIn(join(dir, "topology/physical_package_id"));
    const core = lineOf(join(dir, "topology/thread_siblings_list")) ?? String(id);
    const cache = lineOf(join(dir, "cache/index3/shared_cpu_list"));
    return { id, core, socket, numaNode: numaNodeOf(dir), ...(cache ? { cache } : {}) };
  });
}

function lineOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}

function numaNodeOf(dir: string): number {
  try {
    const name = readdirSync(dir).find((each) => /^node\d+$/.test(each));
    return Number(name?.slice("node".length)) || 0;
  } catch {
    return 0;
  }
}

const byCache = ({ cache, socket }: Cpu) => cache ?? `socket ${socket}`;

/** As many from each of the fewest nodes that have enough; undefined where they cannot be spread evenly. */
function spread(
  topology: readonly Cpu[],
  free: ReadonlySet<number>,
  count: number,
  options: TakeOptions,
): number[] | undefined {
  const step = options.fullCores ? threadsPerCore(topology) : 1;
  const byNode = [...Map.groupBy(topology, ({ numaNode }) => numaNode).values()].map((cpus) =>
    cpus.map(({ id }) => id).filter((id) => free.has(id)),
  );
  if (byNode.some((ids) => ids.length >= count)) return undefined;
  for (let width = 2; width <= byNode.length; width++) {
    const share = Math.floor(count / width / step) * step;
    const nodes = byNode.filter((ids) => ids.length >= share).toSorted((a, b) => b.length - a.length);
    if (nodes.length < width) continue;
    const taken = sharesOf(topology, nodes.slice(0, width), count, step);
    if (taken) return taken;
  }
  return undefined;
}

/** The first nodes bear what cannot be divided. */
function sharesOf(
  topology: readonly Cpu[],
  nodes: readonly number[][],
  count: number,
  step: number,
): number[] | undefined {
  const share = Math.floor(count / nodes.length / step) * step;
  let left = count - share * nodes.length;
  const taken: number[] = [];
  for (const ids of nodes) {
    const more = ids.length - share >= step ? Math.min(left, step) : 0;
    left -= more;
    taken.push(...(pack(topology, new Set(ids), share + more, {}) ?? []));
  }
  return left === 0 && taken.length === count ? taken.sort((a, b) => a - b) : undefined;
}

function threadsPerCore(topology: readonly Cpu[]): number {
  return Math.max(1, Math.floor(topology.length / new Set(topology.map(({ core }) => core)).size));
}

function groupsOf(cpus: readonly Cpu[], of: (cpu: Cpu) => string | number): Cpu[][] {
  return [...Map.groupBy(cpus, of).values()];
}

/**
 * `count` of the free processors: whole NUMA nodes, then whole sockets, then whole cores, then what is left of cores that
 * are in use already. Undefined where there are too few.
 */
export function takeCpus(
  topology: readonly Cpu[],
  free: ReadonlySet<number>,
  count: number,
  options: TakeOptions = {},
): number[] | undefined {
  if (free.size < count) return undefined;
  return (
    (options.distribute ? spread(topology, free, count, options) : undefined) ??
    pack(topology, free, count, options)
  );
}

function pack(
  topology: readonly Cpu[],
  free: ReadonlySet<number>,
  count: number,
  options: TakeOptions,
): number[] | undefined {
  const taken: number[] = [];
  let left = topology.filter(({ id }) => free.has(id));
  const take = (cpus: readonly Cpu[]) => {
    taken.push(...cpus.map(({ id }) => id));
    left = left.filter(({ id }) => !taken.includes(id));
  };
  const takeWhole = (of: (cpu: Cpu) => string | number) => {
    const whole = new Map([...Map.groupBy(topology, of)].map(([key, cpus]) => [key, cpus.length]));
    for (const group of groupsOf(left, of)) {
      const isWhole = group.length === whole.get(of(group[0]!));
      if (isWhole && group.length <= count - taken.length) take(group);
    }
  };
  takeWhole(({ numaNode }) => numaNode);
  takeWhole(({ socket }) => socket);
  if (options.byCache) {
    takeWhole(byCache);
    left = oneCache(left, count - taken.length) ?? left;
  }
  takeWhole(({ core }) => core);
  // Cores that are broken already come first: whole ones are kept for those who need them.
  const rest = groupsOf(left, (cpu) => cpu.core).toSorted(
    (a, b) => a.length - b.length || a[0]!.id - b[0]!.id,
  );
  take(rest.flat().slice(0, count - taken.length));
  return taken.sort((a, b) => a - b);
}

/** The fullest group of one cache that still has enough. */
function oneCache(left: readonly Cpu[], count: number): Cpu[] | undefined {
  return groupsOf(left, byCache)
    .filter((cpus) => cpus.length >= count)
    .toSorted((a, b) => a.length - b.length)[0];
}

/** `0-2,5`. */
export function formatCpus(ids: Iterable<number>): string {
  const parts: [number, number][] = [];
  for (const id of [...ids].sort((a, b) => a - b)) {
    const last = parts.at(-1);
    if (last && last[1] + 1 === id) last[1] = id;
    else parts.push([id, id]);
  }
  return parts.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",");
}
