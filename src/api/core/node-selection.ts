/**
 * Which nodes a pod says it may run on, and which taints it tolerates: asked by the scheduler for every pod, and by the
 * controllers that place pods themselves. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
 */
import type { corev1 } from "../generated/types/index.ts";
import { tolerates } from "./taints.ts";

/** What is asked of a node. */
export interface NodeTraits {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

type Pod = { readonly spec: Readonly<corev1.PodSpec> };

type Term = Readonly<corev1.NodeSelectorTerm>;
type Requirement = Readonly<corev1.NodeSelectorRequirement>;

export type NodePredicate = (node: NodeTraits) => boolean;

function holds({ operator, values = [] }: Requirement, value: string | undefined): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "Exists":
      return value !== undefined;
    case "DoesNotExist":
      return value === undefined;
    default: {
      if (value === undefined || !/^-?\d+$/.test(value) || !/^-?\d+$/.test(values[0] ?? "")) return false;
      return operator === "Gt"
        ? BigInt(value) > BigInt(values[0]!)
        : operator === "Lt" && BigInt(value) < BigInt(values[0]!);
    }
  }
}

/** All requirements of a term; an empty term matches nothing. */
export function termMatches(term: Term, node: NodeTraits): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length + matchFields.length === 0) return false;
  return (
    matchExpressions.every((each) => holds(each, node.labels[each.key])) &&
    matchFields.every((each) => holds(each, each.key === "metadata.name" ? node.name : undefined))
  );
}

/** Undefined: any node will do. */
export function requiredNodes(pod: Pod): NodePredicate | undefined {
  const selector = Object.entries(pod.spec.nodeSelector ?? {});
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (selector.length === 0 && !required) return undefined;
  return (node) =>
    selector.every(([key, value]) => node.labels[key] === value) &&
    (!required || required.nodeSelectorTerms.some((term) => termMatches(term, node)));
}

export function isTolerated(pod: Pod, taint: Readonly<corev1.Taint>): boolean {
  return pod.spec.tolerations?.some((toleration) => tolerates(toleration, taint)) ?? false;
}
