/** The scheduler's metrics, under upstream's names. https://kubernetes.io/docs/reference/instrumentation/metrics/ */
import type { World } from "#base";
import type { SchedulingQueue } from "./queue.ts";

export type Outcome = "scheduled" | "unschedulable" | "error";

/** How often the sizes of the queue are told. */
const pendingMs = 5_000;

export class SchedulerMetrics {
  readonly #attempt: (labels: { result: Outcome; profile: string }, seconds: number) => void;
  readonly #preemption: () => void;
  readonly stop: () => void;

  constructor({ metrics, clock }: World, queue: SchedulingQueue) {
    const latency = metrics.latency(
      "scheduler_scheduling_attempt_duration_seconds",
      "Scheduling attempt latency in seconds",
      ["result", "profile"],
    );
    const attempts = metrics.counter(
      "scheduler_schedule_attempts_total",
      "Number of attempts to schedule pods, by the result",
      ["result", "profile"],
    );
    const preemptions = metrics.counter(
      "scheduler_preemption_attempts_total",
      "Total preemption attempts in the cluster till now",
    );
    const pending = metrics.gauge("scheduler_pending_pods", "Number of pending pods, by the queue type", [
      "queue",
    ]);
    this.#attempt = (labels, seconds) => {
      latency.observe(labels, seconds);
      attempts.inc(labels);
    };
    this.#preemption = () => preemptions.inc();
    const timer = clock.every(pendingMs, () => {
      for (const [name, size] of Object.entries(queue.sizes)) pending.set({ queue: name }, size);
    });
    this.stop = () => timer.cancel();
  }

  attempted(result: Outcome, profile: string, seconds: number): void {
    this.#attempt({ result, profile }, seconds);
  }

  preempted(): void {
    this.#preemption();
  }
}
