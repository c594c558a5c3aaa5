/**
 * Which nodes a daemon runs on, and what its pod for a node looks like.
 * https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled
 */
import { type appsv1, type corev1, type Draft, isTolerated, requiredNodes } from "#api";
import { podFromTemplate } from "../kit/pods.ts";
import { revisionHashLabel } from "../kit/revisions.ts";

export type DaemonSet = Readonly<appsv1.DaemonSet>;
export type Node = Readonly<corev1.Node>;
export type Pod = Readonly<corev1.Pod>;

const generationAnnotation = "deprecated.daemonset.template.generation";
const generationLabel = "pod-template-generation";

/** https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations */
const daemonTolerations: readonly corev1.Toleration[] = [
  { key: "node.kubernetes.io/not-ready", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute" },
  { key: "node.kubernetes.io/disk-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/memory-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/pid-pressure", operator: "Exists", effect: "NoSchedule" },
  { key: "node.kubernetes.io/unschedulable", operator: "Exists", effect: "NoSchedule" },
];
const hostNetworkToleration: corev1.Toleration = {
  key: "node.kubernetes.io/network-unavailable",
  operator: "Exists",
  effect: "NoSchedule",
};

/** A toleration of the same taint is replaced, others stay. */
function withDaemonTolerations(spec: Readonly<corev1.PodSpec>): corev1.Toleration[] {
  const added = spec.hostNetwork ? [...daemonTolerations, hostNetworkToleration] : daemonTolerations;
  const own = (spec.tolerations ?? []).filter(
    (t) => !added.some((a) => a.key === t.key && a.effect === t.effect && t.operator === "Exists"),
  );
  return [...own, ...added];
}

export interface NodeVerdict {
  shouldRun: boolean;
  /** A pod that is there may stay. */
  shouldContinue: boolean;
}

/** Answers for one DaemonSet, node by node. */
export function nodeJudge(set: DaemonSet): (node: Node) => NodeVerdict {
  const template = set.spec.template.spec ?? ({} as corev1.PodSpec);
  const pod = { spec: { ...template, tolerations: withDaemonTolerations(template) } };
  const matches = requiredNodes(pod);
  return (node) => {
    const { name, labels = {} } = node.metadata;
    if (template.nodeName && template.nodeName !== name) return { shouldRun: false, shouldContinue: false };
    if (matches?.({ name, labels }) === false) return { shouldRun: false, shouldContinue: false };
    const refused = (node.spec?.taints ?? []).filter(
      (taint) => taint.effect !== "PreferNoSchedule" && !isTolerated(pod, taint),
    );
    return {
      shouldRun: refused.length === 0,
      shouldContinue: refused.every((taint) => taint.effect !== "NoExecute"),
    };
  };
}

/** The node a pod runs on, or is made for. */
export function targetNode(pod: Pod): string | undefined {
  if (pod.spec.nodeName) return pod.spec.nodeName;
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  for (const { matchFields = [] } of required?.nodeSelectorTerms ?? []) {
    const field = matchFields.find((f) => f.key === "metadata.name" && f.operator === "In");
    if (field?.values?.length === 1) return field.values[0];
  }
  return undefined;
}

/** The scheduler binds it, and only to this node. */
export function daemonPod(set: DaemonSet, nodeName: string, hash: string): Draft<corev1.Pod> {
  const pod = podFromTemplate(set.spec.template, set);
  const spec = set.spec.template.spec as corev1.PodSpec;
  const term = { matchFields: [{ key: "metadata.name", operator: "In", values: [nodeName] }] };
  const nodeAffinity = {
    ...spec.affinity?.nodeAffinity,
    requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] },
  } as corev1.NodeAffinity;
  const generation = set.metadata.annotations?.[generationAnnotation];
  return {
    metadata: {
      ...pod.metadata,
      labels: {
        ...pod.metadata?.labels,
        [revisionHashLabel]: hash,
        ...(generation ? { [generationLabel]: generation } : {}),
      },
    },
    spec: {
      ...spec,
      affinity: { ...spec.affinity, nodeAffinity },
      tolerations: withDaemonTolerations(spec),
    },
  };
}
