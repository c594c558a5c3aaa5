/**
 * Pods that take more of the node's disk than they may: the limits of volumes, of pods and of containers, in this order.
 * Pure.
 * https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#local-ephemeral-storage
 */
import { binaryQuantity, type corev1, podAmounts, quantityValue } from "#api";
import type { PodUsage } from "../stats/observation.ts";
import { ephemeralUsage } from "../stats/summary.ts";

const storage = "ephemeral-storage";

/** Whether anything of a pod has to be measured at all. */
export function isLimited({ spec }: Readonly<corev1.Pod>): boolean {
  return (
    (spec.volumes ?? []).some(({ emptyDir }) => emptyDir?.sizeLimit !== undefined) ||
    spec.containers.some(({ resources }) => resources?.limits?.[storage] !== undefined) ||
    (spec.initContainers ?? []).some(({ resources }) => resources?.limits?.[storage] !== undefined)
  );
}

/** Why the pod has to go; undefined: it keeps to its limits. */
export function excessOf(usage: PodUsage): string | undefined {
  return volumeExcess(usage) ?? podExcess(usage) ?? containerExcess(usage);
}

function volumeExcess({ pod, volumes }: PodUsage): string | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = quantityValue(emptyDir?.sizeLimit);
    const used = volumes.find((each) => each.name === name)?.folder.usedBytes ?? 0;
    if (limit > 0 && used > limit)
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${emptyDir!.sizeLimit}". `;
  }
  return undefined;
}

function podExcess(usage: PodUsage): string | undefined {
  const limit = quantityValue(podAmounts(usage.pod, "limits")[storage]);
  if (limit === 0 || ephemeralUsage(usage).usedBytes <= limit) return undefined;
  return `Pod ephemeral local storage usage exceeds the total limit of containers ${binaryQuantity(limit)}. `;
}

function containerExcess({ pod, containers }: PodUsage): string | undefined {
  for (const { name, resources } of pod.spec.containers) {
    const limit = resources?.limits?.[storage];
    const found = containers.find((each) => each.name === name);
    const used = (found?.rootfs?.usedBytes ?? 0) + (found?.logs?.usedBytes ?? 0);
    if (limit !== undefined && quantityValue(limit) > 0 && used > quantityValue(limit))
      return `Container ${name} exceeded its local ephemeral storage limit "${limit}". `;
  }
  return undefined;
}
