/** When pods must go because devices they use are tainted, and by which rules. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-taints-and-tolerations */
import {
  type corev1,
  deviceTaintRules,
  resourceClaims,
  resourceSlices,
  type resourcev1,
  type resourcev1beta2,
  ruleTaintsDevice,
  toleratesDeviceTaint,
} from "#api";
import type { Informers } from "#client";

type Pod = Readonly<corev1.Pod>;
type Claim = Readonly<resourcev1.ResourceClaim>;
type Slice = Readonly<resourcev1.ResourceSlice>;
type Result = Readonly<resourcev1.DeviceRequestAllocationResult>;
export type TaintRule = Readonly<resourcev1beta2.DeviceTaintRule>;

/** A taint with the effect NoExecute on a device that a pod uses. */
export interface UsedTaint {
  readonly taint: Readonly<resourcev1.DeviceTaint>;
  /** Undefined: its driver's. */
  readonly rule: TaintRule | undefined;
  readonly tolerations: readonly Readonly<resourcev1.DeviceToleration>[];
}

export const poolIndex = "devicePool";

/** The claims that the pod has reserved and that are allocated. */
export function claimsInUse(informers: Informers, pod: Pod): Claim[] {
  const { namespace = "", uid } = pod.metadata;
  const statuses = pod.status?.resourceClaimStatuses ?? [];
  const names = (pod.spec.resourceClaims ?? []).map(
    ({ name, resourceClaimName }) =>
      resourceClaimName ?? statuses.find((each) => each.name === name)?.resourceClaimName,
  );
  return names
    .map((name) => (name === undefined ? undefined : informers.of(resourceClaims).get(namespace, name)))
    .filter((claim) => claim !== undefined)
    .filter(({ status }) => status?.allocation && status.reservedFor?.some((each) => each.uid === uid));
}

export function devicesOf({ status }: Claim): readonly Result[] {
  return status?.allocation?.devices?.results ?? [];
}

export function poolOf({ driver, pool }: { driver: string; pool: string }): string {
  return `${driver}/${pool}`;
}

export function poolOfSlice({ spec }: Slice): string {
  return poolOf({ driver: spec.driver, pool: spec.pool.name });
}

/** Of slices that are being replaced nothing counts. */
function newestSlices(informers: Informers, pool: string): readonly Slice[] {
  const slices = informers.of(resourceSlices).byIndex(poolIndex, pool);
  const newest = Math.max(...slices.map(({ spec }) => spec.pool.generation));
  return slices.filter(({ spec }) => spec.pool.generation === newest);
}

/** `rules`: instead of those that are there. */
export function usedTaints(
  informers: Informers,
  pod: Pod,
  rules: readonly TaintRule[] = informers.of(deviceTaintRules).list(),
): UsedTaint[] {
  const used: UsedTaint[] = [];
  for (const result of claimsInUse(informers, pod).flatMap(devicesOf)) {
    const { tolerations = [] } = result;
    for (const rule of rules)
      if (ruleTaintsDevice(rule, result)) used.push({ taint: rule.spec.taint, rule, tolerations });
    for (const { spec } of newestSlices(informers, poolOf(result)))
      for (const device of spec.devices ?? [])
        if (device.name === result.device)
          for (const taint of device.taints ?? []) used.push({ taint, rule: undefined, tolerations });
  }
  return used.filter(({ taint }) => taint.effect === "NoExecute");
}

/** Until the pod must go; undefined: it may stay. The shortest toleration counts, from the taint's time. */
export function msUntilGone(used: readonly UsedTaint[], nowMs: number): number | undefined {
  let soonest: number | undefined;
  for (const { taint, tolerations } of used) {
    const matching = tolerations.filter((toleration) => toleratesDeviceTaint(toleration, taint));
    const limits = matching.map((each) => each.tolerationSeconds).filter((seconds) => seconds !== undefined);
    if (matching.length > 0 && limits.length === 0) continue;
    const sinceMs = Date.parse(taint.timeAdded ?? "") || nowMs;
    const graceMs = limits.length > 0 ? Math.max(0, Math.min(...limits)) * 1000 : 0;
    const waitMs = Math.max(0, sinceMs + graceMs - nowMs);
    soonest = Math.min(soonest ?? waitMs, waitMs);
  }
  return soonest;
}

/** How many devices a rule selects: of those offered, and of those in use. */
export function selectedDevices(
  informers: Informers,
  rule: TaintRule,
): { offered: number; allocated: number } {
  let [offered, allocated] = [0, 0];
  for (const { spec } of informers.of(resourceSlices).list()) {
    for (const { name } of spec.devices ?? [])
      if (ruleTaintsDevice(rule, { driver: spec.driver, pool: spec.pool.name, device: name })) offered++;
  }
  for (const claim of informers.of(resourceClaims).list())
    for (const result of devicesOf(claim)) if (ruleTaintsDevice(rule, result)) allocated++;
  return { offered, allocated };
}
