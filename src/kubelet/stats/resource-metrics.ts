/**
 * `/metrics/resource`: the few figures that `kubectl top` and autoscalers live on. Pure.
 * https://kubernetes.io/docs/reference/instrumentation/metrics/#list-of-stable-kubernetes-metrics
 */
import type { GroupUsage } from "./cgroup-usage.ts";
import { expositionOf, type Family } from "./exposition.ts";
import type { NodeUsage } from "./observation.ts";

interface Row {
  what: "container" | "pod";
  name: string;
  type: Family["type"];
  help: string;
  value(group: GroupUsage): number;
}

const secondsOf = (ns: number) => ns / 1e9;

const rows: readonly Row[] = [
  {
    what: "container",
    name: "container_cpu_usage_seconds_total",
    type: "counter",
    help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
    value: ({ cpu }) => secondsOf(cpu.totalNs),
  },
  {
    what: "container",
    name: "container_memory_working_set_bytes",
    type: "gauge",
    help: "[STABLE] Current working set of the container in bytes",
    value: ({ memory }) => memory.workingSetBytes,
  },
  {
    what: "container",
    name: "container_swap_usage_bytes",
    type: "gauge",
    help: "[ALPHA] Current amount of the container swap usage in bytes. Reported only on non-windows systems",
    value: ({ memory }) => memory.swapBytes,
  },
  {
    what: "pod",
    name: "pod_cpu_usage_seconds_total",
    type: "counter",
    help: "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
    value: ({ cpu }) => secondsOf(cpu.totalNs),
  },
  {
    what: "pod",
    name: "pod_memory_working_set_bytes",
    type: "gauge",
    help: "[STABLE] Current working set of the pod in bytes",
    value: ({ memory }) => memory.workingSetBytes,
  },
  {
    what: "pod",
    name: "pod_swap_usage_bytes",
    type: "gauge",
    help: "[ALPHA] Current amount of the pod swap usage in bytes. Reported only on non-windows systems",
    value: ({ memory }) => memory.swapBytes,
  },
];

function rowFamily({ what, name, type, help, value }: Row, { pods, atMs }: NodeUsage): Family {
  const samples = pods.flatMap(({ pod, group, containers }) => {
    const labels = { namespace: pod.metadata.namespace ?? "", pod: pod.metadata.name };
    if (what === "pod") return group ? [{ labels, value: value(group), atMs }] : [];
    return containers.map((each) => ({
      labels: { container: each.name, ...labels },
      value: value(each.group),
      atMs,
    }));
  });
  return { name, help, type, samples };
}

function startTimes({ pods }: NodeUsage): Family {
  return {
    name: "container_start_time_seconds",
    help: "[STABLE] Start time of the container since unix epoch in seconds",
    type: "gauge",
    samples: pods.flatMap(({ pod, containers }) =>
      containers.map((each) => ({
        labels: { container: each.name, namespace: pod.metadata.namespace ?? "", pod: pod.metadata.name },
        value: each.startedMs / 1000,
      })),
    ),
  };
}

/** Undefined: the runtime could not be asked, and that is all there is to say. */
export function resourceMetrics(usage: NodeUsage | undefined): string {
  const failed = usage ? 0 : 1;
  const single = (
    name: string,
    help: string,
    type: Family["type"],
    value: number,
    atMs?: number,
  ): Family => ({
    name,
    help,
    type,
    samples: [{ labels: {}, value, ...(atMs === undefined ? {} : { atMs }) }],
  });
  const words = "1 if there was an error while getting container metrics, 0 otherwise";
  const errors = [
    single("resource_scrape_error", `[STABLE] ${words}`, "gauge", failed),
    single("scrape_error", `[ALPHA] (Deprecated since 1.29.0) ${words}`, "gauge", failed),
  ];
  if (!usage) return expositionOf(errors);
  const { atMs, cpuNs, memory } = usage;
  return expositionOf([
    ...rows.map((row) => rowFamily(row, usage)),
    startTimes(usage),
    single(
      "node_cpu_usage_seconds_total",
      "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
      "counter",
      secondsOf(cpuNs),
      atMs,
    ),
    single(
      "node_memory_working_set_bytes",
      "[STABLE] Current working set of the node in bytes",
      "gauge",
      memory.workingSetBytes,
      atMs,
    ),
    single(
      "node_swap_usage_bytes",
      "[ALPHA] Current swap usage of the node in bytes. Reported only on non-windows systems",
      "gauge",
      memory.swapUsedBytes,
      atMs,
    ),
    ...errors,
  ]);
}
