/** TaintToleration: nodes keep pods away. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
import { isTolerated } from "#api";
import { defineSchedulerPlugin, onNodes, toMaximumReversed, unresolvable } from "../define-plugin.ts";

import type { NodeInfo } from "../node-info.ts";
import type { Pod } from "../pod-info.ts";

const tainted = unresolvable("node(s) had untolerated taint(s)");

function untolerated(pod: Pod, node: NodeInfo) {
  return node.taints.find((taint) => taint.effect !== "PreferNoSchedule" && !isTolerated(pod, taint));
}

export const taintToleration = defineSchedulerPlugin<true>({
  name: "TaintToleration",
  local: true,
  wakes: onNodes(({ pod, node }) => untolerated(pod, node) === undefined),
  prepare: () => true,
  filter: ({ pod }, node) => (untolerated(pod, node) ? tainted : undefined),
  prepareScore: (_info, _feasible, snapshot) => (snapshot.nodesWithSoftTaints > 0 ? true : undefined),
  score: ({ pod }, node) =>
    node.taints.filter((taint) => taint.effect === "PreferNoSchedule" && !isTolerated(pod, taint)).length,
  normalize: toMaximumReversed,
});
