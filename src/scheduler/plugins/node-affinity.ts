/** NodeAffinity: pods choose their nodes by labels. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ */
import { type corev1, type NodePredicate, requiredNodes, termMatches } from "#api";
import { defineSchedulerPlugin, toMaximum, unresolvable } from "../define-plugin.ts";

interface NodeWishes {
  required?: NodePredicate;
  preferred?: readonly Readonly<corev1.PreferredSchedulingTerm>[];
}

const wrongNode = unresolvable("node(s) didn't match Pod's node affinity/selector");

export const nodeAffinity = defineSchedulerPlugin<NodeWishes>({
  name: "NodeAffinity",
  local: true,
  wakes: [{ on: "NodeAdded" }, { on: "NodeChanged" }],
  prepare({ pod }) {
    const required = requiredNodes(pod);
    return required ? { required } : undefined;
  },
  filter: (_info, node, { required }) => (required?.(node) === false ? wrongNode : undefined),
  prepareScore({ pod }) {
    const preferred = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution;
    return preferred?.length ? { preferred } : undefined;
  },
  score: (_info, node, { preferred = [] }) =>
    preferred.reduce((sum, { weight, preference }) => sum + (termMatches(preference, node) ? weight : 0), 0),
  normalize: toMaximum,
});
