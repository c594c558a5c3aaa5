/** NodeUnschedulable: cordoned nodes take only pods that tolerate it. https://kubernetes.io/docs/concepts/architecture/nodes/#manual-node-administration */
import { isTolerated } from "#api";
import { defineSchedulerPlugin, onNodes, unresolvable } from "../define-plugin.ts";

const unschedulableTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" } as const;
const unschedulableNode = unresolvable("node(s) were unschedulable");

export const nodeUnschedulable = defineSchedulerPlugin<true>({
  name: "NodeUnschedulable",
  local: true,
  wakes: onNodes(({ node }) => !node.node.spec?.unschedulable),
  prepare: ({ pod }) => (isTolerated(pod, unschedulableTaint) ? undefined : true),
  filter: (_info, { node }) => (node.spec?.unschedulable ? unschedulableNode : undefined),
});
