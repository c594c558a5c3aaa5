/** What flow control tells: upstream's names and labels. https://kubernetes.io/docs/reference/instrumentation/metrics/ */
import type { Metrics } from "#base";

export type Reason = "queue-full" | "concurrency-limit" | "time-out" | "cancelled";

const prefix = "apiserver_flowcontrol";
const labels = ["priority_level", "flow_schema"] as const;
/** Seconds. */
const waitBuckets = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];

/** Made once: what every request counts is not looked up by name. */
export function flowMetrics(metrics: Metrics) {
  const counter = <L extends string>(name: string, help: string, names: readonly L[]) =>
    metrics.counter(`${prefix}_${name}`, help, names);
  const gauge = <L extends string>(name: string, help: string, names: readonly L[]) =>
    metrics.gauge(`${prefix}_${name}`, help, names);
  return {
    dispatched: counter("dispatched_requests_total", "Requests that were given a seat", labels),
    rejected: counter("rejected_requests_total", "Requests that were given none", [...labels, "reason"]),
    waited: metrics.histogram(
      `${prefix}_request_wait_duration_seconds`,
      "How long requests waited for a seat, or for none",
      waitBuckets,
      [...labels, "execute"],
    ),
    waiting: gauge("current_inqueue_requests", "Requests that wait for a seat", labels),
    executing: gauge("current_executing_requests", "Requests at work", labels),
    seats: gauge("current_executing_seats", "Seats that requests at work have taken", labels),
    nominal: gauge("nominal_limit_seats", "Seats of a priority level while all want theirs", [
      "priority_level",
    ]),
  };
}
