/**
 * PodTopologySpread: keeps pods of a kind apart over zones, hosts or whatever label divides the nodes.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/
 */
import { type corev1, isTolerated, type metav1, requiredNodes, selectorMatches } from "#api";
import type { Snapshot } from "../cache.ts";
import {
  defineSchedulerPlugin,
  type Feasible,
  highest,
  rejection,
  type SchedulingWorld,
  scoreMax,
  unresolvable,
} from "../define-plugin.ts";
import type { NodeInfo } from "../node-info.ts";
import type { Pod, PodInfo } from "../pod-info.ts";
import type { CountQuestion, DomainCounts, Topology } from "../topology.ts";

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

type DefaultConstraint = Pick<
  corev1.TopologySpreadConstraint,
  "topologyKey" | "maxSkew" | "whenUnsatisfiable"
>;

/** What pods of a Service or a ReplicaSet get that ask for nothing. */
const systemDefaults: readonly DefaultConstraint[] = [
  { topologyKey: hostnameKey, maxSkew: 3, whenUnsatisfiable: "ScheduleAnyway" },
  { topologyKey: "topology.kubernetes.io/zone", maxSkew: 5, whenUnsatisfiable: "ScheduleAnyway" },
];

export interface SpreadArgs {
  defaultingType?: "System" | "List";
  defaultConstraints?: readonly DefaultConstraint[];
}

interface Defaults {
  constraints: readonly DefaultConstraint[];
  isSystem: boolean;
}

interface Spread {
  maxSkew: number;
  counts: DomainCounts;
  /** In the domain with the fewest: what the skew is measured against. */
  least: number;
  /** The pod counts itself. */
  self: number;
}

interface SoftSpread {
  maxSkew: number;
  counts: DomainCounts;
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

function constraintsFor(
  info: PodInfo,
  world: SchedulingWorld,
  defaults: Defaults,
  when: When,
): readonly Constraint[] {
  if (info.pod.spec.topologySpreadConstraints?.length) return constraintsOf(info.pod, when);
  const wanted = defaults.constraints.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when);
  const selector = wanted.length > 0 ? world.kinSelector(info) : undefined;
  if (!selector) return [];
  return wanted.map(({ topologyKey, maxSkew }) => ({
    topologyKey,
    maxSkew,
    minDomains: 1,
    selector,
    honorAffinity: true,
    honorTaints: false,
  }));
}

/** The nodes that count for a constraint: labelled for all of them, and open to the pod as its policies say. */
function eligibility(pod: Pod, constraint: Constraint, keys: readonly string[]): CountQuestion["eligible"] {
  const { honorAffinity, honorTaints } = constraint;
  const allowed = honorAffinity ? requiredNodes(pod) : undefined;
  const { nodeSelector, affinity, tolerations } = pod.spec;
  const chosen = allowed && [
    nodeSelector,
    affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution,
  ];
  const of = (node: NodeInfo): boolean => {
    if (!keys.every((key) => node.labels[key] !== undefined)) return false;
    if (allowed && !allowed(node)) return false;
    return (
      !honorTaints ||
      !node.taints.some((taint) => taint.effect !== "PreferNoSchedule" && !isTolerated(pod, taint))
    );
  };
  return { key: JSON.stringify([keys, chosen, honorTaints ? (tolerations ?? []) : false]), of };
}

function countsOf(
  pod: Pod,
  constraint: Constraint,
  keys: readonly string[],
  snapshot: Snapshot,
): DomainCounts {
  const { topologyKey, selector } = constraint;
  const eligible = eligibility(pod, constraint, keys);
  const matchers = [{ namespaces: [pod.metadata.namespace ?? ""], selector }];
  return snapshot.counts({ topologyKey, matchers, terminating: false, ...(eligible && { eligible }) });
}

