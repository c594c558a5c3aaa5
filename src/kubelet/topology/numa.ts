/**
 * The NUMA nodes of this machine, and sets of them as the bits of a number.
 * https://docs.kernel.org/admin-guide/mm/numaperf.html
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface NumaNode {
  id: number;
  memoryBytes: number;
  /** Bytes in huge pages, by the size of the page. */
  hugePages: ReadonlyMap<number, number>;
  /** To each node, in their order: 10 is the node itself. */
  distances: readonly number[];
}

/** Bit `n` stands for the node with the id `n`. */
export type NumaMask = number;

/** As many as the bits of a number have room for. */
export const numaNodesMax = 30;

const root = "/sys/devices/system/node";

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function namesOf(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function hugePagesIn(dir: string): Map<number, number> {
  const pages = new Map<number, number>();
  for (const name of namesOf(dir)) {
    const size = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]) * 1024;
    if (size > 0) pages.set(size, size * (Number(textOf(join(dir, name, "nr_hugepages"))) || 0));
  }
  return pages;
}

/** Without the facts the machine is one node with all of the memory. */
export function readNumaNodes(
  memoryBytes: number,
  hugePages: ReadonlyMap<number, number>,
): readonly NumaNode[] {
  const ids = namesOf(root)
    .flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  const nodes = ids.flatMap((id): NumaNode[] => {
    const dir = join(root, `node${id}`);
    const total = Number(/MemTotal:\s+(\d+) kB/.exec(textOf(join(dir, "meminfo")))?.[1] ?? 0) * 1024;
    const distances = textOf(join(dir, "distance")).trim().split(/\s+/).map(Number);
    return [{ id, memoryBytes: total, hugePages: hugePagesIn(join(dir, "hugepages")), distances }];
  });
  return nodes.length > 0 ? nodes : [{ id: 0, memoryBytes, hugePages, distances: [10] }];
}

export const maskOf = (ids: Iterable<number>): NumaMask => [...ids].reduce((mask, id) => mask | (1 << id), 0);

export function nodesIn(mask: NumaMask): number[] {
  const ids: number[] = [];
  for (let id = 0; id < numaNodesMax; id++) if (mask & (1 << id)) ids.push(id);
  return ids;
}

export function countOf(mask: NumaMask): number {
  let count = 0;
  for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Every set of these nodes but the empty one, the smallest first. */
export function masksOf(ids: readonly number[]): NumaMask[] {
  let masks: NumaMask[] = [0];
  for (const id of ids) masks = [...masks, ...masks.map((mask) => mask | (1 << id))];
  return masks.filter((mask) => mask !== 0).sort((a, b) => countOf(a) - countOf(b) || a - b);
}

/** Of fewer nodes, or of the same number with lower ids. */
export function isNarrower(a: NumaMask, b: NumaMask): boolean {
  const [one, other] = [countOf(a), countOf(b)];
  return one === other ? a < b : one < other;
}

/** How far apart the nodes of a set lie on average. */
export function averageDistance(
  mask: NumaMask,
  nodes: readonly Pick<NumaNode, "id" | "distances">[],
): number {
  const inMask = nodes.map((node, index) => ({ ...node, index })).filter(({ id }) => mask & (1 << id));
  if (inMask.length === 0) return 0;
  const sum = inMask.reduce(
    (total, { distances }) => total + inMask.reduce((part, { index }) => part + (distances[index] ?? 0), 0),
    0,
  );
  return sum / inMask.length ** 2;
}
