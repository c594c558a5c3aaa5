/** Job. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/ */
import { containerColumns } from "../core/pod-spec/columns.ts";
import { defaultPodTemplate } from "../core/pod-spec/template.ts";
import type { batchv1, metav1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { formatLabelSelector } from "../meta/label-selector.ts";
import { formatAge, parseTime } from "../meta/time.ts";
import { validateJob, validateJobUpdate } from "./job-validation.ts";
import { jobWarnings } from "./job-warnings.ts";

type Job = Readonly<batchv1.Job>;

const int32Max = 2147483647;

function defaultJob(job: batchv1.Job): void {
  job.spec ??= {} as batchv1.JobSpec;
  const { spec } = job;
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : int32Max;
  spec.completionMode ??= "NonIndexed";
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy ? "Failed" : "TerminatingOrFailed";
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ??= "True";
  }
  defaultPodTemplate(spec);
  takeTemplateLabels(job);
  job.status ??= {};
}

/** A job without labels has those of its pods. */
function takeTemplateLabels(job: batchv1.Job): void {
  const labels = job.spec.template.metadata?.labels;
  if (labels && Object.keys(job.metadata.labels ?? {}).length === 0) job.metadata.labels = { ...labels };
}

/** Every job selects its own pods by its uid, unless the client manages the selector itself. */
function generateSelector(job: batchv1.Job): void {
  const { uid, name } = job.metadata;
  job.spec.template.metadata ??= {} as metav1.ObjectMeta;
  job.spec.template.metadata.labels = {
    ...job.spec.template.metadata.labels,
    "batch.kubernetes.io/controller-uid": uid,
    "batch.kubernetes.io/job-name": name,
    // The names before 1.27, which people still select by.
    "controller-uid": uid,
    "job-name": name,
  };
  job.spec.selector ??= {};
  job.spec.selector.matchLabels = {
    ...job.spec.selector.matchLabels,
    "batch.kubernetes.io/controller-uid": uid,
  };
}

function statusText(job: Job): string {
  const has = (type: string) =>
    (job.status?.conditions ?? []).some((c) => c.type === type && c.status === "True");
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (job.metadata.deletionTimestamp) return "Terminating";
  if (has("Suspended")) return "Suspended";
  if (has("FailureTarget")) return "FailureTarget";
  return has("SuccessCriteriaMet") ? "SuccessCriteriaMet" : "Running";
}

function completionsText(job: Job): string {
  const succeeded = job.status?.succeeded ?? 0;
  if (job.spec.completions !== undefined) return `${succeeded}/${job.spec.completions}`;
  const parallelism = job.spec.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function durationText(job: Job, nowMs: number): string {
  const started = parseTime(job.status?.startTime ?? "");
  if (started === undefined) return "";
  return formatAge((parseTime(job.status?.completionTime ?? "") ?? nowMs) - started);
}

export const jobs = defineResource<batchv1.Job>({
  group: "batch",
  version: "v1",
  resource: "jobs",
  kind: "Job",
  typeName: "io.k8s.api.batch.v1.Job",
  namespaced: true,
  categories: ["all"],
  hasGeneration: true,
  subresources: { status: { kind: "Job", verbs: ["get", "patch", "update"] } },
  defaults: defaultJob,
  onCreate(job) {
    job.status = {};
    if (!job.spec.manualSelector) generateSelector(job);
    takeTemplateLabels(job);
  },
  validate: validateJob,
  warnings: jobWarnings,
  validateUpdate: validateJobUpdate,
  selectableFields: { "status.successful": (job) => String(job.status?.succeeded ?? 0) },
  columns: [
    nameColumn(),
    column("Status", "string", "Status of the job.", statusText),
    column("Completions", "string", "How many pods succeeded, of how many that must.", completionsText),
    column("Duration", "string", "Time required to complete the job.", durationText),
    ageColumn(),
    ...containerColumns<batchv1.Job>((j) => j.spec.template.spec),
    column("Selector", "string", "Label selector for pods.", (j) => formatLabelSelector(j.spec.selector), 1),
  ],
});
