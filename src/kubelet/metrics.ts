/**
 * What the kubelet counts of its own work, by upstream's names: what dashboards and alerts of nodes ask for.
 * https://kubernetes.io/docs/reference/instrumentation/metrics/
 */
import { exponentialBuckets, type Metrics } from "#base";

/** As client_golang's default. */
const defaultBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const startBuckets = [
  0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800,
];

const byOperation = ["operation_type"] as const;

/** Those of one name are one, however often they are asked for. */
export function kubeletMetrics(metrics: Metrics) {
  return { ...callMetrics(metrics), ...workMetrics(metrics) };
}

function makersFor(metrics: Metrics) {
  const counter = <L extends string>(name: string, help: string, labels: readonly L[] = []) =>
    metrics.counter(`kubelet_${name}`, `[ALPHA] ${help}`, labels);
  const histogram = <L extends string>(
    name: string,
    help: string,
    labels: readonly L[] = [],
    buckets: readonly number[] = defaultBuckets,
  ) => metrics.histogram(`kubelet_${name}`, `[ALPHA] ${help}`, buckets, labels);
  return { counter, histogram };
}

/** Of what the runtime is asked. */
function callMetrics(metrics: Metrics) {
  const { counter, histogram } = makersFor(metrics);
  return {
    operations: counter(
      "runtime_operations_total",
      "Cumulative number of runtime operations by operation type.",
      byOperation,
    ),
    operationErrors: counter(
      "runtime_operations_errors_total",
      "Cumulative number of runtime operation errors by operation type.",
      byOperation,
    ),
    operationSeconds: histogram(
      "runtime_operations_duration_seconds",
      "Duration in seconds of runtime operations. Broken down by operation type.",
      byOperation,
      exponentialBuckets(0.005, 2.5, 14),
    ),
    sandboxSeconds: histogram(
      "run_podsandbox_duration_seconds",
      "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
      ["runtime_handler"],
    ),
    sandboxErrors: counter(
      "run_podsandbox_errors_total",
      "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
      ["runtime_handler"],
    ),
    startedPods: counter("started_pods_total", "Cumulative number of pods started"),
    podErrors: counter("started_pods_errors_total", "Cumulative number of errors when starting pods"),
    startedContainers: counter("started_containers_total", "Cumulative number of containers started", [
      "container_type",
    ]),
    containerErrors: counter(
      "started_containers_errors_total",
      "Cumulative number of errors when starting containers",
      ["container_type", "code"],
    ),
  };
}

function workMetrics(metrics: Metrics) {
  const { counter, histogram } = makersFor(metrics);
  return {
    relistSeconds: histogram(
      "pleg_relist_duration_seconds",
      "Duration in seconds for relisting pods in PLEG.",
    ),
    relistInterval: histogram(
      "pleg_relist_interval_seconds",
      "Interval in seconds between relisting in PLEG.",
    ),
    podStartSeconds: histogram(
      "pod_start_duration_seconds",
      "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run",
      [],
      startBuckets,
    ),
    workerSeconds: histogram(
      "pod_worker_duration_seconds",
      "Duration in seconds to sync a single pod. Broken down by operation type: create, update, or sync",
      byOperation,
    ),
    cgroupSeconds: histogram(
      "cgroup_manager_duration_seconds",
      "Duration in seconds for cgroup manager operations. Broken down by method.",
      byOperation,
    ),
    evictions: counter("evictions", "Cumulative number of pod evictions by eviction signal", [
      "eviction_signal",
    ]),
    requests: counter(
      "http_requests_total",
      "Number of the http requests received since the server started",
      ["method", "path", "server_type", "long_running"],
    ),
    requestSeconds: histogram(
      "http_requests_duration_seconds",
      "Duration in seconds to serve http requests",
      ["method", "path", "server_type", "long_running"],
    ),
  };
}

export type KubeletMetrics = ReturnType<typeof kubeletMetrics>;
