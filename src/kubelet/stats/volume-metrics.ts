/**
 * `kubelet_volume_stats_*`: how full the claims of the node's pods are. Pure.
 * https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
import type { VolumeUsage } from "#contracts";
import { expositionOf, type Family } from "./exposition.ts";

export interface ClaimUsage {
  namespace: string;
  claim: string;
  usage: VolumeUsage;
}

const figures: readonly [name: string, help: string, of: (usage: VolumeUsage) => number | undefined][] = [
  ["capacity_bytes", "Capacity in bytes of the volume", (usage) => usage.capacityBytes],
  ["available_bytes", "Number of available bytes in the volume", (usage) => usage.availableBytes],
  ["used_bytes", "Number of used bytes in the volume", (usage) => usage.usedBytes],
  ["inodes", "Maximum number of inodes in the volume", (usage) => usage.inodes],
  ["inodes_free", "Number of free inodes in the volume", (usage) => usage.inodesFree],
  ["inodes_used", "Number of used inodes in the volume", (usage) => usage.inodesUsed],
];

/** A claim that several pods use is told of once. */
export function volumeMetrics(claims: readonly ClaimUsage[]): string {
  const each = new Map(claims.map((claim) => [`${claim.namespace}/${claim.claim}`, claim]));
  const families = figures.map(([name, help, of]): Family => {
    const samples = [...each.values()].flatMap(({ namespace, claim, usage }) => {
      const value = of(usage);
      return value === undefined ? [] : [{ labels: { namespace, persistentvolumeclaim: claim }, value }];
    });
    return { name: `kubelet_volume_stats_${name}`, help: `[ALPHA] ${help}`, type: "gauge", samples };
  });
  return each.size > 0 ? expositionOf(families) : "";
}
