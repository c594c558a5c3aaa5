/** TaintToleration: nodes keep pods away. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
import { isTolerated } from "#api";
import { defineSchedulerPlugin, toMaximumReversed, unresolvable } from "../define-plugin.ts";

const tainted = unresolvable("node(s) had untolerated taint(s)");

export const taintToleration = defineSchedulerPlugin<true>({
  name: "TaintToleration",
  local: true,
  wakes: [{ on: "NodeAdded" }, { on: "NodeChanged" }, { on: "PodChanged" }],
  prepare: () => true,
  filter({ pod }, node) {
    for (const taint of node.taints) {
      if (taint.effect === "PreferNoSchedule" || isTolerated(pod, taint)) continue;
      return tainted;
    }
    return undefined;
  },
  prepareScore: (_info, _feasible, snapshot) => (snapshot.nodesWithSoftTaints > 0 ? true : undefined),
  score: ({ pod }, node) =>
    node.taints.filter((taint) => taint.effect === "PreferNoSchedule" && !isTolerated(pod, taint)).length,
  normalize: toMaximumReversed,
});
