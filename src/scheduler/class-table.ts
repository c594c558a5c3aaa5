/**
 * What the local plugins say of every node for pods of one shape, remembered between cycles: a thousand pods of a
 * Deployment cost little more than one, because each placement changes one node. Nodes that will do lie in buckets by
 * score, so the best is at hand. See docs/decisions/0007-scheduling-by-class.md.
 */
import type { Random } from "#base";
import type { SchedulerCache } from "./cache.ts";
import type { Rejection, SchedulerPlugin, SchedulingWorld } from "./define-plugin.ts";
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo } from "./pod-info.ts";
import type { SchedulerProfile } from "./profile.ts";

interface Prepared {
  plugin: SchedulerPlugin;
  weight: number;
  prepared: unknown;
}

/** A score that means something only beside those of all other nodes. */
interface RawScores extends Prepared {
  values: number[];
}

export interface Verdict {
  plugin: string;
  rejection: Rejection;
}

/** How many nodes a plugin has turned down for the same reasons. */
export interface Tally extends Verdict {
  nodes: number;
}

const noNodes = { nodes: [] };

export class ClassTable {
  readonly #info: PodInfo;
  readonly #cache: SchedulerCache;
  readonly #filters: readonly Prepared[];
  readonly #scorers: readonly Prepared[];
  readonly #epoch: string;
  /** Only these must be made comparable before they count. */
  readonly raws: readonly RawScores[];
  readonly #tallies = new Map<Rejection, Tally>();
  readonly #verdicts: (Tally | undefined)[] = [];
  /** -1: the node will not do. */
  readonly #scores: number[] = [];
  readonly #buckets: number[][] = [];
  /** Where in its bucket each node lies. */
  readonly #places: number[] = [];
  #feasible = 0;
  #seen = -1;

