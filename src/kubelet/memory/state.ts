/**
 * What is left of the memory of each NUMA node, and what sets of nodes could give a container its memory. Pure.
 * https://kubernetes.io/docs/tasks/administer-cluster/memory-manager/
 */
import { binaryQuantity } from "#api";
import { type Hint, hintsBySize } from "../topology/hints.ts";
import { countOf, isNarrower, masksOf, type NumaMask, type NumaNode, nodesIn } from "../topology/numa.ts";

/** `memory`, `hugepages-2Mi`: bytes. */
export type Amounts = Readonly<Record<string, number>>;

/** What one container has of one kind of memory. */
export interface Block {
  resource: string;
  bytes: number;
  mask: NumaMask;
}

export interface NodeState {
  id: number;
  allocatable: Record<string, number>;
  free: Record<string, number>;
  assignments: number;
  /** The nodes that give memory together with this one. */
  group: NumaMask;
}

/** By node, what is kept for the system. */
export type ReservedMemory = ReadonlyMap<number, Amounts>;

function emptyNode(node: NumaNode, reserved: Amounts): NodeState {
  const allocatable: Record<string, number> = {};
  let inPages = 0;
  for (const [size, bytes] of node.hugePages) {
    const name = `hugepages-${binaryQuantity(size)}`;
    allocatable[name] = Math.max(0, bytes - (reserved[name] ?? 0));
    inPages += bytes;
  }
  allocatable.memory = Math.max(0, node.memoryBytes - inPages - (reserved.memory ?? 0));
  return { id: node.id, allocatable, free: { ...allocatable }, assignments: 0, group: 1 << node.id };
}

/** A block fills its nodes one after the other. */
function take(states: ReadonlyMap<number, NodeState>, { mask, resource, bytes }: Block): void {
  let left = bytes;
  for (const id of nodesIn(mask)) {
    const node = states.get(id);
    if (!node) continue;
    node.assignments++;
    node.group = mask;
    const taken = Math.min(left, node.free[resource] ?? 0);
    node.free[resource] = (node.free[resource] ?? 0) - taken;
    left -= taken;
  }
}

export function stateOf(
  nodes: readonly NumaNode[],
  reserved: ReservedMemory,
  blocks: readonly Block[],
): Map<number, NodeState> {
  const states = new Map(nodes.map((node) => [node.id, emptyNode(node, reserved.get(node.id) ?? {})]));
  for (const block of blocks) take(states, block);
  return states;
}

const sumOf = (
  states: ReadonlyMap<number, NodeState>,
  mask: NumaMask,
  of: (node: NodeState) => number | undefined,
) => nodesIn(mask).reduce((sum, id) => sum + (of(states.get(id)!) ?? 0), 0);

/** A node gives memory alone or always with the same others: else what it has could not be counted. */
function isOpen(states: ReadonlyMap<number, NodeState>, mask: NumaMask): boolean {
  return nodesIn(mask).every((id) => {
    const { assignments, group } = states.get(id)!;
    return countOf(mask) === 1 ? countOf(group) === 1 : assignments === 0 || group === mask;
  });
}

export interface Demand {
  wanted: Amounts;
  /** What the pod's init containers leave to the others, by the nodes it lies on. */
  reusable(mask: NumaMask, resource: string): number;
}

/** Those that could give all of it. */
export function memoryHints(states: ReadonlyMap<number, NodeState>, { wanted, reusable }: Demand): Hint[] {
  const entries = Object.entries(wanted);
  return hintsBySize(masksOf([...states.keys()]), states.size, {
    total: (mask) =>
      entries.every(([name, bytes]) => sumOf(states, mask, (node) => node.allocatable[name]) >= bytes),
    free: (mask) =>
      isOpen(states, mask) &&
      entries.every(
        ([name, bytes]) => sumOf(states, mask, (node) => node.free[name]) + reusable(mask, name) >= bytes,
      ),
  });
}

function bestOf(hints: readonly Hint[]): (Hint & { mask: NumaMask }) | undefined {
  const known = hints.flatMap(({ mask, preferred }) => (mask === undefined ? [] : [{ mask, preferred }]));
  return known.toSorted((a, b) => {
    if (a.preferred !== b.preferred) return a.preferred ? -1 : 1;
    return isNarrower(a.mask, b.mask) ? -1 : 1;
  })[0];
}

/** The nodes that the memory is taken from: what was decided, or as few as can be. Throws an `Error` in upstream's words. */
export function placeMemory(
  states: ReadonlyMap<number, NodeState>,
  demand: Demand,
  decided: NumaMask | undefined,
): NumaMask {
  const hints = memoryHints(states, demand);
  if (decided === undefined) {
    const chosen = bestOf(hints);
    if (!chosen)
      throw new Error(
        "[memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available",
      );
    return chosen.mask;
  }
  if (hints.some(({ mask }) => mask === decided)) return decided;
  const wider = bestOf(hints.filter(({ mask = 0 }) => (mask & decided) === decided));
  if (!wider)
    throw new Error("[memorymanager] failed to find NUMA nodes to extend the current topology hint");
  return wider.mask;
}