function prepareHard(
  info: PodInfo,
  snapshot: Snapshot,
  world: SchedulingWorld,
  defaults: Defaults,
): Prepared | undefined {
  const { pod, shape } = info;
  const constraints = constraintsFor(info, world, defaults, "DoNotSchedule");
  if (constraints.length === 0) return undefined;
  const keys = constraints.map((each) => each.topologyKey);
  const hard = constraints.map((constraint) => {
    const { selector, maxSkew, minDomains } = constraint;
    const counts = countsOf(pod, constraint, keys, snapshot);
    const least = counts.domains < minDomains ? 0 : counts.least;
    const self = selector && selectorMatches(selector, shape.labels) ? 1 : 0;
    return { maxSkew, counts, least, self };
  });
  return { hard, soft: [], strict: true };
}

function prepareSoft(
  info: PodInfo,
  feasible: Feasible,
  snapshot: Snapshot,
  world: SchedulingWorld,
  defaults: Defaults,
): Prepared | undefined {
  const { pod } = info;
  const constraints = constraintsFor(info, world, defaults, "ScheduleAnyway");
  if (constraints.length === 0) return undefined;
  const strict = !defaults.isSystem || Boolean(pod.spec.topologySpreadConstraints?.length);
  const keys = strict ? constraints.map((each) => each.topologyKey) : [];
  const soft = constraints.map((constraint) => {
    const { topologyKey, maxSkew } = constraint;
    // Every host is a domain of its own, whether the pod might go there or not.
    const counts =
      topologyKey === hostnameKey
        ? snapshot.counts({
            topologyKey,
            matchers: [{ namespaces: [pod.metadata.namespace ?? ""], selector: constraint.selector }],
            terminating: false,
          })
        : countsOf(pod, constraint, keys, snapshot);
    const size =
      topologyKey === hostnameKey ? feasible.nodes.length : domainsAmong(feasible.nodes, counts.topology);
    return { maxSkew, counts, weight: Math.log(size + 2) };
  });
  return { hard: [], soft, strict };
}

function domainsAmong(nodes: readonly NodeInfo[], topology: Topology): number {
  const seen = new Set<number>();
  for (const node of nodes) seen.add(topology.domainAt(node.slot));
  seen.delete(-1);
  return seen.size;
}

const skewed = rejection("node(s) didn't match pod topology spread constraints");
const unlabelled = unresolvable(
  "node(s) didn't match pod topology spread constraints (missing required label)",
);

/** Above every real score: made into 0 by `normalize`. */
const ignored = Number.MAX_SAFE_INTEGER;

export function podTopologySpread({ defaultingType, defaultConstraints = [] }: SpreadArgs = {}) {
  const isSystem = defaultingType !== "List";
  const defaults: Defaults = { constraints: isSystem ? systemDefaults : defaultConstraints, isSystem };
  return defineSchedulerPlugin<Prepared>({
    name: "PodTopologySpread",
    wakes: [
      { on: "NodeAdded" },
      { on: "NodeChanged" },
      { on: "PodAdded" },
      { on: "PodChanged" },
      { on: "PodDeleted" },
    ],
    prepare: (info, snapshot, world) => prepareHard(info, snapshot, world, defaults),
    filter(_info, node, { hard }) {
      for (const { maxSkew, counts, least, self } of hard) {
        const there = counts.at(node.slot);
        if (there === undefined) return unlabelled;
        if (there + self - least > maxSkew) return skewed;
      }
      return undefined;
    },
    prepareScore: (info, feasible, snapshot, world) => prepareSoft(info, feasible, snapshot, world, defaults),
    score(_info, node, { soft, strict }) {
      let score = 0;
      for (const { maxSkew, counts, weight } of soft) {
        const there = counts.at(node.slot);
        if (there === undefined && strict) return ignored;
        if (there !== undefined) score += there * weight + (maxSkew - 1);
      }
      return Math.round(score);
    },
    normalize(scores) {
      const real = scores.filter((score) => score !== ignored);
      const max = highest(real);
      let min = max;
      for (const score of real) if (score < min) min = score;
      for (let i = 0; i < scores.length; i++) {
        const score = scores[i]!;
        if (score === ignored) scores[i] = 0;
        else scores[i] = max === 0 ? scoreMax : Math.floor((scoreMax * (max + min - score)) / max);
      }
    },
  });
}
