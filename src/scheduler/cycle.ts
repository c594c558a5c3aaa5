/**
 * One scheduling cycle: from a pod to a node, or to the reasons why there is none. Synchronous and pure but for luck.
 * A shape of pod that is seen for the first time is tried on a sample of the nodes, as upstream does; one that comes
 * again gets a table of all nodes, which from then on only has to be kept.
 */
import type { Random } from "#base";
import type { SchedulerCache, Snapshot } from "./cache.ts";
import { ClassTable, type Tally, type Verdict } from "./class-table.ts";
import {
  type Feasible,
  highest,
  type Rejection,
  type SchedulerPlugin,
  type SchedulingWorld,
} from "./define-plugin.ts";
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";
import type { SchedulerProfile } from "./profile.ts";

/** Why no node will do. */
export interface NoNode {
  kind: "none";
  /** Without what preemption says of it. */
  message: string;
  rejectedBy: ReadonlySet<string>;
  /** So many nodes would do if pods went from them, perhaps. */
  resolvable: number;
  /** Whether it is one of them. */
  isResolvable(node: NodeInfo): boolean;
}

export type CycleResult = { kind: "node"; name: string } | NoNode;

/** Nodes that will do as far as plugins go. */
export interface Considered {
  kind: "some";
  feasible: NodeInfo[];
  /** Of the others that were looked at, by the node's place. */
  verdicts: Map<number, Verdict>;
}

/** Below so many nodes all are looked at. */
const sampleMin = 100;
/** Shapes of pods that come more often than this get a table, at once where there are few nodes. */
const sightingsMax = 3;
const smallCluster = 200;
const tablesMax = 128;

/**
 * In a large cluster not every feasible node must be found.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduler-perf-tuning/
 */
export function feasibleWanted(nodes: number, percentage = 0): number {
  if (nodes < sampleMin || percentage >= 100) return nodes;
  const percent = percentage || Math.max(5, 50 - Math.floor(nodes / 125));
  return Math.max(sampleMin, Math.floor((nodes * percent) / 100));
}

interface Filter {
  plugin: SchedulerPlugin;
  prepared: unknown;
}

export interface CycleOptions {
  cache: SchedulerCache;
  profile: SchedulerProfile;
  world: SchedulingWorld;
  random: Random;
}

export class SchedulingCycle {
  readonly #cache: SchedulerCache;
  readonly #profile: SchedulerProfile;
  readonly #world: SchedulingWorld;
  readonly #random: Random;
  readonly #tables = new Map<string, ClassTable | number>();
  /** Where the last search stopped: the next goes on from there, so that all nodes get their turn. */
  #next = 0;
  #nextSlot = 0;

  constructor({ cache, profile, world, random }: CycleOptions) {
    this.#cache = cache;
    this.#profile = profile;
    this.#world = world;
    this.#random = random;
  }

  /** `within`: only these nodes are looked at. */
  schedule(info: PodInfo, within?: (node: NodeInfo) => boolean): CycleResult {
    const { nodes } = this.#cache;
    const refused = nodes.length === 0 ? this.#noNodes() : this.#refusal(info);
    if (refused) return refused;
    const nominated = this.#cache.node(this.#cache.nominationOf(info.key) ?? "");
    if (nominated && (within?.(nominated) ?? true) && !this.judge(info)(nominated))
      return { kind: "node", name: nominated.name };
    if (within) return this.#fromSample(info, nodes.filter(within));
    const table = this.#tableOf(info);
    return table ? this.#fromTable(info, table) : this.#fromSample(info, nodes);
  }

  #noNodes(): NoNode {
    const rejectedBy = new Set(this.#profile.plugins.map(({ plugin }) => plugin.name));
    const message = "no nodes available to schedule pods";
    return { kind: "none", message, rejectedBy, resolvable: 0, isResolvable: () => false };
  }

  /** What rules out every node at once. */
  #refusal(info: PodInfo): NoNode | undefined {
    for (const { plugin } of this.#profile.plugins) {
      const reason = plugin.refuse?.(info, this.#cache, this.#world);
      if (reason === undefined) continue;
      const message = `0/${this.#cache.nodes.length} nodes are available: ${reason}.`;
      const rejectedBy = new Set([plugin.name]);
      return { kind: "none", message, rejectedBy, resolvable: 0, isResolvable: () => false };
    }
    return undefined;
  }

