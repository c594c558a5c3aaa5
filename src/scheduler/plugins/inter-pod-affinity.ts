/**
 * InterPodAffinity: pods near to or away from other pods.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
 */
import { type corev1, selectorMatches } from "#api";
import { type NodeInfo, type Pod, type PodInfo, requiredAntiAffinity, type Snapshot } from "../cache.ts";
import {
  defineSchedulerPlugin,
  rejection,
  type SchedulingWorld,
  scoreMax,
  unresolvable,
} from "../define-plugin.ts";

type Term = Readonly<corev1.PodAffinityTerm>;

/** How many matching pods each domain of a key has. */
interface Domains {
  topologyKey: string;
  counts: ReadonlyMap<string, number>;
}

interface Prepared {
  near: readonly Domains[];
  away: readonly Domains[];
  /** Domains that pods already there keep free of this one: `key=value`. */
  forbidden: ReadonlySet<string>;
  /** The first pod of a group that wants to be together may go anywhere. */
  first: boolean;
  wishes: readonly { domains: Domains; weight: number }[];
}

function namespacesOf(term: Term, pod: Pod, world: SchedulingWorld): readonly string[] {
  const named = term.namespaces ?? [];
  if (term.namespaceSelector)
    return [...new Set([...named, ...world.namespacesWith(term.namespaceSelector)])];
  return named.length > 0 ? named : [pod.metadata.namespace ?? ""];
}

function domainsOf(term: Term, pod: Pod, snapshot: Snapshot, world: SchedulingWorld): Domains {
  const counts = new Map<string, number>();
  for (const [name, count] of snapshot.matching(namespacesOf(term, pod, world), term.labelSelector)) {
    const domain = snapshot.node(name)?.labels[term.topologyKey];
    if (domain !== undefined) counts.set(domain, (counts.get(domain) ?? 0) + count);
  }
  return { topologyKey: term.topologyKey, counts };
}

function termMatches(term: Term, owner: Pod, other: Pod, world: SchedulingWorld): boolean {
  return (
    term.labelSelector !== undefined &&
    namespacesOf(term, owner, world).includes(other.metadata.namespace ?? "") &&
    selectorMatches(term.labelSelector, other.metadata.labels ?? {})
  );
}

/** Anti-affinity holds both ways: pods that are there already may keep this one away. */
function forbiddenDomains(pod: Pod, snapshot: Snapshot, world: SchedulingWorld): Set<string> {
  const forbidden = new Set<string>();
  for (const { info, nodeName } of snapshot.repelling.values()) {
    for (const term of requiredAntiAffinity(info.pod)) {
      if (!termMatches(term, info.pod, pod, world)) continue;
      const domain = snapshot.node(nodeName)?.labels[term.topologyKey];
      if (domain !== undefined) forbidden.add(`${term.topologyKey}=${domain}`);
    }
  }
  return forbidden;
}

const nothing = { near: [], away: [], forbidden: new Set<string>(), first: false, wishes: [] };

function prepareFilter({ pod }: PodInfo, snapshot: Snapshot, world: SchedulingWorld): Prepared | undefined {
  const nearTerms = pod.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const awayTerms = requiredAntiAffinity(pod);
  if (nearTerms.length + awayTerms.length + snapshot.repelling.size === 0) return undefined;
  const near = nearTerms.map((term) => domainsOf(term, pod, snapshot, world));
  const away = awayTerms.map((term) => domainsOf(term, pod, snapshot, world));
  const alone = near.every(({ counts }) => counts.size === 0);
  const first = alone && nearTerms.every((term) => termMatches(term, pod, pod, world));
  return { ...nothing, near, away, first, forbidden: forbiddenDomains(pod, snapshot, world) };
}

function prepareWishes({ pod }: PodInfo, snapshot: Snapshot, world: SchedulingWorld): Prepared | undefined {
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  const wish = (sign: 1 | -1) => (each: Readonly<corev1.WeightedPodAffinityTerm>) => ({
    domains: domainsOf(each.podAffinityTerm, pod, snapshot, world),
    weight: sign * each.weight,
  });
  const wishes = [
    ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(wish(1)),
    ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(wish(-1)),
  ];
  return wishes.length > 0 ? { ...nothing, wishes } : undefined;
}

function countAt(node: NodeInfo, { topologyKey, counts }: Domains): number {
  const domain = node.labels[topologyKey];
  return domain === undefined ? 0 : (counts.get(domain) ?? 0);
}

const notNear = unresolvable("node(s) didn't match pod affinity rules");
const notAway = rejection("node(s) didn't match pod anti-affinity rules");
const keptAway = rejection("node(s) didn't satisfy existing pods anti-affinity rules");

export const interPodAffinity = defineSchedulerPlugin<Prepared>({
  name: "InterPodAffinity",
  wakes: [
    { on: "NodeAdded" },
    { on: "NodeChanged" },
    { on: "PodAdded" },
    { on: "PodChanged" },
    { on: "PodDeleted" },
  ],
  prepare: prepareFilter,
  filter(_info, node, { near, away, forbidden, first }) {
    for (const domains of near) {
      if (node.labels[domains.topologyKey] === undefined) return notNear;
      if (!first && countAt(node, domains) === 0) return notNear;
    }
    if (away.some((domains) => countAt(node, domains) > 0)) return notAway;
    for (const each of forbidden) {
      const equals = each.indexOf("=");
      if (node.labels[each.slice(0, equals)] === each.slice(equals + 1)) return keptAway;
    }
    return undefined;
  },
  prepareScore: (info, _feasible, snapshot, world) => prepareWishes(info, snapshot, world),
  score: (_info, node, { wishes }) =>
    wishes.reduce((sum, { domains, weight }) => sum + weight * countAt(node, domains), 0),
  normalize(scores) {
    const [min, max] = [Math.min(...scores), Math.max(...scores)];
    for (let i = 0; i < scores.length; i++) {
      scores[i] = max === min ? 0 : Math.floor((scoreMax * (scores[i]! - min)) / (max - min));
    }
  },
});
