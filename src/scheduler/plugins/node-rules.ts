/** Plugins that look at one node alone: its name, whether it takes pods, its taints, its labels, its ports. */
import { type corev1, tolerates } from "#api";
import type { HostPort, Pod } from "../cache.ts";
import {
  defineSchedulerPlugin,
  type Rejection,
  rejection,
  toMaximum,
  toMaximumReversed,
  unresolvable,
} from "../define-plugin.ts";
import { type NodePredicate, requiredNodes, termMatches } from "../node-selection.ts";

const nodeEvents = [{ on: "NodeAdded" }, { on: "NodeChanged" }] as const;

/** https://kubernetes.io/docs/concepts/scheduling-eviction/pod-scheduling-readiness/ */
export const schedulingGates = defineSchedulerPlugin({
  name: "SchedulingGates",
  wakes: [],
  gate(pod) {
    const gates = pod.spec.schedulingGates ?? [];
    return gates.length > 0
      ? `waiting for scheduling gates: [${gates.map((gate) => gate.name).join(" ")}]`
      : undefined;
  },
});

/** Higher priority first, then first come, first served. */
export const prioritySort = defineSchedulerPlugin({
  name: "PrioritySort",
  wakes: [],
  compare: (a, b) => (b.pod.spec.priority ?? 0) - (a.pod.spec.priority ?? 0) || a.queuedMs - b.queuedMs,
});

export const nodeName = defineSchedulerPlugin<string>({
  name: "NodeName",
  wakes: [...nodeEvents],
  prepare: ({ pod }) => pod.spec.nodeName || undefined,
  filter: (_info, node, name) =>
    node.name === name ? undefined : unresolvable("node(s) didn't match the requested node name"),
});

const unschedulableTaint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" } as const;
const unschedulableNode = unresolvable("node(s) were unschedulable");

export const nodeUnschedulable = defineSchedulerPlugin<boolean>({
  name: "NodeUnschedulable",
  wakes: [...nodeEvents],
  prepare: ({ pod }) => !isTolerated(pod, unschedulableTaint),
  filter: (_info, { node }, matters) => (matters && node.spec?.unschedulable ? unschedulableNode : undefined),
});

function isTolerated(pod: Pod, taint: Readonly<corev1.Taint>): boolean {
  return pod.spec.tolerations?.some((toleration) => tolerates(toleration, taint)) ?? false;
}

export const taintToleration = defineSchedulerPlugin<true>({
  name: "TaintToleration",
  wakes: [...nodeEvents, { on: "PodChanged" }],
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

interface NodeWishes {
  required?: NodePredicate;
  preferred?: readonly Readonly<corev1.PreferredSchedulingTerm>[];
}

const wrongNode = unresolvable("node(s) didn't match Pod's node affinity/selector");

/** https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ */
export const nodeAffinity = defineSchedulerPlugin<NodeWishes>({
  name: "NodeAffinity",
  wakes: [...nodeEvents],
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

function collides(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === "0.0.0.0" || b.ip === "0.0.0.0";
}

const portTaken: Rejection = rejection("node(s) didn't have free ports for the requested pod ports");

export const nodePorts = defineSchedulerPlugin<readonly HostPort[]>({
  name: "NodePorts",
  wakes: [...nodeEvents, { on: "PodDeleted" }],
  prepare: ({ hostPorts }) => (hostPorts.length > 0 ? hostPorts : undefined),
  filter: (_info, node, ports) =>
    ports.some((port) => node.hostPorts.some((taken) => collides(port, taken))) ? portTaken : undefined,
});
