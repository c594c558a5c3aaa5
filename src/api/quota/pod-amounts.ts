/**
 * What a pod asks for and what it may use at most, all its containers together.
 * https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
 */
import type { corev1 } from "../generated/types/index.ts";
import { type Amounts, addAmounts, maxAmounts } from "./amounts.ts";

/**
 * The containers run together, the init containers one after the other before them; an init container that restarts
 * always stays beside all that come after it.
 */
export function podAmounts(pod: Readonly<corev1.Pod>, which: "requests" | "limits"): Amounts {
  const { spec } = pod;
  const of = (container: Readonly<corev1.Container>) => container.resources?.[which];
  let total: Amounts = {};
  for (const container of spec.containers) total = addAmounts(total, of(container));
  let sidecars: Amounts = {};
  let start: Amounts = {};
  for (const container of spec.initContainers ?? []) {
    const isSidecar = container.restartPolicy === "Always";
    const beside = addAmounts(sidecars, of(container));
    if (isSidecar) sidecars = beside;
    start = maxAmounts(start, beside);
  }
  total = maxAmounts(addAmounts(total, sidecars), start);
  total = { ...total, ...spec.resources?.[which] };
  if (!spec.overhead) return total;
  // Overhead counts against limits only where there is one.
  const counted = Object.entries(spec.overhead).filter(([name]) => which === "requests" || name in total);
  return addAmounts(total, Object.fromEntries(counted));
}
