/**
 * Where resources could come from, and which NUMA nodes serve all of them best. Pure.
 * https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/
 */
import { averageDistance, countOf, isNarrower, maskOf, type NumaMask, type NumaNode } from "./numa.ts";

/** One set of nodes that a resource could come from; without a set: from any. */
export interface Hint {
  readonly mask: NumaMask | undefined;
  /** No smaller set would do. */
  readonly preferred: boolean;
}

/** By resource: undefined has no preference, an empty list no possibility. */
export type Hints = ReadonlyMap<string, readonly Hint[] | undefined>;

export type TopologyPolicy = "none" | "best-effort" | "restricted" | "single-numa-node";

export interface TopologyRules {
  readonly policy: TopologyPolicy;
  readonly preferClosest: boolean;
  readonly nodes: readonly Pick<NumaNode, "id" | "distances">[];
}

const anyNode: Hint = { mask: undefined, preferred: true };

/** One list for each resource. */
function listsOf(providers: readonly Hints[]): (readonly Hint[])[] {
  return providers.flatMap((hints) => {
    if (hints.size === 0) return [[anyNode]];
    return [...hints.values()].map((list) => {
      if (list === undefined) return [anyNode];
      return list.length > 0 ? list : [{ mask: undefined, preferred: false }];
    });
  });
}

/** What one choice from each list so far comes to. */
interface Merged {
  mask: NumaMask;
  preferred: boolean;
  /** All sets so far were this one; undefined: there was none. */
  common: NumaMask | undefined;
}

function merge(before: Merged, { mask, preferred }: Hint): Merged {
  if (mask === undefined) return { ...before, preferred: before.preferred && preferred };
  const isSame = before.common === undefined || before.common === mask;
  return {
    mask: before.mask & mask,
    preferred: before.preferred && preferred && isSame,
    common: before.common ?? mask,
  };
}

/**
 * Everything that choices from the lists can come to. What is the same in the end is followed once: the lists of many
 * resources on many nodes have more combinations than can be gone through.
 */
function combinations(lists: readonly (readonly Hint[])[], all: NumaMask): Merged[] {
  let reached: Merged[] = [{ mask: all, preferred: true, common: undefined }];
  for (const list of lists) {
    const next = new Map<string, Merged>();
    for (const before of reached) {
      for (const hint of list) {
        const merged = merge(before, hint);
        // What is not preferred stays so, whatever it had in common.
        const common = merged.preferred ? merged.common : -1;
        next.set(`${merged.mask} ${common}`, merged);
      }
    }
    reached = [...next.values()];
  }
  return reached;
}

/** The most nodes that any resource cannot do without. */
function widestNeed(lists: readonly (readonly Hint[])[]): number {
  const needs = lists.map((list) =>
    list.reduce((least, { mask }) => {
      if (mask === undefined) return least;
      return Math.min(least, countOf(mask));
    }, Number.POSITIVE_INFINITY),
  );
  return Math.max(0, ...needs.filter(Number.isFinite));
}

type Compare = (a: Hint & { mask: NumaMask }, b: Hint & { mask: NumaMask }) => boolean;

/** Whether the first serves better than the second. */
function betterThan({ preferClosest, nodes, policy }: TopologyRules, need: number): Compare {
  const fits = (a: NumaMask, b: NumaMask) => {
    if (preferClosest && policy !== "single-numa-node" && countOf(a) === countOf(b)) {
      const nearer = averageDistance(a, nodes) - averageDistance(b, nodes);
      if (nearer !== 0) return nearer < 0;
    }
    return isNarrower(a, b);
  };
  return (a, b) => {
    if (a.preferred !== b.preferred) return a.preferred;
    if (a.preferred) return fits(a.mask, b.mask);
    // Neither is good: as near as can be to what the most demanding resource needs, and rather too few nodes than too many.
    const [one, other] = [countOf(a.mask), countOf(b.mask)];
    if (one === other) return fits(a.mask, b.mask);
    if (one > need || other > need) return one < other;
    return one > other;
  };
}

function best(rules: TopologyRules, lists: readonly (readonly Hint[])[]): Hint {
  const all = maskOf(rules.nodes.map(({ id }) => id));
  const better = betterThan(rules, widestNeed(lists));
  const candidates = combinations(lists, all).filter(({ mask }) => mask !== 0);
  if (candidates.length === 0) return { mask: all, preferred: false };
  const { mask, preferred } = candidates.reduce((a, b) => (better(b, a) ? b : a));
  return { mask, preferred };
}

/** Hints that a single node serves. */
const isSingle = ({ mask, preferred }: Hint) => preferred && (mask === undefined || countOf(mask) === 1);

/** Which nodes all of it shall come from, and whether the policy allows that. */
export function decide(rules: TopologyRules, providers: readonly Hints[]): { hint: Hint; admitted: boolean } {
  if (rules.policy === "none") return { hint: anyNode, admitted: true };
  const lists = listsOf(providers);
  if (rules.policy !== "single-numa-node") {
    const hint = best(rules, lists);
    return { hint, admitted: rules.policy === "best-effort" || hint.preferred };
  }
  const hint = best(
    rules,
    lists.map((list) => list.filter(isSingle)),
  );
  const isAll = hint.mask === maskOf(rules.nodes.map(({ id }) => id));
  return { hint: isAll ? { mask: undefined, preferred: hint.preferred } : hint, admitted: hint.preferred };
}

/**
 * Sets of nodes that have enough. `total`: what the nodes of a set have at all, `free`: what could be taken there now.
 */
export function hintsBySize(
  masks: readonly NumaMask[],
  nodeCount: number,
  enough: { total(mask: NumaMask): boolean; free(mask: NumaMask): boolean },
): Hint[] {
  let least = nodeCount;
  const possible: NumaMask[] = [];
  for (const mask of masks) {
    if (enough.total(mask)) least = Math.min(least, countOf(mask));
    if (enough.free(mask)) possible.push(mask);
  }
  return possible.map((mask) => ({ mask, preferred: countOf(mask) === least }));
}
