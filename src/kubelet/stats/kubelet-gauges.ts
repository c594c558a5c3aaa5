/**
 * How many pods and containers the kubelet has, and what its process uses: part of `/metrics`. Pure.
 * https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
import type { corev1 } from "#api";
import type { Container, PodSandbox } from "#contracts";
import { podUidLabel } from "../labels.ts";
import { isMirror, isStatic } from "../static/manifest.ts";
import { expositionOf, type Family, type Sample } from "./exposition.ts";

export interface KubeletCounts {
  nodeName: string;
  pods: readonly Readonly<corev1.Pod>[];
  isActive(uid: string): boolean;
  sandboxes: readonly PodSandbox[];
  containers: readonly Container[];
  process: { startedMs: number; cpuSeconds: number; residentBytes: number; openFiles: number };
}

const stateNames: Record<Container["state"], string> = {
  CONTAINER_CREATED: "created",
  CONTAINER_RUNNING: "running",
  CONTAINER_EXITED: "exited",
  CONTAINER_UNKNOWN: "unknown",
};

const gauge = (name: string, help: string, samples: readonly Sample[]): Family => ({
  name,
  help: `[ALPHA] ${help}`,
  type: "gauge",
  samples,
});

const one = (value: number): Sample[] => [{ labels: {}, value }];

/** One sample for each value of a label that there is. */
function countBy<T>(items: readonly T[], label: string, of: (item: T) => string): Sample[] {
  const counts = Map.groupBy(items, of);
  return [...counts].map(([value, { length }]) => ({ labels: { [label]: value }, value: length }));
}

export function kubeletGauges(counts: KubeletCounts): string {
  const { pods, sandboxes, containers } = counts;
  const own = pods.filter((pod) => !isMirror(pod));
  const staticOf = (pod: Readonly<corev1.Pod>) => (isStatic(pod) ? "true" : "");
  const ready = sandboxes.filter(({ state }) => state === "SANDBOX_READY");
  const running = new Set(ready.map(({ labels }) => labels[podUidLabel]));
  const ephemeral = own.flatMap(({ spec }) => spec.ephemeralContainers ?? []);
  return expositionOf([
    gauge("kubelet_node_name", "The node's name. The count is always 1.", [
      { labels: { node: counts.nodeName }, value: 1 },
    ]),
    gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox", one(running.size)),
    gauge(
      "kubelet_running_containers",
      "Number of containers currently running",
      countBy(containers, "container_state", ({ state }) => stateNames[state] ?? "unknown"),
    ),
    gauge(
      "kubelet_desired_pods",
      "The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.",
      countBy(own, "static", staticOf),
    ),
    gauge(
      "kubelet_active_pods",
      "The number of pods the kubelet considers active and which are being considered when admitting new pods. static is true if the pod is not from the apiserver.",
      countBy(
        own.filter(({ metadata }) => counts.isActive(metadata.uid)),
        "static",
        staticOf,
      ),
    ),
    gauge(
      "kubelet_mirror_pods",
      "The number of mirror pods the kubelet will try to create (one per admitted static pod)",
      one(own.filter(isStatic).length),
    ),
    gauge(
      "kubelet_managed_ephemeral_containers",
      "Current number of ephemeral containers in pods managed by this kubelet.",
      one(ephemeral.length),
    ),
    ...processFamilies(counts.process),
  ]);
}

/** As every Prometheus client has them. */
function processFamilies({
  startedMs,
  cpuSeconds,
  residentBytes,
  openFiles,
}: KubeletCounts["process"]): Family[] {
  return [
    {
      name: "process_cpu_seconds_total",
      help: "Total user and system CPU time spent in seconds.",
      type: "counter",
      samples: one(cpuSeconds),
    },
    {
      name: "process_resident_memory_bytes",
      help: "Resident memory size in bytes.",
      type: "gauge",
      samples: one(residentBytes),
    },
    {
      name: "process_open_fds",
      help: "Number of open file descriptors.",
      type: "gauge",
      samples: one(openFiles),
    },
    {
      name: "process_start_time_seconds",
      help: "Start time of the process since unix epoch in seconds.",
      type: "gauge",
      samples: one(startedMs / 1000),
    },
  ];
}
