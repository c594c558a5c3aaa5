/** Which processors belong together, and which of them serve best for a number of exclusive ones. The choice is pure. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Cpu {
  id: number;
  /** Threads of one core share its units. */
  core: string;
  socket: number;
  numaNode: number;
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
    const core = coreOf(join(dir, "topology/thread_siblings_list")) ?? String(id);
    return { id, core, socket, numaNode: numaNodeOf(dir) };
  });
}

function coreOf(path: string): string | undefined {
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

/** What belongs together, the largest first. */
const larger: readonly ((cpu: Cpu) => string | number)[] = [
  ({ numaNode }) => numaNode,
  ({ socket }) => socket,
  ({ core }) => core,
];

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
): number[] | undefined {
  if (free.size < count) return undefined;
  const taken: number[] = [];
  let left = topology.filter(({ id }) => free.has(id));
  const take = (cpus: readonly Cpu[]) => {
    taken.push(...cpus.map(({ id }) => id));
    left = left.filter(({ id }) => !taken.includes(id));
  };
  for (const of of larger) {
    const whole = new Map([...Map.groupBy(topology, of)].map(([key, cpus]) => [key, cpus.length]));
    for (const group of groupsOf(left, of)) {
      const isWhole = group.length === whole.get(of(group[0]!));
      if (isWhole && group.length <= count - taken.length) take(group);
    }
  }
  // Cores that are broken already come first: whole ones are kept for those who need them.
  const rest = groupsOf(left, (cpu) => cpu.core).toSorted(
    (a, b) => a.length - b.length || a[0]!.id - b[0]!.id,
  );
  take(rest.flat().slice(0, count - taken.length));
  return taken.sort((a, b) => a - b);
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
