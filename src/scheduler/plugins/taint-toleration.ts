/** TaintToleration: nodes keep pods away. https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/ */
import { isTolerated } from "#api";
import { defineSchedulerPlugin, toMaximumReversed, unresolvable } from "../define-plugin.ts";

export const taintToleration = defineSchedulerPlugin<true>({
  name: "TaintToleration",
  wakes: [{ on: "NodeAdded" }, { on: "NodeChanged" }, { on: "PodChanged" }],
  prepare: () => true,
  filter({ pod }, node) {
    for (const taint of node.taints) {
      if (taint.effect === "PreferNoSchedule" || isTolerated(pod, taint)) continue;
      return unresolvable(`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`);
    }
    return undefined;
  },
  prepareScore: (_info, feasible) =>
    feasible.some((node) => node.taints.some((taint) => taint.effect === "PreferNoSchedule"))
      ? true
      : undefined,
  score: ({ pod }, node) =>
    node.taints.filter((taint) => taint.effect === "PreferNoSchedule" && !isTolerated(pod, taint)).length,
  normalize: toMaximumReversed,
});
