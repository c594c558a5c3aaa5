/** What the Job controller counts, under upstream's names. https://kubernetes.io/docs/reference/instrumentation/metrics/ */
import type { batchv1 } from "#api";
import { exponentialBuckets, type World } from "#base";
import { isConditionTrue } from "../kit/conditions.ts";

type Job = Readonly<batchv1.Job>;
type Status = Readonly<batchv1.JobStatus> | undefined;
export type SyncAction = "reconciling" | "tracking" | "pods_created" | "pods_deleted";

const modeOf = ({ spec }: Job) => spec.completionMode ?? "NonIndexed";

/** One round for a Job. */
export function observeSync(
  { metrics }: World,
  job: Job,
  action: SyncAction,
  result: "success" | "error",
  seconds: number,
): void {
  const labels = { completion_mode: modeOf(job), result, action };
  const names = ["completion_mode", "result", "action"] as const;
  metrics.counter("job_controller_job_syncs_total", "The number of job syncs", names).inc(labels);
  metrics
    .histogram(
      "job_controller_job_sync_duration_seconds",
      "The time it took to sync a job",
      exponentialBuckets(0.004, 2, 15),
      names,
    )
    .observe(labels, seconds);
}

/** A new status has been written: the pods that it counts for the first time, and the end of the Job. */
export function observeStatus({ metrics }: World, job: Job, now: Status): void {
  const completion_mode = modeOf(job);
  const pods = metrics.counter(
    "job_controller_job_pods_finished_total",
    "The number of finished Pods that are fully tracked",
    ["completion_mode", "result"],
  );
  for (const result of ["succeeded", "failed"] as const) {
    const more = (now?.[result] ?? 0) - (job.status?.[result] ?? 0);
    if (more > 0) pods.inc({ completion_mode, result }, more);
  }
  const finished = metrics.counter("job_controller_jobs_finished_total", "The number of finished jobs", [
    "completion_mode",
    "result",
    "reason",
  ]);
  const ended = (type: string) =>
    isConditionTrue(now?.conditions, type) && !isConditionTrue(job.status?.conditions, type);
  if (ended("Complete")) finished.inc({ completion_mode, result: "succeeded", reason: "" });
  if (!ended("Failed")) return;
  const reason = now?.conditions?.find(({ type }) => type === "Failed")?.reason ?? "";
  finished.inc({ completion_mode, result: "failed", reason });
}
