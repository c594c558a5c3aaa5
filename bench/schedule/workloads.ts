/**
 * The shapes of upstream's scheduler_perf at 5,000 nodes, and the pods a second it holds itself to.
 * https://github.com/kubernetes/kubernetes/tree/v1.36.0/test/integration/scheduler_perf
 */
import type { corev1, Draft } from "#api";

type PodDraft = Draft<corev1.Pod>;

export interface Workload {
  name: string;
  /** What upstream's own run must reach, in pods a second. */
  threshold: number;
  goal: number;
  nodeLabels?(index: number): Record<string, string>;
  initial: { count: number; pod(): PodDraft; staysPending?: boolean };
  measured: { count: number; pod(): PodDraft };
  /** A node, a Service and a pod that fits nowhere come and go, once a second. */
  churns?: boolean;
}

const zoneLabel = "topology.kubernetes.io/zone";
export const nodeCount = 5_000;

interface Shape extends Draft<corev1.PodSpec> {
  labels?: Record<string, string>;
  cpu?: string;
}

function pod({ labels = {}, cpu = "100m", ...spec }: Shape = {}): PodDraft {
  const requests = { cpu, memory: "500Mi" };
  const containers = [
    { name: "pause", image: "registry.k8s.io/pause:3.10.1", resources: { requests, limits: requests } },
  ];
  return { metadata: { labels }, spec: { containers, terminationGracePeriodSeconds: 0, ...spec } };
}

function near(topologyKey: string, labels: Record<string, string>) {
  const term = { topologyKey, labelSelector: { matchLabels: labels } };
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
/** Fits no node of this cluster. */
export const tooLarge = () => pod({ cpu: "9" });

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
    measured: { count: 5_000, pod: zoned },
  },
  {
    name: "PreemptionAsync",
    threshold: 570,
    goal: 1_500,
    initial: { count: 20_000, pod: () => pod({ cpu: "900m" }) },
    measured: { count: 5_000, pod: () => pod({ cpu: "3000m", priorityClassName: "high" }) },
  },
  {
    name: "Unschedulable",
    threshold: 590,
    goal: 2_500,
    initial: { count: 200, pod: tooLarge, staysPending: true },
    measured: { count: 10_000, pod: plain },
  },
  {
    name: "MixedChurn",
    threshold: 710,
    goal: 2_500,
    initial: { count: 1_000, pod: plain },
    measured: { count: 10_000, pod: plain },
    churns: true,
  },
];
