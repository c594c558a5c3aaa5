/** https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/ */
import type { corev1, metav1 } from "../../generated/types/index.ts";
import { addQuantities, compareQuantities } from "../../meta/quantity.ts";

type Amounts = Record<string, metav1.Quantity>;

/** The class of a pod by the requests and limits of CPU and memory of all its containers. */
export function qosClassOf(spec: Readonly<corev1.PodSpec>): "Guaranteed" | "Burstable" | "BestEffort" {
  const requests: Amounts = {};
  const limits: Amounts = {};
  let guaranteed = true;
  const holders = spec.resources ? [spec] : [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  for (const { resources } of holders) {
    const limited = new Set([
      ...sum(requests, resources?.requests, undefined),
      ...sum(limits, resources?.limits, "limits"),
    ]);
    if (!limited.has("limits/cpu") || !limited.has("limits/memory")) guaranteed = false;
  }
  if (Object.keys(requests).length === 0 && Object.keys(limits).length === 0) return "BestEffort";
  const equal = Object.entries(requests).every(
    ([k, v]) => limits[k] !== undefined && compareQuantities(limits[k], v) === 0,
  );
  return guaranteed && equal && Object.keys(requests).length === Object.keys(limits).length
    ? "Guaranteed"
    : "Burstable";
}

/** Adds what counts of `from` to `into`; answers the names that were there. */
function sum(into: Amounts, from: Readonly<Amounts> | undefined, label: string | undefined): string[] {
  const seen: string[] = [];
  for (const name of ["cpu", "memory"]) {
    const amount = from?.[name];
    if (amount === undefined || compareQuantities(amount, 0) <= 0) continue;
    into[name] = addQuantities(into[name] ?? 0, amount);
    seen.push(`${label}/${name}`);
  }
  return seen;
}