  /** Whether the pod may go to a node as it is, or as somebody imagines it. */
  judge(info: PodInfo): (node: NodeInfo) => Rejection | undefined {
    const filters = filtersOf(info, this.#cache, this.#profile, this.#world, () => true);
    return (node) => {
      const seen = this.#cache.asSeen(node, info.shape.priority, info.key);
      return rejectionOf(info, seen, filters)?.rejection;
    };
  }

  /** Whether more than the node and the pods on it decide where this pod may go. */
  looksBeyond(info: PodInfo): boolean {
    const isGlobal = (plugin: SchedulerPlugin) => !plugin.local;
    return filtersOf(info, this.#cache, this.#profile, this.#world, isGlobal).length > 0;
  }

  /** The table for pods of this shape; undefined as long as it would not pay. */
  #tableOf({ shape, ...info }: PodInfo): ClassTable | undefined {
    // Which resources are devices is said by their classes.
    const isPlain = shape.request.others.size === 0;
    const key = isPlain ? shape.signature : `${this.#world.devices.classesVersion} ${shape.signature}`;
    const known = this.#tables.get(key);
    if (known instanceof ClassTable && !known.isStale) return known;
    const sightings = typeof known === "number" ? known : 0;
    const pays =
      this.#cache.nodes.length <= smallCluster || sightings >= sightingsMax || known instanceof ClassTable;
    this.#tables.delete(key);
    const entry = pays
      ? new ClassTable({ shape, ...info }, this.#cache, this.#profile, this.#world)
      : sightings + 1;
    this.#tables.set(key, entry);
    if (this.#tables.size > tablesMax) {
      for (const oldest of this.#tables.keys()) {
        this.#tables.delete(oldest);
        break;
      }
    }
    return typeof entry === "number" ? undefined : entry;
  }

  #fromTable(info: PodInfo, table: ClassTable): CycleResult {
    table.refresh();
    const isGlobal = (plugin: SchedulerPlugin) => !plugin.local;
    const filters = filtersOf(info, this.#cache, this.#profile, this.#world, isGlobal);
    const accepts = (node: NodeInfo) => !rejectionOf(info, node, filters);
    const lazily = new LazyFeasible(() => this.#someOf(table, filters.length > 0 ? accepts : undefined));
    const scorers = scorersOf(info, lazily, this.#cache, this.#profile, this.#world, isGlobal);
    if (table.feasible === 0) return this.#failure(info, table, filters);
    if (scorers.length === 0 && table.raws.length === 0) {
      const best = table.best(this.#random, filters.length > 0 ? accepts : undefined);
      return best ? { kind: "node", name: best.name } : this.#failure(info, table, filters);
    }
    const candidates = lazily.nodes;
    if (candidates.length === 0) return this.#failure(info, table, filters);
    const sums = candidates.map((node) => table.scoreAt(node.slot));
    for (const { plugin, weight, values } of table.raws) {
      const scores = candidates.map((node) => values[node.slot]!);
      plugin.normalize?.(scores);
      addWeighted(sums, scores, weight);
    }
    addScores(sums, info, candidates, scorers);
    return { kind: "node", name: best(candidates, sums, this.#random) };
  }

  /** As many of the nodes that will do as a sample has, each time others: all of them are scored for this pod alone. */
  #someOf(table: ClassTable, accepts: ((node: NodeInfo) => boolean) | undefined): NodeInfo[] {
    const wanted = feasibleWanted(this.#cache.nodes.length, this.#profile.percentageOfNodesToScore);
    const { nodes, next } = table.some(wanted, this.#nextSlot, accepts);
    this.#nextSlot = next;
    return nodes;
  }

  #failure(info: PodInfo, table: ClassTable, filters: readonly Filter[]): NoNode {
    const tallies = [...table.tallies()];
    const beyond = new Map<number, Verdict>();
    for (const slot of filters.length > 0 ? table.slots() : []) {
      const verdict = rejectionOf(info, this.#cache.at(slot)!, filters);
      if (!verdict) continue;
      beyond.set(slot, verdict);
      tallies.push({ ...verdict, nodes: 1 });
    }
    const verdictAt = ({ slot }: NodeInfo) => table.verdictAt(slot) ?? beyond.get(slot);
    return noNode(tallies, verdictAt, this.#cache.nodes.length);
  }

  /** The nodes that will do, for whoever has more to say of them. */
  consider(info: PodInfo): Considered | NoNode {
    const { nodes } = this.#cache;
    const refused = nodes.length === 0 ? this.#noNodes() : this.#refusal(info);
    if (refused) return refused;
    const sample = this.#sample(info, nodes);
    return sample.feasible.length === 0 ? this.failure(sample.verdicts) : { kind: "some", ...sample };
  }

  /** Why those that were looked at will not do. */
  failure(verdicts: ReadonlyMap<number, Verdict>, total = this.#cache.nodes.length): NoNode {
    const tallies = [...verdicts.values()].map((verdict) => ({ ...verdict, nodes: 1 }));
    return noNode(tallies, ({ slot }) => verdicts.get(slot), total);
  }

  /** The best of them; `more` is added to what plugins say, by name. */
  choose(info: PodInfo, feasible: readonly NodeInfo[], more?: ReadonlyMap<string, number>): string {
    if (feasible.length === 1) return feasible[0]!.name;
    const sums = feasible.map(({ name }) => more?.get(name) ?? 0);
    const every = () => true;
    const scorers = scorersOf(info, { nodes: feasible }, this.#cache, this.#profile, this.#world, every);
    addScores(sums, info, feasible, scorers);
    return best(feasible, sums, this.#random);
  }

  #fromSample(info: PodInfo, nodes: readonly NodeInfo[]): CycleResult {
    const { feasible, verdicts } = this.#sample(info, nodes);
    if (feasible.length === 0) return this.failure(verdicts, nodes.length);
    return { kind: "node", name: this.choose(info, feasible) };
  }

  #sample(info: PodInfo, nodes: readonly NodeInfo[]): Omit<Considered, "kind"> {
    const filters = filtersOf(info, this.#cache, this.#profile, this.#world, () => true);
    const wanted = feasibleWanted(nodes.length, this.#profile.percentageOfNodesToScore);
    const feasible: NodeInfo[] = [];
    const verdicts = new Map<number, Verdict>();
    const start = this.#next % nodes.length;
    let tried = 0;
    for (; tried < nodes.length && feasible.length < wanted; tried++) {
      const node = nodes[(start + tried) % nodes.length]!;
      const seen = this.#cache.asSeen(node, info.shape.priority);
      const verdict = rejectionOf(info, seen, filters);
      if (verdict) verdicts.set(node.slot, verdict);
      else feasible.push(node);
    }
    this.#next = (start + tried) % nodes.length;
    return { feasible, verdicts };
  }
}

class LazyFeasible implements Feasible {
  readonly #find: () => NodeInfo[];
  #nodes: NodeInfo[] | undefined;

  constructor(find: () => NodeInfo[]) {
    this.#find = find;
  }

  get nodes(): NodeInfo[] {
    this.#nodes ??= this.#find();
    return this.#nodes;
  }
}

function filtersOf(
  info: PodInfo,
  snapshot: Snapshot,
  profile: SchedulerProfile,
  world: SchedulingWorld,
  wanted: (plugin: SchedulerPlugin) => boolean,
): Filter[] {
  const filters: Filter[] = [];
  for (const { plugin } of profile.plugins) {
    if (!plugin.filter || !plugin.prepare || !wanted(plugin)) continue;
    const prepared = plugin.prepare(info, snapshot, world);
    if (prepared !== undefined) filters.push({ plugin, prepared });
  }
  return filters;
}

interface Scorer extends Filter {
  weight: number;
}

function scorersOf(
  info: PodInfo,
  feasible: Feasible,
  snapshot: Snapshot,
  profile: SchedulerProfile,
  world: SchedulingWorld,
  wanted: (plugin: SchedulerPlugin) => boolean,
): Scorer[] {
  const scorers: Scorer[] = [];
  for (const { plugin, weight } of profile.plugins) {
    if (weight === 0 || !plugin.score || !plugin.prepareScore || !wanted(plugin)) continue;
    const prepared = plugin.prepareScore(info, feasible, snapshot, world);
    if (prepared !== undefined) scorers.push({ plugin, weight, prepared });
  }
  return scorers;
}

function rejectionOf(info: PodInfo, node: NodeInfo, filters: readonly Filter[]): Verdict | undefined {
  for (const { plugin, prepared } of filters) {
    const rejection = plugin.filter!(info, node, prepared);
    if (rejection) return { plugin: plugin.name, rejection };
  }
  return undefined;
}

function addScores(
  sums: number[],
  info: PodInfo,
  nodes: readonly NodeInfo[],
  scorers: readonly Scorer[],
): void {
  for (const { plugin, weight, prepared } of scorers) {
    const scores = nodes.map((node) => plugin.score!(info, node, prepared));
    plugin.normalize?.(scores);
    addWeighted(sums, scores, weight);
  }
}

function addWeighted(sums: number[], scores: readonly number[], weight: number): void {
  for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! + weight * scores[i]!;
}

function noNode(
  tallies: readonly Tally[],
  verdictAt: (node: NodeInfo) => Verdict | undefined,
  total: number,
): NoNode {
  const reasons = new Map<string, number>();
  const rejectedBy = new Set<string>();
  let resolvable = 0;
  for (const { plugin, rejection, nodes } of tallies) {
    rejectedBy.add(plugin);
    if (!rejection.unresolvable) resolvable += nodes;
    for (const reason of rejection.reasons) reasons.set(reason, (reasons.get(reason) ?? 0) + nodes);
  }
  return {
    kind: "none",
    message: fitError(total, reasons),
    rejectedBy,
    resolvable,
    isResolvable: (node) => verdictAt(node)?.rejection.unresolvable === false,
  };
}

/** As upstream words it: `kubectl describe pod` shows it, and people search for it. */
export function fitError(total: number, reasons: ReadonlyMap<string, number>): string {
  const histogram = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${total} nodes are available: ${histogram.join(", ")}.`;
}

/** The highest; of several, any with equal chance. Luck is dear: it is asked once. */
function best(feasible: readonly NodeInfo[], sums: readonly number[], random: Random): string {
  const top = highest(sums);
  let ties = 0;
  for (const sum of sums) if (sum === top) ties++;
  let left = ties === 1 ? 0 : random.int(ties);
  const chosen = sums.findIndex((sum) => sum === top && left-- === 0);
  return feasible[chosen]!.name;
}
