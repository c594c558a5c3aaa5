/** The scheduler's metrics, under upstream's names. https://kubernetes.io/docs/reference/instrumentation/metrics/ */
import { exponentialBuckets, type World } from "#base";
import type { SchedulingQueue } from "./queue.ts";

export type Outcome = "scheduled" | "unschedulable" | "error";

/** How often the sizes of the queue are told. */
const pendingMs = 5_000;
/** More attempts than this are told as one. */
const attemptsTold = 15;

export class SchedulerMetrics {
  readonly #attempt: (labels: { result: Outcome; profile: string }, seconds: number) => void;
  readonly #preemption: () => void;
  readonly #victims: (count: number) => void;
  readonly #placed: (attempts: number, seconds: number) => void;
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
    const victims = metrics.histogram(
      "scheduler_preemption_victims",
      "Number of selected preemption victims",
      exponentialBuckets(1, 2, 7),
    );
    const tries = metrics.histogram(
      "scheduler_pod_scheduling_attempts",
      "Number of attempts to successfully schedule a pod",
      exponentialBuckets(1, 2, 5),
    );
    const wholes = metrics.histogram(
      "scheduler_pod_scheduling_sli_duration_seconds",
      "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue",
      exponentialBuckets(0.01, 2, 20),
      ["attempts"],
    );
    const incoming = metrics.counter(
      "scheduler_queue_incoming_pods_total",
      "Number of pods added to scheduling queues by event and queue type",
      ["queue", "event"],
    );
    queue.onIncoming((name, event) => incoming.inc({ queue: name, event }));
    const pending = metrics.gauge("scheduler_pending_pods", "Number of pending pods, by the queue type", [
      "queue",
    ]);
    this.#attempt = (labels, seconds) => {
      latency.observe(labels, seconds);
      attempts.inc(labels);
    };
    this.#preemption = () => preemptions.inc();
    this.#victims = (count) => victims.observe(count);
    this.#placed = (attempts, seconds) => {
      tries.observe(attempts);
      wholes.observe({ attempts: attempts > attemptsTold ? `${attemptsTold}+` : String(attempts) }, seconds);
    };
    const timer = clock.every(pendingMs, () => {
      for (const [name, size] of Object.entries(queue.sizes)) pending.set({ queue: name }, size);
    });
    this.stop = () => timer.cancel();
  }

  attempted(result: Outcome, profile: string, seconds: number): void {
    this.#attempt({ result, profile }, seconds);
  }

  /** Room was looked for; `victims`: of so many pods, if it was found. */
  preempted(victims: number): void {
    this.#preemption();
    if (victims > 0) this.#victims(victims);
  }

  /** It has its node, after so many attempts, and so long after it came. */
  placed(attempts: number, seconds: number): void {
    this.#placed(attempts, seconds);
  }
}
