/** https://github.com/kubernetes/kubernetes/blob/master/pkg/api/job/warnings.go */
import { isUnchanged, podTemplateWarnings, workloadNameWarnings } from "../core/pod-spec/warnings.ts";
import type { batchv1 } from "../generated/types/index.ts";

type Job = Readonly<batchv1.Job>;
type CronJob = Readonly<batchv1.CronJob>;

const completionsMax = 100_000;
const parallelismMax = 10_000;

function specWarnings(spec: Readonly<batchv1.JobSpec>, at: string): string[] {
  const { completionMode, completions = 0, parallelism = 0, template } = spec;
  const isTooWide =
    completionMode === "Indexed" && completions > completionsMax && parallelism > parallelismMax;
  const message =
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail";
  return [...(isTooWide ? [`${at}: ${message}`] : []), ...podTemplateWarnings(template, `${at}.template`)];
}

export function jobWarnings(job: Job, old: Job | undefined): string[] {
  return isUnchanged(job, old) ? [] : [...workloadNameWarnings(job, old), ...specWarnings(job.spec, "spec")];
}

export function cronJobWarnings(cronJob: CronJob, old: CronJob | undefined): string[] {
  const { jobTemplate, schedule = "" } = cronJob.spec;
  const spec = jobTemplate?.spec;
  const warnings = [
    ...workloadNameWarnings(cronJob, old),
    ...(spec && !isUnchanged(cronJob, old) ? specWarnings(spec, "spec.jobTemplate.spec") : []),
  ];
  if (schedule.includes("TZ")) {
    // Upstream's path.
    const more = "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details";
    warnings.push(`CRON_TZ or TZ used in spec.spec.schedule is not officially supported, see ${more}`);
  }
  return warnings;
}
