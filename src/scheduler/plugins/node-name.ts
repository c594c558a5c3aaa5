/** NodeName: a pod that names its node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename */
import { defineSchedulerPlugin, unresolvable } from "../define-plugin.ts";

export const nodeName = defineSchedulerPlugin<string>({
  name: "NodeName",
  local: true,
  wakes: [{ on: "NodeAdded" }, { on: "NodeChanged" }],
  prepare: ({ pod }) => pod.spec.nodeName || undefined,
  filter: (_info, node, name) =>
    node.name === name ? undefined : unresolvable("node(s) didn't match the requested node name"),
});
