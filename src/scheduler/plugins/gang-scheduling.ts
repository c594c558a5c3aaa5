/**
 * GangScheduling: pods of a gang are not tried before enough of them are there; the group's cycle gives nodes to enough
 * of them or to none. https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/4671-gang-scheduling
 */
import { joinKey } from "#client";
import { type ClusterEvent, defineSchedulerPlugin } from "../define-plugin.ts";
import { groupKeyOf, minCountOf } from "../groups/group-lookups.ts";
import { isPreempted, type Pod } from "../pod-info.ts";

const kinds = [
  "PodWaiting",
  "PodAdded",
  "PodDeleted",
  "PodGroupChanged",
  "NodeAdded",
  "NodeChanged",
] as const;

/** Something happened to the pod's own group, or to where all of it may go. */
function concerns(pod: Pod, event: ClusterEvent): boolean {
  const key = groupKeyOf(pod);
  if (key === undefined) return false;
  if (event.kind === "PodGroupChanged")
    return joinKey(event.group.metadata.namespace, event.group.metadata.name) === key;
  // A pod that made room has done so for those that wait for its node.
  if (event.kind === "PodDeleted") return isPreempted(event.pod);
  return !("pod" in event) || groupKeyOf(event.pod) === key;
}

export const gangScheduling = defineSchedulerPlugin({
  name: "GangScheduling",
  wakes: kinds.map((on) => ({ on, helps: concerns })),
  gate(pod, { groups }) {
    const name = pod.spec.schedulingGroup?.podGroupName;
    if (name === undefined) return undefined;
    const group = groups.group(pod);
    if (!group) return `waiting for pods's pod group "${name}" to appear in scheduling queue`;
    if (!group.spec.schedulingPolicy?.gang || groups.members(group).length >= minCountOf(group))
      return undefined;
    return "waiting for minCount pods from a gang to appear in scheduling queue";
  },
});
