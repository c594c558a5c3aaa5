/** What plugins ask of groups of pods. */
import type { schedulingv1alpha2 } from "#api";
import { joinKey } from "#client";
import type { Pod } from "../pod-info.ts";

export type PodGroup = Readonly<schedulingv1alpha2.PodGroup>;

export interface GroupLookups {
  /** Undefined: the pod names none, or it is not there yet. */
  group(pod: Pod): PodGroup | undefined;
  /** Pods that have not ended, with a node or without. */
  members(group: PodGroup): readonly Pod[];
}

/** Undefined: the pod names no group. */
export function groupKeyOf({ metadata, spec }: Pod): string | undefined {
  const name = spec.schedulingGroup?.podGroupName;
  return name === undefined ? undefined : joinKey(metadata.namespace, name);
}

/** How many pods must have a node before any is given one. */
export function minCountOf({ spec }: PodGroup): number {
  return spec.schedulingPolicy?.gang?.minCount ?? 1;
}
