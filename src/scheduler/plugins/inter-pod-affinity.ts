/**
 * InterPodAffinity: pods near to or away from other pods. What those that are there already want counts as well.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
 */
import { selectorMatches } from "#api";
import {
  narrowed,
  type PlacedTerm,
  requiredAffinity,
  requiredAntiAffinity,
  type TermKind,
} from "../affinity-terms.ts";
import type { Snapshot } from "../cache.ts";
import {
  defineSchedulerPlugin,
  highest,
  rejection,
  type SchedulingWorld,
  scoreMax,
  unresolvable,
} from "../define-plugin.ts";
import type { NodeInfo } from "../node-info.ts";
import type { AffinityTerm, Pod, PodInfo } from "../pod-info.ts";
import type { DomainCounts, PodMatcher, Topology } from "../topology.ts";

/** How much each pod of the node's domain is liked. */
interface Wish {
  topology: Topology;
  at(slot: number): number;
}

interface Prepared {
  near: readonly DomainCounts[];
  away: readonly DomainCounts[];
  /** Terms of pods already there that keep this one out of their domains. */
  keepers: readonly PlacedTerm[];
  /** The first pod of a group that wants to be together may go anywhere. */
  first: boolean;
  wishes: readonly Wish[];
}

export interface InterPodAffinityArgs {
  /** What the required affinity of a pod that is there weighs for one that comes. */
  hardPodAffinityWeight?: number;
  ignorePreferredTermsOfExistingPods?: boolean;
}

type Signs = Record<TermKind, number>;

function signsOf(args: InterPodAffinityArgs): Signs {
  const { hardPodAffinityWeight = 1, ignorePreferredTermsOfExistingPods = false } = args;
  const preference = ignorePreferredTermsOfExistingPods ? 0 : 1;
  return { keepsAway: 0, draws: hardPodAffinityWeight, prefers: preference, avoids: -preference };
}

function namespacesOf(term: AffinityTerm, own: string, world: SchedulingWorld): readonly string[] {
  const named = term.namespaces ?? [];
  if (term.namespaceSelector)
    return [...new Set([...named, ...world.namespacesWith(term.namespaceSelector)])].sort();
  return named.length > 0 ? named : [own];
}

function matcherOf(term: AffinityTerm, pod: Pod, world: SchedulingWorld): PodMatcher {
  return {
    namespaces: namespacesOf(term, pod.metadata.namespace ?? "", world),
    selector: term.labelSelector,
  };
}

function termMatches(term: AffinityTerm, owner: string, other: PodInfo, world: SchedulingWorld): boolean {
  return (
    term.labelSelector !== undefined &&
    namespacesOf(term, owner, world).includes(other.shape.namespace) &&
    selectorMatches(term.labelSelector, other.shape.labels)
  );
}

/** The terms of pods already there that mean this pod. */
function aboutPod(
  info: PodInfo,
  snapshot: Snapshot,
  world: SchedulingWorld,
  wanted: (placed: PlacedTerm) => boolean,
): PlacedTerm[] {
  const found: PlacedTerm[] = [];
  for (const placed of snapshot.placedTerms.values()) {
    if (wanted(placed) && concerns(placed, info, world)) found.push(placed);
  }
  return found;
}

function concerns(placed: PlacedTerm, info: PodInfo, world: SchedulingWorld): boolean {
  // Which namespaces a selector means may change.
  if (placed.term.namespaceSelector) return termMatches(placed.term, placed.namespace, info, world);
  let verdict = placed.verdicts.get(info.shape);
  if (verdict === undefined) {
    verdict = termMatches(placed.term, placed.namespace, info, world);
    placed.verdicts.set(info.shape, verdict);
  }
  return verdict;
}

const nothing: Prepared = { near: [], away: [], keepers: [], first: false, wishes: [] };

