/** Taints of nodes and the tolerations of pods. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
import type { corev1 } from "../generated/types/index.ts";

/** An empty effect or key stands for every one. */
export function tolerates(toleration: Readonly<corev1.Toleration>, taint: Readonly<corev1.Taint>): boolean {
  const { effect, key, operator, value } = toleration;
  if (effect && effect !== taint.effect) return false;
  if (key && key !== taint.key) return false;
  if (operator === "Exists") return true;
  return Boolean(key) && (value ?? "") === (taint.value ?? "");
}
