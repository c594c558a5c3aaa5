/**
 * A PodGroup does not go while pods that have not ended name it: they would wait for it for ever.
 * https://kubernetes.io/docs/concepts/workloads/workload-api/
 */
import { type corev1, podGroups, pods, type schedulingv1alpha2 } from "#api";
import { joinKey } from "#client";
import { defineController, done, readVerbs, rule, source } from "./kit/define-controller.ts";
import { isFinished } from "./kit/pods.ts";

const finalizer = "scheduling.k8s.io/podgroup-protection";
const groupIndex = "podGroup";

interface State {
  group: Readonly<schedulingv1alpha2.PodGroup>;
  inUse: boolean;
}

function groupsOf({ metadata, spec }: Readonly<corev1.Pod>): string[] {
  const name = spec.schedulingGroup?.podGroupName;
  return name === undefined ? [] : [joinKey(metadata.namespace, name)];
}

export const podGroupProtectionController = defineController<State, { finalizers: string[] }>({
  name: "podgroup-protection-controller",
  primary: podGroups,
  secondaries: [source(pods, groupsOf)],
  concurrency: 2,
  rules: [
    rule("scheduling.k8s.io", ["podgroups"], [...readVerbs, "patch", "update"]),
    rule("", ["pods"], readVerbs),
  ],
  prepare: ({ informers }) => informers.of(pods).addIndex(groupIndex, groupsOf),
  observe({ informers }, key) {
    const group = informers.of(podGroups).byKey(key);
    const users = informers.of(pods).byIndex(groupIndex, key);
    return group && { group, inUse: users.some((pod) => !isFinished(pod)) };
  },
  decide({ group, inUse }) {
    const { finalizers = [], deletionTimestamp } = group.metadata;
    const isProtected = finalizers.includes(finalizer);
    if (!deletionTimestamp && !isProtected && inUse) return { finalizers: [...finalizers, finalizer] };
    if (!deletionTimestamp || !isProtected || inUse) return undefined;
    return { finalizers: finalizers.filter((each) => each !== finalizer) };
  },
  async act({ finalizers }, { client }, { group }) {
    const { uid, resourceVersion } = group.metadata;
    await client.patch(podGroups, group.metadata, "merge", {
      metadata: { uid, resourceVersion, finalizers },
    });
    return done;
  },
});
