/** NodeAffinity: pods choose their nodes by labels. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ */
import { type corev1, type NodePredicate, requiredNodes, termMatches } from "#api";
import { defineSchedulerPlugin, onNodes, toMaximum, unresolvable } from "../define-plugin.ts";

interface NodeWishes {
  required?: NodePredicate;
  preferred?: readonly Readonly<corev1.PreferredSchedulingTerm>[];
}

const wrongNode = unresolvable("node(s) didn't match Pod's node affinity/selector");

const notOfProfile = unresolvable("node(s) didn't match scheduler-enforced node affinity");

/** `addedAffinity`: what all pods of the profile must keep beside their own. */
export interface NodeAffinityArgs {
  addedAffinity?: Readonly<corev1.NodeAffinity>;
}

export function nodeAffinity({ addedAffinity }: NodeAffinityArgs = {}) {
  const added =
    addedAffinity && requiredNodes({ spec: { containers: [], affinity: { nodeAffinity: addedAffinity } } });
  const addedWishes = addedAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return defineSchedulerPlugin<NodeWishes>({
    name: "NodeAffinity",
    local: true,
    wakes: onNodes(({ pod, node }) => requiredNodes(pod)?.(node) ?? true),
    prepare({ pod }) {
      const required = requiredNodes(pod);
      return required || added ? { ...(required && { required }) } : undefined;
    },
    filter(_info, node, { required }) {
      if (added?.(node) === false) return notOfProfile;
      return required?.(node) === false ? wrongNode : undefined;
    },
    prepareScore({ pod }) {
      const own = pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
      return own.length + addedWishes.length > 0 ? { preferred: [...own, ...addedWishes] } : undefined;
    },
    score: (_info, node, { preferred = [] }) =>
      preferred.reduce(
        (sum, { weight, preference }) => sum + (termMatches(preference, node) ? weight : 0),
        0,
      ),
    normalize: toMaximum,
  });
}
