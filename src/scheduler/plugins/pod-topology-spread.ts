/**
 * PodTopologySpread: keeps pods of a kind apart over zones, hosts or whatever label divides the nodes.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
 */
import { type corev1, isTolerated, type metav1, requiredNodes, selectorMatches } from "#api";
import type { NodeInfo, Pod, PodInfo, Snapshot } from "../cache.ts";
import {
  defineSchedulerPlugin,
  rejection,
  type SchedulingWorld,
  scoreMax,
  unresolvable,
} from "../define-plugin.ts";

type When = "DoNotSchedule" | "ScheduleAnyway";

interface Constraint {
  topologyKey: string;
  maxSkew: number;
  minDomains: number;
  selector: metav1.LabelSelector | undefined;
  honorAffinity: boolean;
  honorTaints: boolean;
}

const hostnameKey = "kubernetes.io/hostname";

/** What pods of a Service or a ReplicaSet get that ask for nothing. */
const defaults = [
  { topologyKey: hostnameKey, maxSkew: 3 },
  { topologyKey: "topology.kubernetes.io/zone", maxSkew: 5 },
];

interface Spread {
  constraint: Constraint;
  /** Matching pods by domain; every domain of an eligible node is in it. */
  counts: Map<string, number>;
  /** The least of them: what the skew is measured against. */
  least: number;
  /** The pod counts itself. */
  self: number;
}

interface SoftSpread {
  constraint: Constraint;
  /** How many matching pods the node's domain has; undefined: the node has no such domain. */
  countAt(node: NodeInfo): number | undefined;
  weight: number;
}

interface Prepared {
  hard: readonly Spread[];
  soft: readonly SoftSpread[];
  /** Nodes without the labels get nothing; for default constraints they are no worse. */
  strict: boolean;
}

function constraintsOf(pod: Pod, when: When): Constraint[] {
  return (pod.spec.topologySpreadConstraints ?? [])
    .filter((each) => each.whenUnsatisfiable === when)
    .map((each) => ({
      topologyKey: each.topologyKey,
      maxSkew: each.maxSkew,
      minDomains: each.minDomains ?? 1,
      selector: withMatchLabelKeys(each, pod),
      honorAffinity: each.nodeAffinityPolicy !== "Ignore",
      honorTaints: each.nodeTaintsPolicy === "Honor",
    }));
}

/** `matchLabelKeys` narrows the selector to the pod's own values: usually to its revision. */
function withMatchLabelKeys(
  constraint: Readonly<corev1.TopologySpreadConstraint>,
  pod: Pod,
): metav1.LabelSelector | undefined {
  const own = (constraint.matchLabelKeys ?? []).flatMap((key) => {
    const value = pod.metadata.labels?.[key];
    return value === undefined ? [] : [{ key, operator: "In", values: [value] }];
  });
  if (own.length === 0 || !constraint.labelSelector) return constraint.labelSelector;
  const { matchExpressions = [] } = constraint.labelSelector;
  return { ...constraint.labelSelector, matchExpressions: [...matchExpressions, ...own] };
}

function defaultConstraints(pod: Pod, world: SchedulingWorld): Constraint[] {
  const matchLabels = world.kinSelector(pod);
  if (!matchLabels) return [];
  return defaults.map((each) => ({
    ...each,
    minDomains: 1,
    selector: { matchLabels: { ...matchLabels } },
    honorAffinity: true,
    honorTaints: false,
  }));
}

/** The nodes that count for a constraint: labelled for all of them, and open to the pod as its policies say. */
function eligibility(pod: Pod, constraints: readonly Constraint[], strict: boolean) {
  const allowed = requiredNodes(pod);
  return (node: NodeInfo, { topologyKey, honorAffinity, honorTaints }: Constraint): boolean => {
    if (strict && !constraints.every((each) => node.labels[each.topologyKey] !== undefined)) return false;
    if (node.labels[topologyKey] === undefined) return false;
    if (honorAffinity && allowed && !allowed(node)) return false;
    return (
      !honorTaints ||
      !node.taints.some((taint) => taint.effect !== "PreferNoSchedule" && !isTolerated(pod, taint))
    );
  };
}

function countDomains(
  pod: Pod,
  constraint: Constraint,
  snapshot: Snapshot,
  isEligible: (node: NodeInfo, constraint: Constraint) => boolean,
): Map<string, number> {
  const byNode = snapshot.matching([pod.metadata.namespace ?? ""], constraint.selector);
  const counts = new Map<string, number>();
  for (const node of snapshot.nodes) {
    if (!isEligible(node, constraint)) continue;
    const domain = node.labels[constraint.topologyKey]!;
    counts.set(domain, (counts.get(domain) ?? 0) + (byNode.get(node.name) ?? 0));
  }
  return counts;
}

