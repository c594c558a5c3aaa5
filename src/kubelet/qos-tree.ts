/**
 * The cgroups above those of pods: all pods together have what the node has for them, those that asked for something come
 * before those that asked for nothing.
 * https://kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources/#enforcing-node-allocatable
 */
import { type corev1, podAmounts, qosClassOf, quantityMilliValue } from "#api";
import type { Cgroups } from "./cgroups.ts";
import { cpuShares, type PodCgroup } from "./pod-resources.ts";

export interface NodeShare {
  milliCpu: number;
  /** 0: pods are not limited together. */
  memoryBytes: number;
}

const group = (milliCpu: number, memoryLimitBytes = 0): PodCgroup => ({
  cpuShares: cpuShares(milliCpu),
  cpuQuotaUs: 0,
  cpuPeriodUs: 100_000,
  memoryLimitBytes,
  pidsLimit: 0,
});

/** What each group of the tree shall have. Pure. */
export function qosTree(
  root: string,
  { milliCpu, memoryBytes }: NodeShare,
  pods: readonly Readonly<corev1.Pod>[],
): Map<string, PodCgroup> {
  const burstable = pods.filter(({ spec }) => qosClassOf(spec) === "Burstable");
  const requested = burstable.reduce(
    (sum, pod) => sum + quantityMilliValue(podAmounts(pod, "requests").cpu),
    0,
  );
  return new Map([
    [root, group(milliCpu, memoryBytes)],
    [`${root}/burstable`, group(requested)],
    [`${root}/besteffort`, group(0)],
  ]);
}

export async function keepQosTree(cgroups: Cgroups, tree: ReadonlyMap<string, PodCgroup>): Promise<void> {
  for (const [path, figures] of tree) await cgroups.ensure(path, figures);
}
