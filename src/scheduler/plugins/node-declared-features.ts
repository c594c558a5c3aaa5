/** NodeDeclaredFeatures: pods that ask for something new go where nodes say that they have it. https://kubernetes.io/docs/concepts/scheduling-eviction/node-declared-features/ */
import { featuresOfPod } from "#api";
import { defineSchedulerPlugin, onNodes, unresolvable } from "../define-plugin.ts";
import type { NodeInfo } from "../node-info.ts";

const lacking = unresolvable("node(s) didn't match Pod's required features");

function declares({ node }: NodeInfo, features: readonly string[]): boolean {
  const declared = node.status?.declaredFeatures ?? [];
  return features.every((each) => declared.includes(each));
}

export const nodeDeclaredFeatures = defineSchedulerPlugin<readonly string[]>({
  name: "NodeDeclaredFeatures",
  local: true,
  wakes: onNodes(({ pod, node }) => declares(node, featuresOfPod(pod))),
  prepare({ pod }) {
    const features = featuresOfPod(pod);
    return features.length > 0 ? features : undefined;
  },
  filter: (_info, node, features) => (declares(node, features) ? undefined : lacking),
});