function prepareHard({ pod }: PodInfo, snapshot: Snapshot): Prepared | undefined {
  const constraints = constraintsOf(pod, "DoNotSchedule");
  if (constraints.length === 0) return undefined;
  const isEligible = eligibility(pod, constraints, true);
  const hard = constraints.map((constraint) => {
    const counts = countDomains(pod, constraint, snapshot, isEligible);
    const least = counts.size < constraint.minDomains ? 0 : Math.min(...counts.values());
    const { selector } = constraint;
    const self = selector && selectorMatches(selector, pod.metadata.labels ?? {}) ? 1 : 0;
    return { constraint, counts, least, self };
  });
  return { hard, soft: [], strict: true };
}

function prepareSoft(
  { pod }: PodInfo,
  feasible: readonly NodeInfo[],
  snapshot: Snapshot,
  world: SchedulingWorld,
): Prepared | undefined {
  const own = constraintsOf(pod, "ScheduleAnyway");
  const asked = pod.spec.topologySpreadConstraints?.length ?? 0;
  const constraints = asked > 0 ? own : defaultConstraints(pod, world);
  if (constraints.length === 0) return undefined;
  const strict = asked > 0;
  const isEligible = eligibility(pod, constraints, strict);
  const soft = constraints.map((constraint) => softSpread(pod, constraint, feasible, snapshot, isEligible));
  return { hard: [], soft, strict };
}

function softSpread(
  pod: Pod,
  constraint: Constraint,
  feasible: readonly NodeInfo[],
  snapshot: Snapshot,
  isEligible: (node: NodeInfo, constraint: Constraint) => boolean,
): SoftSpread {
  const { topologyKey } = constraint;
  if (topologyKey === hostnameKey) {
    // Every node is a domain of its own: its pods are counted already, and no other node need be looked at.
    const byNode = snapshot.matching([pod.metadata.namespace ?? ""], constraint.selector);
    const countAt = (node: NodeInfo) =>
      topologyKey in node.labels ? (byNode.get(node.name) ?? 0) : undefined;
    return { constraint, countAt, weight: Math.log(feasible.length + 2) };
  }
  const counts = countDomains(pod, constraint, snapshot, isEligible);
  const countAt = (node: NodeInfo) => {
    const domain = node.labels[topologyKey];
    return domain === undefined ? undefined : (counts.get(domain) ?? 0);
  };
  return { constraint, countAt, weight: Math.log(counts.size + 2) };
}

const skewed = rejection("node(s) didn't match pod topology spread constraints");
const unlabelled = unresolvable(
  "node(s) didn't match pod topology spread constraints (missing required label)",
);

/** Above every real score: made into 0 by `normalize`. */
const ignored = Number.MAX_SAFE_INTEGER;

export const podTopologySpread = defineSchedulerPlugin<Prepared>({
  name: "PodTopologySpread",
  wakes: [
    { on: "NodeAdded" },
    { on: "NodeChanged" },
    { on: "PodAdded" },
    { on: "PodChanged" },
    { on: "PodDeleted" },
  ],
  prepare: (info, snapshot) => prepareHard(info, snapshot),
  filter(_info, node, { hard }) {
    for (const { constraint, counts, least, self } of hard) {
      const domain = node.labels[constraint.topologyKey];
      if (domain === undefined) return unlabelled;
      if ((counts.get(domain) ?? 0) + self - least > constraint.maxSkew) return skewed;
    }
    return undefined;
  },
  prepareScore: prepareSoft,
  score(_info, node, { soft, strict }) {
    let score = 0;
    for (const { constraint, countAt, weight } of soft) {
      const count = countAt(node);
      if (count === undefined && strict) return ignored;
      if (count !== undefined) score += count * weight + (constraint.maxSkew - 1);
    }
    return Math.round(score);
  },
  normalize(scores) {
    const real = scores.filter((score) => score !== ignored);
    const [min, max] = [Math.min(...real), Math.max(...real)];
    for (let i = 0; i < scores.length; i++) {
      const score = scores[i]!;
      if (score === ignored) scores[i] = 0;
      else scores[i] = max === 0 ? scoreMax : Math.floor((scoreMax * (max + min - score)) / max);
    }
  },
});
