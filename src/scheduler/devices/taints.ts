/** Taints of devices that keep claims away. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-taints-and-tolerations */
import { type resourcev1, type resourcev1beta2, ruleTaintsDevice, toleratesDeviceTaint } from "#api";
import type { Candidate } from "./candidates.ts";

/** Whether all taints of the device, by its driver and by rules, are tolerated. */
export function isTolerable(
  { driver, pool, device }: Candidate,
  rules: readonly Readonly<resourcev1beta2.DeviceTaintRule>[],
  tolerations: readonly Readonly<resourcev1.DeviceToleration>[] = [],
): boolean {
  const id = { driver, pool: pool.name, device: device.name };
  const byRules = rules.filter((rule) => ruleTaintsDevice(rule, id)).map(({ spec }) => spec.taint);
  return [...(device.taints ?? []), ...byRules].every(
    (taint) =>
      (taint.effect !== "NoSchedule" && taint.effect !== "NoExecute") ||
      tolerations.some((toleration) => toleratesDeviceTaint(toleration, taint)),
  );
}