  constructor(info: PodInfo, cache: SchedulerCache, profile: SchedulerProfile, world: SchedulingWorld) {
    this.#info = info;
    this.#cache = cache;
    this.#epoch = epochOf(cache);
    const local = profile.plugins.filter(({ plugin }) => plugin.local);
    this.#filters = local.flatMap(({ plugin, weight }) => {
      const prepared = plugin.filter && plugin.prepare?.(info, cache, world);
      return prepared === undefined ? [] : [{ plugin, weight, prepared }];
    });
    const scorers = local.flatMap(({ plugin, weight }) => {
      if (weight === 0 || !plugin.score) return [];
      const prepared = plugin.prepareScore?.(info, noNodes, cache, world);
      return prepared === undefined ? [] : [{ plugin, weight, prepared }];
    });
    this.#scorers = scorers.filter(({ plugin }) => !plugin.normalize);
    this.raws = scorers.filter(({ plugin }) => plugin.normalize).map((each) => ({ ...each, values: [] }));
  }

  /** Something that no single node shows has changed: make another. */
  get isStale(): boolean {
    return this.#epoch !== epochOf(this.#cache);
  }

  get feasible(): number {
    return this.#feasible;
  }

  /** Looks again at the nodes that changed. */
  refresh(): void {
    const cache = this.#cache;
    if (this.#seen >= 0 && cache.remembers(this.#seen)) {
      for (const slot of cache.changedSince(this.#seen)) this.#look(slot);
    } else {
      for (let slot = 0; slot < cache.slots; slot++) this.#look(slot);
    }
    this.#seen = cache.changes;
  }

  /** Of a node that will do, all local scores but the raw ones together. */
  scoreAt(slot: number): number {
    return this.#scores[slot] ?? -1;
  }

  verdictAt(slot: number): Verdict | undefined {
    return this.#verdicts[slot];
  }

  /** What all nodes together were turned down for. */
  tallies(): Iterable<Tally> {
    return this.#tallies.values();
  }

  *slots(): Generator<number> {
    for (let slot = 0; slot < this.#scores.length; slot++) if (this.#scores[slot]! >= 0) yield slot;
  }

  /** So many of the nodes that will do, from a place on, and the place after them. */
  some(
    wanted: number,
    from: number,
    accepts?: (node: NodeInfo) => boolean,
  ): { nodes: NodeInfo[]; next: number } {
    const scores = this.#scores;
    const { length } = scores;
    const nodes: NodeInfo[] = [];
    let slot = from < length ? from : 0;
    for (let left = length; left > 0 && nodes.length < wanted; left--) {
      if (scores[slot]! >= 0) {
        const node = this.#cache.at(slot)!;
        if (!accepts || accepts(node)) nodes.push(node);
      }
      if (++slot === length) slot = 0;
    }
    return { nodes, next: slot };
  }

  /** Any of the best that `accepts` does not turn down, with equal chance; undefined: there is none. */
  best(random: Random, accepts?: (node: NodeInfo) => boolean): NodeInfo | undefined {
    for (let score = this.#buckets.length - 1; score >= 0; score--) {
      const bucket = this.#buckets[score];
      if (!bucket || bucket.length === 0) continue;
      const found = this.#anyOf(bucket, random, accepts);
      if (found) return found;
    }
    return undefined;
  }

  /** Draws without putting back: near the first draw there would be no equal chance. */
  #anyOf(
    bucket: number[],
    random: Random,
    accepts: ((node: NodeInfo) => boolean) | undefined,
  ): NodeInfo | undefined {
    for (let left = bucket.length; left > 0; left--) {
      const drawn = random.int(left);
      const slot = bucket[drawn]!;
      const node = this.#cache.at(slot)!;
      if (!accepts || accepts(node)) return node;
      const last = bucket[left - 1]!;
      bucket[drawn] = last;
      this.#places[last] = drawn;
      bucket[left - 1] = slot;
      this.#places[slot] = left - 1;
    }
    return undefined;
  }

  #look(slot: number): void {
    const there = this.#cache.at(slot);
    this.#leaveBucket(slot);
    this.#untally(slot);
    this.#scores[slot] = -1;
    if (!there) return;
    const node = this.#cache.asSeen(there, this.#info.shape.priority);
    const verdict = this.#judge(node);
    if (verdict) {
      this.#tally(slot, verdict);
      return;
    }
    let score = 0;
    for (const { plugin, weight, prepared } of this.#scorers)
      score += weight * plugin.score!(this.#info, node, prepared);
    for (const raw of this.raws) raw.values[slot] = raw.plugin.score!(this.#info, node, raw.prepared);
    this.#enterBucket(slot, score);
  }

  #tally(slot: number, { plugin, rejection }: Verdict): void {
    const tally = this.#tallies.get(rejection) ?? { plugin, rejection, nodes: 0 };
    tally.nodes++;
    this.#tallies.set(rejection, tally);
    this.#verdicts[slot] = tally;
  }

  #untally(slot: number): void {
    const tally = this.#verdicts[slot];
    if (!tally) return;
    this.#verdicts[slot] = undefined;
    if (--tally.nodes === 0) this.#tallies.delete(tally.rejection);
  }

  #judge(node: NodeInfo): Verdict | undefined {
    for (const { plugin, prepared } of this.#filters) {
      const rejection = plugin.filter!(this.#info, node, prepared);
      if (rejection) return { plugin: plugin.name, rejection };
    }
    return undefined;
  }

  #enterBucket(slot: number, score: number): void {
    while (this.#buckets.length <= score) this.#buckets.push([]);
    this.#scores[slot] = score;
    this.#places[slot] = this.#buckets[score]!.push(slot) - 1;
    this.#feasible++;
  }

  #leaveBucket(slot: number): void {
    const score = this.scoreAt(slot);
    if (score < 0) return;
    const bucket = this.#buckets[score]!;
    const last = bucket.pop()!;
    if (last !== slot) {
      const place = this.#places[slot]!;
      bucket[place] = last;
      this.#places[last] = place;
    }
    this.#feasible--;
  }
}

function epochOf(cache: SchedulerCache): string {
  return `${cache.imagesEpoch}/${cache.nodesWithSoftTaints > 0}`;
}
