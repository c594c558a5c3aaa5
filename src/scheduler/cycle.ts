/** One scheduling cycle: from a pod to a node, or to the reasons why there is none. Synchronous and pure but for luck. */
import type { Random } from "#base";
import type { NodeInfo, PodInfo, Snapshot } from "./cache.ts";
import type { Rejection, SchedulerPlugin, SchedulingWorld } from "./define-plugin.ts";
import type { SchedulerProfile } from "./profile.ts";

export type CycleResult =
  | { kind: "node"; name: string; tried: number }
  | { kind: "none"; message: string; rejectedBy: ReadonlySet<string> };

/** Where the last cycle stopped looking: the next goes on from there, so that all nodes get their turn. */
export interface Rotation {
  next: number;
}

/** Below so many nodes all are looked at. */
const sampleMin = 100;

/**
 * In a large cluster not every feasible node must be found.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/
 */
export function feasibleWanted(nodes: number): number {
  if (nodes < sampleMin) return nodes;
  const percent = Math.max(5, 50 - Math.floor(nodes / 125));
  return Math.max(sampleMin, Math.floor((nodes * percent) / 100));
}

interface Filter {
  plugin: SchedulerPlugin;
  prepared: unknown;
}

export function schedule(
  info: PodInfo,
  snapshot: Snapshot,
  profile: SchedulerProfile,
  world: SchedulingWorld,
  random: Random,
  rotation: Rotation,
): CycleResult {
  const { nodes } = snapshot;
  if (nodes.length === 0) {
    const rejectedBy = new Set(profile.plugins.map(({ plugin }) => plugin.name));
    return { kind: "none", message: "no nodes available to schedule pods", rejectedBy };
  }
  const filters: Filter[] = [];
  for (const { plugin } of profile.plugins) {
    if (!plugin.filter || !plugin.prepare) continue;
    const prepared = plugin.prepare(info, snapshot, world);
    if (prepared !== undefined) filters.push({ plugin, prepared });
  }
  const found = findFeasible(info, nodes, filters, rotation);
  if (found.feasible.length === 0) return found.failure(nodes.length);
  const name =
    found.feasible.length === 1
      ? found.feasible[0]!.name
      : best(found.feasible, totals(info, found.feasible, snapshot, profile, world), random);
  return { kind: "node", name, tried: found.tried };
}

function findFeasible(
  info: PodInfo,
  nodes: readonly NodeInfo[],
  filters: readonly Filter[],
  rotation: Rotation,
) {
  const wanted = feasibleWanted(nodes.length);
  const feasible: NodeInfo[] = [];
  const reasons = new Map<string, number>();
  const rejectedBy = new Set<string>();
  let hopeless = 0;
  let tried = 0;
  const start = rotation.next % nodes.length;
  while (tried < nodes.length && feasible.length < wanted) {
    const node = nodes[(start + tried) % nodes.length]!;
    tried++;
    const rejected = rejectionOf(info, node, filters, rejectedBy);
    if (!rejected) {
      feasible.push(node);
      continue;
    }
    if (rejected.unresolvable) hopeless++;
    for (const reason of rejected.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  }
  rotation.next = (start + tried) % nodes.length;
  const failure = (total: number): CycleResult => ({
    kind: "none",
    message: fitError(total, reasons, hopeless),
    rejectedBy,
  });
  return { feasible, tried, failure };
}

function rejectionOf(
  info: PodInfo,
  node: NodeInfo,
  filters: readonly Filter[],
  rejectedBy: Set<string>,
): Rejection | undefined {
  for (const { plugin, prepared } of filters) {
    const rejected = plugin.filter!(info, node, prepared);
    if (!rejected) continue;
    rejectedBy.add(plugin.name);
    return rejected;
  }
  return undefined;
}

/** As upstream words it: `kubectl describe pod` shows it, and people search for it. */
export function fitError(total: number, reasons: ReadonlyMap<string, number>, hopeless: number): string {
  const histogram = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  const preemption = [
    ...(hopeless > 0 ? [`${hopeless} Preemption is not helpful for scheduling`] : []),
    ...(total > hopeless ? [`${total - hopeless} No preemption victims found for incoming pod`] : []),
  ].sort();
  const available = `0/${total} nodes are available`;
  return `${available}: ${histogram.join(", ")}. preemption: ${available}: ${preemption.join(", ")}.`;
}

function totals(
  info: PodInfo,
  feasible: readonly NodeInfo[],
  snapshot: Snapshot,
  profile: SchedulerProfile,
  world: SchedulingWorld,
): number[] {
  const sums = new Array<number>(feasible.length).fill(0);
  for (const { plugin, weight } of profile.plugins) {
    if (weight === 0 || !plugin.score || !plugin.prepareScore) continue;
    const prepared = plugin.prepareScore(info, feasible, snapshot, world);
    if (prepared === undefined) continue;
    const scores = feasible.map((node) => plugin.score!(info, node, prepared));
    plugin.normalize?.(scores);
    for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! + weight * scores[i]!;
  }
  return sums;
}

/** The highest; of several, any with equal chance. */
function best(feasible: readonly NodeInfo[], sums: readonly number[], random: Random): string {
  let [chosen, ties] = [0, 1];
  for (let i = 1; i < sums.length; i++) {
    if (sums[i]! > sums[chosen]!) [chosen, ties] = [i, 1];
    else if (sums[i] === sums[chosen] && random.int(++ties) === 0) chosen = i;
  }
  return feasible[chosen]!.name;
}
