/** CronJob. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/cron-job-v1/ */
import { containerColumns } from "../core/pod-spec/columns.ts";
import { defaultPodTemplate, nonNegative } from "../core/pod-spec/template.ts";
import type { batchv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { formatLabelSelector } from "../meta/label-selector.ts";
import { ageOf } from "../meta/time.ts";
import { validateJobSpec } from "./job-validation.ts";
import { cronJobWarnings } from "./job-warnings.ts";
import { isTimeZone, parseSchedule, ScheduleError } from "./schedule.ts";

type CronJob = Readonly<batchv1.CronJob>;

/** A job's name is the CronJob's and eleven characters more. */
const nameMax = 52;
const concurrencyPolicies = ["Allow", "Forbid", "Replace"];

function defaultCronJob(cronJob: batchv1.CronJob): void {
  cronJob.spec ??= {} as batchv1.CronJobSpec;
  const { spec } = cronJob;
  spec.concurrencyPolicy ??= "Allow";
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  spec.jobTemplate ??= {} as batchv1.JobTemplateSpec;
  spec.jobTemplate.spec ??= {} as batchv1.JobSpec;
  defaultPodTemplate(spec.jobTemplate.spec);
  cronJob.status ??= {};
}

/** Schedules with a zone inside were let in once: an object that has one may keep it. */
function validateSchedule(spec: Readonly<batchv1.CronJobSpec>, old?: CronJob): FieldError[] {
  const path = "spec.schedule";
  const { schedule, timeZone } = spec;
  if (!schedule) return [required(path)];
  const errors: FieldError[] = [];
  if (schedule.includes("TZ") && schedule !== old?.spec.schedule) {
    const why =
      timeZone === undefined
        ? "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
        : "cannot use both timeZone field and TZ or CRON_TZ in schedule";
    errors.push(invalid(path, schedule, why));
  }
  try {
    parseSchedule(schedule);
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    errors.push(invalid(path, schedule, error.message));
  }
  return errors;
}

function validateTimeZone(timeZone: string | undefined): FieldError[] {
  const path = "spec.timeZone";
  if (timeZone === undefined) return [];
  if (timeZone === "") return [invalid(path, timeZone, "timeZone must be nil or non-empty string")];
  if (timeZone.toLowerCase() === "local") {
    const why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
    return [invalid(path, timeZone, why)];
  }
  return isTimeZone(timeZone) ? [] : [invalid(path, timeZone, `unknown time zone ${timeZone}`)];
}

/** The errors of the jobs to come, at their place in the template. */
function validateTemplate(template: Readonly<batchv1.JobTemplateSpec>): FieldError[] {
  const spec = template.spec ?? ({} as batchv1.JobSpec);
  const errors = validateJobSpec(spec).map((error) => ({
    ...error,
    field: error.field.replace(/^spec\./, "spec.jobTemplate.spec."),
  }));
  if (spec.manualSelector)
    errors.push(notSupported("spec.jobTemplate.spec.manualSelector", true, ["false", "nil"]));
  return errors;
}

function validateCronJob(cronJob: CronJob, old?: CronJob): FieldError[] {
  const { spec } = cronJob;
  const policy = spec.concurrencyPolicy;
  const errors = [
    ...validateSchedule(spec, old),
    ...nonNegative(spec.startingDeadlineSeconds, "spec.startingDeadlineSeconds"),
    ...(spec.timeZone === old?.spec.timeZone ? [] : validateTimeZone(spec.timeZone)),
    ...validateTemplate(spec.jobTemplate),
    ...nonNegative(spec.successfulJobsHistoryLimit, "spec.successfulJobsHistoryLimit"),
    ...nonNegative(spec.failedJobsHistoryLimit, "spec.failedJobsHistoryLimit"),
  ];
  if (!policy) errors.push(required("spec.concurrencyPolicy"));
  else if (!concurrencyPolicies.includes(policy))
    errors.push(notSupported("spec.concurrencyPolicy", policy, concurrencyPolicies));
  if (!old && (cronJob.metadata.name ?? "").length > nameMax)
    errors.push(
      invalid("metadata.name", cronJob.metadata.name, `must be no more than ${nameMax} characters`),
    );
  return errors;
}

export const cronJobs = defineResource<batchv1.CronJob>({
  group: "batch",
  version: "v1",
  resource: "cronjobs",
  kind: "CronJob",
  typeName: "io.k8s.api.batch.v1.CronJob",
  namespaced: true,
  shortNames: ["cj"],
  categories: ["all"],
  hasGeneration: true,
  subresources: { status: { kind: "CronJob", verbs: ["get", "patch", "update"] } },
  defaults: defaultCronJob,
  validate: (cronJob) => validateCronJob(cronJob),
  warnings: cronJobWarnings,
  validateUpdate: validateCronJob,
  columns: [
    nameColumn(),
    column("Schedule", "string", "The schedule in Cron format.", (c) => c.spec.schedule ?? ""),
    column(
      "Timezone",
      "string",
      "The time zone name for the given schedule.",
      (c) => c.spec.timeZone ?? "<none>",
    ),
    column("Suspend", "boolean", "Whether subsequent executions are suspended.", (c) =>
      c.spec.suspend ? "True" : "False",
    ),
    column(
      "Active",
      "integer",
      "The number of currently running jobs.",
      (c) => c.status?.active?.length ?? 0,
    ),
    column("Last Schedule", "string", "When a job was last scheduled.", (c, nowMs) =>
      c.status?.lastScheduleTime ? ageOf(c.status.lastScheduleTime, nowMs) : "<none>",
    ),
    ageColumn(),
    ...containerColumns<batchv1.CronJob>((c) => c.spec.jobTemplate.spec?.template.spec),
    column(
      "Selector",
      "string",
      "Label selector for pods.",
      (c) => formatLabelSelector(c.spec.jobTemplate.spec?.selector) || "<none>",
      1,
    ),
  ],
});
