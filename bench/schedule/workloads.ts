/**
 * The shapes of upstream's scheduler_perf at 5,000 nodes, and the pods a second it holds itself to.
 * https://github.com/kubernetes/kubernetes/tree/v1.36.0/test/integration/scheduler_perf
 */
import type { corev1, Draft } from "#api";

type PodDraft = Draft<corev1.Pod>;

export interface Workload {
  name: string;
  /** What upstream's own run must reach, in pods a second; none: it runs this with fewer nodes only. */
  threshold?: number;
  goal?: number;
  nodeLabels?(index: number): Record<string, string>;
  /** In a namespace of their own, each. */
  initial?: Pods;
  measured: Pods;
  /** Such a pod comes five times a second beside those that are measured. */
  arriving?(): PodDraft;
  /** A node, a Service and a pod that fits nowhere come, and go a second later, and come again. */
  churns?: boolean;
}

export interface Pods {
  count: number;
  pod(): PodDraft;
}

const zoneLabel = "topology.kubernetes.io/zone";
export const nodeCount = 5_000;
export const namespaces = { initial: "sched-0", measured: "sched-1" };

interface Shape extends Draft<corev1.PodSpec> {
  labels?: Record<string, string>;
  cpu?: string;
}

function pod({ labels = {}, cpu = "100m", ...spec }: Shape = {}): PodDraft {
  const requests = { cpu, memory: "500Mi" };
  const container = {
    name: "pause",
    image: "registry.k8s.io/pause:3.10.1",
    ports: [{ containerPort: 80 }],
    resources: { requests, limits: requests },
  };
  return { metadata: { labels }, spec: { containers: [container], ...spec } };
}

function near(topologyKey: string, labels: Record<string, string>) {
  const term = { topologyKey, labelSelector: { matchLabels: labels }, namespaces: Object.values(namespaces) };
  return { requiredDuringSchedulingIgnoredDuringExecution: [term] };
}

const blue = { color: "blue" };
const green = { color: "green" };
const plain = () => pod();
const oneZone = () => ({ [zoneLabel]: "zone1" });

const spread = () =>
  pod({
    labels: blue,
    topologySpreadConstraints: [
      {
        maxSkew: 5,
        topologyKey: zoneLabel,
        whenUnsatisfiable: "DoNotSchedule",
        labelSelector: { matchLabels: blue },
      },
    ],
  });
const together = () => pod({ labels: blue, affinity: { podAffinity: near(zoneLabel, blue) } });
const apart = () =>
  pod({ labels: green, affinity: { podAntiAffinity: near("kubernetes.io/hostname", green) } });
const zoned = () => {
  const expression = { key: zoneLabel, operator: "In" as const, values: ["zone1", "zone2"] };
  const required = { nodeSelectorTerms: [{ matchExpressions: [expression] }] };
  return pod({ affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: required } } });
};
/** The class with a priority above that of all others. */
export const importantClass = { metadata: { name: "important" }, value: 10 };
const important = (cpu: string) => pod({ cpu, priorityClassName: importantClass.metadata.name });
/** Fits no node of this cluster. */
export const tooLarge = () => important("9");
/** Four of them leave a node room for one more that is small. */
const unimportant = () => pod({ cpu: "900m", terminationGracePeriodSeconds: 0 });
/** Three of those have to go for it. */
const preemptor = () => important("3000m");

export const workloads: readonly Workload[] = [
  {
    name: "SchedulingBasic",
    threshold: 680,
    goal: 3_000,
    initial: { count: 1_000, pod: plain },
    measured: { count: 10_000, pod: plain },
  },
  {
    name: "TopologySpreading",
    threshold: 460,
    goal: 2_000,
    nodeLabels: (index) => ({ [zoneLabel]: `moon-${(index % 3) + 1}` }),
    initial: { count: 5_000, pod: plain },
    measured: { count: 5_000, pod: spread },
  },
  {
    name: "SchedulingPodAffinity",
    threshold: 35,
    goal: 1_000,
    nodeLabels: oneZone,
    initial: { count: 5_000, pod: together },
    measured: { count: 5_000, pod: together },
  },
  {
    name: "SchedulingPodAntiAffinity",
    threshold: 60,
    goal: 1_000,
    initial: { count: 1_000, pod: apart },
    measured: { count: 2_000, pod: apart },
  },
  {
    name: "SchedulingNodeAffinity",
    threshold: 220,
    goal: 2_500,
    nodeLabels: oneZone,
    initial: { count: 5_000, pod: zoned },
    measured: { count: 10_000, pod: zoned },
  },
  {
    name: "PreemptionAsync",
    threshold: 570,
    goal: 1_500,
    initial: { count: 20_000, pod: unimportant },
    measured: { count: 5_000, pod: plain },
    arriving: preemptor,
  },
  {
    // Upstream's at 1,000 nodes, five times as large: every pod has to make room for itself.
    name: "PreemptionBasic",
    initial: { count: 20_000, pod: unimportant },
    measured: { count: 5_000, pod: preemptor },
  },
  {
    name: "Unschedulable",
    threshold: 590,
    goal: 2_500,
    initial: { count: 100, pod: plain },
    measured: { count: 10_000, pod: plain },
    arriving: tooLarge,
  },
  {
    name: "MixedChurn",
    threshold: 710,
    goal: 2_500,
    measured: { count: 10_000, pod: plain },
    churns: true,
  },
];
