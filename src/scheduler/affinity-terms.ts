/**
 * The terms by which pods that are there already draw others near or keep them away, counted by domain: pods of one
 * Deployment have the same terms, so there are as many entries as Deployments, not as pods.
 */
import type { corev1 } from "#api";
import type { AffinityTerm, Pod, PodInfo, PodShape } from "./pod-info.ts";
import type { Topology } from "./topology.ts";

export type TermKind = "keepsAway" | "draws" | "prefers" | "avoids";

export interface OwnTerm {
  /** Tells this term from all others. */
  key: string;
  kind: TermKind;
  term: AffinityTerm;
  /** Of a preference. */
  weight: number;
}

/** A term that pods have which are there already. */
export interface PlacedTerm extends OwnTerm {
  /** Whose pods are meant where the term names no namespaces. */
  readonly namespace: string;
  readonly topology: Topology;
  /** Pods that have the term, by domain. */
  readonly counts: number[];
  readonly verdicts: WeakMap<PodShape, boolean>;
  total: number;
}

export function requiredAntiAffinity(pod: Pod): readonly AffinityTerm[] {
  const terms = pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.map((term) => narrowed(term, pod));
}

export function requiredAffinity(pod: Pod): readonly AffinityTerm[] {
  const terms = pod.spec.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  return terms.map((term) => narrowed(term, pod));
}

/**
 * `matchLabelKeys` and `mismatchLabelKeys` narrow the selector by the pod's own values.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/3633-matchlabelkeys-to-podaffinity
 */
export function narrowed(term: AffinityTerm, { metadata }: Pod): AffinityTerm {
  const { matchLabelKeys = [], mismatchLabelKeys = [], labelSelector } = term;
  if (!labelSelector || matchLabelKeys.length + mismatchLabelKeys.length === 0) return term;
  const own = (operator: "In" | "NotIn") => (key: string) => {
    const value = metadata.labels?.[key];
    return value === undefined ? [] : [{ key, operator, values: [value] }];
  };
  const added = [...matchLabelKeys.flatMap(own("In")), ...mismatchLabelKeys.flatMap(own("NotIn"))];
  const { matchExpressions = [] } = labelSelector;
  return { ...term, labelSelector: { ...labelSelector, matchExpressions: [...matchExpressions, ...added] } };
}

const termsByShape = new WeakMap<PodShape, readonly OwnTerm[]>();

function termsOf({ pod, shape }: PodInfo): readonly OwnTerm[] {
  const known = termsByShape.get(shape);
  if (known) return known;
  const { podAffinity, podAntiAffinity } = pod.spec.affinity ?? {};
  const own = (kind: TermKind, term: AffinityTerm, weight: number): OwnTerm => {
    const key = JSON.stringify([shape.namespace, kind, weight, term]);
    return { key, kind, term, weight };
  };
  const hard = (kind: TermKind) => (term: AffinityTerm) => own(kind, term, 1);
  const soft = (kind: TermKind) => (each: Readonly<corev1.WeightedPodAffinityTerm>) =>
    own(kind, narrowed(each.podAffinityTerm, pod), each.weight);
  const terms = [
    ...requiredAntiAffinity(pod).map(hard("keepsAway")),
    ...requiredAffinity(pod).map(hard("draws")),
    ...(podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(soft("prefers")),
    ...(podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(soft("avoids")),
  ];
  termsByShape.set(shape, terms);
  return terms;
}

export class PlacedTerms {
  readonly #topologyOf: (key: string) => Topology;
  readonly #terms = new Map<string, PlacedTerm>();

  constructor(topologyOf: (key: string) => Topology) {
    this.#topologyOf = topologyOf;
  }

  get size(): number {
    return this.#terms.size;
  }

  values(): IterableIterator<PlacedTerm> {
    return this.#terms.values();
  }

  addPod(info: PodInfo, slot: number, sign: 1 | -1): void {
    for (const own of termsOf(info)) this.#count(own, info.shape.namespace, slot, sign);
  }

  #count(own: OwnTerm, namespace: string, slot: number, sign: 1 | -1): void {
    const placed = this.#terms.get(own.key) ?? this.#enter(own, namespace);
    const domain = placed.topology.domainAt(slot);
    if (domain >= 0) placed.counts[domain] = (placed.counts[domain] ?? 0) + sign;
    placed.total += sign;
    if (placed.total === 0) this.#terms.delete(own.key);
  }

  #enter(own: OwnTerm, namespace: string): PlacedTerm {
    const topology = this.#topologyOf(own.term.topologyKey);
    const placed = { ...own, namespace, topology, counts: [], verdicts: new WeakMap(), total: 0 };
    this.#terms.set(own.key, placed);
    return placed;
  }
}
