/** What flow control tells: upstream's names and labels. https://kubernetes.io/docs/reference/instrumentation/metrics/ */
import type { Metrics } from "#base";

export type Reason = "queue-full" | "concurrency-limit" | "time-out" | "cancelled";

const labels = ["priority_level", "flow_schema"] as const;
/** Seconds. */
const waitBuckets = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];

export class FlowMetrics {
  readonly #metrics: Metrics;

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  get dispatched() {
    const help = "Requests that were given a seat";
    return this.#metrics.counter("apiserver_flowcontrol_dispatched_requests_total", help, labels);
  }

  get rejected() {
    const help = "Requests that were given none";
    const name = "apiserver_flowcontrol_rejected_requests_total";
    return this.#metrics.counter(name, help, [...labels, "reason"]);
  }

  get waited() {
    const help = "How long requests waited for a seat, or for none";
    const name = "apiserver_flowcontrol_request_wait_duration_seconds";
    return this.#metrics.histogram(name, help, waitBuckets, [...labels, "execute"]);
  }

  get waiting() {
    const help = "Requests that wait for a seat";
    return this.#metrics.gauge("apiserver_flowcontrol_current_inqueue_requests", help, labels);
  }

  get executing() {
    const help = "Requests at work";
    return this.#metrics.gauge("apiserver_flowcontrol_current_executing_requests", help, labels);
  }

  get seats() {
    const help = "Seats that requests at work have taken";
    return this.#metrics.gauge("apiserver_flowcontrol_current_executing_seats", help, labels);
  }

  get nominal() {
    const help = "Seats of a priority level while all want theirs";
    return this.#metrics.gauge("apiserver_flowcontrol_nominal_limit_seats", help, ["priority_level"]);
  }
}