function prepareFilter(info: PodInfo, snapshot: Snapshot, world: SchedulingWorld): Prepared | undefined {
  const { pod } = info;
  const nearTerms = requiredAffinity(pod);
  const awayTerms = requiredAntiAffinity(pod);
  const keepers = aboutPod(info, snapshot, world, ({ kind }) => kind === "keepsAway");
  if (nearTerms.length + awayTerms.length + keepers.length === 0) return undefined;
  // Only pods that match every term are company.
  const company = nearTerms.map((term) => matcherOf(term, pod, world));
  const near = nearTerms.map(({ topologyKey }) =>
    snapshot.counts({ topologyKey, matchers: company, terminating: true }),
  );
  const away = awayTerms.map((term) =>
    snapshot.counts({
      topologyKey: term.topologyKey,
      matchers: [matcherOf(term, pod, world)],
      terminating: true,
    }),
  );
  const own = pod.metadata.namespace ?? "";
  const first =
    near.every(({ total }) => total === 0) && nearTerms.every((term) => termMatches(term, own, info, world));
  return { ...nothing, near, away, first, keepers };
}

function prepareWishes(
  info: PodInfo,
  snapshot: Snapshot,
  world: SchedulingWorld,
  signs: Signs,
): Prepared | undefined {
  const { pod } = info;
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  const own = (sign: 1 | -1) => (each: { podAffinityTerm: AffinityTerm; weight: number }) => {
    const { topologyKey } = each.podAffinityTerm;
    const matchers = [matcherOf(narrowed(each.podAffinityTerm, pod), pod, world)];
    const counts = snapshot.counts({ topologyKey, matchers, terminating: true });
    const at = (slot: number) => sign * each.weight * (counts.at(slot) ?? 0);
    return { topology: counts.topology, at };
  };
  const theirs = (placed: PlacedTerm): Wish => {
    const { topology, counts } = placed;
    const weight = signs[placed.kind] * placed.weight;
    return { topology, at: (slot) => weight * (counts[topology.domainAt(slot)] ?? 0) };
  };
  const wishes = [
    ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(own(1)),
    ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(own(-1)),
    ...aboutPod(info, snapshot, world, ({ kind }) => signs[kind] !== 0).map(theirs),
  ].filter(({ topology }) => !topology.isUniform(snapshot.nodes.length));
  return wishes.length > 0 ? { ...nothing, wishes } : undefined;
}

function isKeptOut({ topology, counts }: PlacedTerm, { slot }: NodeInfo): boolean {
  const domain = topology.domainAt(slot);
  return domain >= 0 && (counts[domain] ?? 0) > 0;
}

const notNear = unresolvable("node(s) didn't match pod affinity rules");
const notAway = rejection("node(s) didn't match pod anti-affinity rules");
const keptAway = rejection("node(s) didn't satisfy existing pods anti-affinity rules");

export function interPodAffinity(args: InterPodAffinityArgs = {}) {
  const signs = signsOf(args);
  return defineSchedulerPlugin<Prepared>({
    name: "InterPodAffinity",
    wakes: [
      { on: "NodeAdded" },
      { on: "NodeChanged" },
      { on: "PodAdded" },
      { on: "PodChanged" },
      { on: "PodDeleted" },
    ],
    prepare: prepareFilter,
    filter(_info, node, { near, away, keepers, first }) {
      for (const counts of near) {
        const company = counts.at(node.slot);
        if (company === undefined || (!first && company === 0)) return notNear;
      }
      for (const counts of away) if ((counts.at(node.slot) ?? 0) > 0) return notAway;
      for (const keeper of keepers) if (isKeptOut(keeper, node)) return keptAway;
      return undefined;
    },
    prepareScore: (info, _feasible, snapshot, world) => prepareWishes(info, snapshot, world, signs),
    score(_info, { slot }, { wishes }) {
      let sum = 0;
      for (const wish of wishes) sum += wish.at(slot);
      return sum;
    },
    normalize(scores) {
      const max = highest(scores);
      let min = max;
      for (const score of scores) if (score < min) min = score;
      for (let i = 0; i < scores.length; i++) {
        scores[i] = max === min ? 0 : Math.floor((scoreMax * (scores[i]! - min)) / (max - min));
      }
    },
  });
}
