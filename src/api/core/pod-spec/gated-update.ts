/**
 * While gates hold a pod back, where it may run can be narrowed, never widened.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/#mutable-pod-scheduling-directives
 */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, invalid } from "../../meta/field-error.ts";
import { sameJson } from "./template.ts";

type Spec = Readonly<corev1.PodSpec>;
type Term = Readonly<corev1.NodeSelectorTerm>;

export function validateGatedUpdate(spec: Spec, old: Spec): FieldError[] {
  return [...validateNodeSelector(spec, old), ...validateNodeAffinity(spec, old)];
}

function validateNodeSelector(spec: Spec, old: Spec): FieldError[] {
  const now = spec.nodeSelector ?? {};
  const isKept = Object.entries(old.nodeSelector ?? {}).every(([key, value]) => now[key] === value);
  if (isKept) return [];
  const detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
  return [invalid("spec.nodeSelector", now, detail)];
}

function termsOf(spec: Spec): readonly Term[] {
  const { nodeAffinity } = spec.affinity ?? {};
  return nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
}

function validateNodeAffinity(spec: Spec, old: Spec): FieldError[] {
  const [now, before] = [termsOf(spec), termsOf(old)];
  if (before.length === 0) return [];
  const path = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
  if (now.length !== before.length) {
    const detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
    return [invalid(path, now, detail)];
  }
  return now.flatMap((term, i) =>
    onlyAdds(term, before[i]!)
      ? []
      : [invalid(`${path}[${i}]`, term, "only additions are allowed (no mutations or deletions)")],
  );
}

/** Terms of no requirements match nothing: to add to one would widen it. */
function onlyAdds(term: Term, old: Term): boolean {
  const isEmpty = !old.matchExpressions?.length && !old.matchFields?.length;
  const adds = term.matchExpressions?.length || term.matchFields?.length;
  if (isEmpty && adds) return false;
  return (["matchExpressions", "matchFields"] as const).every((list) => {
    const kept = (term[list] ?? []).slice(0, old[list]?.length ?? 0);
    return sameJson(kept, old[list] ?? []);
  });
}
