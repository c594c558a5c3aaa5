/** https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/batch/validation/validation.go */
import { immutable, nonNegative, sameJson, validatePodTemplate } from "../core/pod-spec/template.ts";
import type { batchv1 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required, tooLong } from "../meta/field-error.ts";
import { selectorMatches, validateLabelSelector } from "../meta/label-selector.ts";
import { oneOf } from "../validation/checks.ts";
import { dnsLabelErrors } from "../validation/names.ts";
import { domainPrefixedPathErrors } from "../validation/special-names.ts";
import { validateFailurePolicy, validateSuccessPolicy } from "./job-policies.ts";

type Job = Readonly<batchv1.Job>;
type Spec = Readonly<batchv1.JobSpec>;

const modes = ["NonIndexed", "Indexed"];
const replacementPolicies = ["Failed", "TerminatingOrFailed"];
const managerMaxLength = 63;

export function validateJob(job: Job): FieldError[] {
  return [...validateJobSpec(job.spec), ...validateIndexedName(job), ...validateSelector(job)];
}

/** All that can be said of a job without its name and its selector: of the template of a CronJob too. */
export function validateJobSpec(spec: Spec): FieldError[] {
  return [
    ...nonNegative(spec.parallelism, "spec.parallelism"),
    ...nonNegative(spec.completions, "spec.completions"),
    ...nonNegative(spec.activeDeadlineSeconds, "spec.activeDeadlineSeconds"),
    ...nonNegative(spec.backoffLimit, "spec.backoffLimit"),
    ...nonNegative(spec.backoffLimitPerIndex, "spec.backoffLimitPerIndex"),
    ...nonNegative(spec.maxFailedIndexes, "spec.maxFailedIndexes"),
    ...nonNegative(spec.ttlSecondsAfterFinished, "spec.ttlSecondsAfterFinished"),
    ...validateFailedIndexes(spec),
    ...validateManager(spec),
    ...validateMode(spec),
    ...validateFailurePolicy(spec),
    ...validateSuccessPolicy(spec),
    ...validateReplacement(spec),
    ...validatePodTemplate(spec.template, "spec.template"),
    ...validateRestarts(spec),
  ];
}

function validateFailedIndexes(spec: Spec): FieldError[] {
  const isAlone = spec.maxFailedIndexes !== undefined && spec.backoffLimitPerIndex === undefined;
  return isAlone ? [required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified")] : [];
}

function validateReplacement({ podReplacementPolicy = "Failed", podFailurePolicy }: Spec): FieldError[] {
  const supported = podFailurePolicy ? ["Failed"] : replacementPolicies;
  return oneOf(podReplacementPolicy, "spec.podReplacementPolicy", supported);
}

function validateRestarts({ template, podFailurePolicy }: Spec): FieldError[] {
  const field = "spec.template.spec.restartPolicy";
  const policy = template.spec?.restartPolicy;
  if (policy === undefined || policy === "Always")
    return [required(field, 'valid values: "OnFailure", "Never"')];
  if (policy !== "OnFailure" && policy !== "Never")
    return [notSupported(field, policy, ["OnFailure", "Never"])];
  const detail = 'only "Never" is supported when podFailurePolicy is specified';
  return podFailurePolicy && policy !== "Never" ? [invalid(field, policy, detail)] : [];
}

function validateManager({ managedBy }: Spec): FieldError[] {
  if (managedBy === undefined) return [];
  const field = "spec.managedBy";
  const isLong = managedBy.length > managerMaxLength;
  return [
    ...domainPrefixedPathErrors(field, managedBy),
    ...(isLong ? [tooLong(field, managerMaxLength)] : []),
  ];
}

const limits = { parallelism: 100_000, completions: 100_000, maxFailedIndexes: 100_000 };
/** With more completions than that, and a limit for each of them. */
const limitWithMany = 10_000;

function validateMode(spec: Spec): FieldError[] {
  const mode = spec.completionMode ?? "NonIndexed";
  const errors = oneOf(mode, "spec.completionMode", modes);
  if (mode === "Indexed") return [...errors, ...validateIndexed(spec), ...validateMany(spec)];
  const detail = "requires indexed completion mode";
  for (const name of ["backoffLimitPerIndex", "maxFailedIndexes"] as const) {
    if (mode === "NonIndexed" && spec[name] !== undefined)
      errors.push(invalid(`spec.${name}`, spec[name], detail));
  }
  return errors;
}

function validateIndexed({ completions, parallelism = 0, maxFailedIndexes }: Spec): FieldError[] {
  const errors: FieldError[] = [];
  if (completions === undefined) errors.push(required("spec.completions", "when completion mode is Indexed"));
  if (parallelism > limits.parallelism) {
    const detail = `must be less than or equal to ${limits.parallelism} when completion mode is Indexed`;
    errors.push(invalid("spec.parallelism", parallelism, detail));
  }
  if (maxFailedIndexes === undefined) return errors;
  const field = "spec.maxFailedIndexes";
  if (completions !== undefined && maxFailedIndexes > completions)
    errors.push(invalid(field, maxFailedIndexes, "must be less than or equal to completions"));
  if (maxFailedIndexes > limits.maxFailedIndexes)
    errors.push(invalid(field, maxFailedIndexes, `must be less than or equal to ${limits.maxFailedIndexes}`));
  return errors;
}

function validateMany(spec: Spec): FieldError[] {
  const { completions = 0, backoffLimitPerIndex, maxFailedIndexes } = spec;
  if (completions <= limits.completions || backoffLimitPerIndex === undefined) return [];
  const many = `completions are above ${limits.completions} and used with backoff limit per index`;
  const tooMuch = (["parallelism", "maxFailedIndexes"] as const).flatMap((name) =>
    (spec[name] ?? 0) > limitWithMany
      ? [invalid(`spec.${name}`, spec[name], `must be less than or equal to ${limitWithMany} when ${many}`)]
      : [],
  );
  if (maxFailedIndexes !== undefined) return tooMuch;
  const detail = `must be specified when completions is above ${limits.completions}`;
  return [required("spec.maxFailedIndexes", detail), ...tooMuch];
}

/** Pods of an Indexed job take their host names from it. */
function validateIndexedName({ spec, metadata }: Job): FieldError[] {
  if (spec.completionMode !== "Indexed" || !metadata.name) return [];
  const last = `${metadata.name}-${Math.max(0, (spec.completions ?? 1) - 1)}`;
  return dnsLabelErrors(last).map((e) =>
    invalid(
      "metadata.name",
      metadata.name,
      `will not able to create pod with invalid DNS label: ${last} ${e}`,
    ),
  );
}

function validateSelector(job: Job): FieldError[] {
  const { spec } = job;
  if (!spec.selector) return [required("spec.selector")];
  const errors = validateLabelSelector(spec.selector, "spec.selector");
  if (!spec.manualSelector && !isGenerated(job)) {
    errors.push(invalid("spec.selector", spec.selector, "`selector` not auto-generated"));
  }
  const labels = spec.template.metadata?.labels;
  if (errors.length === 0 && !selectorMatches(spec.selector, labels)) {
    errors.push(
      invalid("spec.template.metadata.labels", labels ?? null, "`selector` does not match template `labels`"),
    );
  }
  return errors;
}

function isGenerated(job: Job): boolean {
  const { matchLabels = {}, matchExpressions = [] } = job.spec.selector ?? {};
  const keys = Object.keys(matchLabels);
  if (matchExpressions.length > 0 || keys.length !== 1) return false;
  const uid = matchLabels["batch.kubernetes.io/controller-uid"] ?? matchLabels["controller-uid"];
  return uid === job.metadata.uid;
}

/**
 * Nothing of a suspended job runs: where its pods go and what they ask for may change until it goes on.
 * https://kubernetes.io/docs/concepts/workloads/controllers/job/#mutable-scheduling-directives
 */
function restsSuspended({ spec, status }: Job): boolean {
  if (!spec.suspend || (status?.active ?? 0) > 0) return false;
  const isSuspended = status?.conditions?.some((each) => each.type === "Suspended" && each.status === "True");
  return !status?.startTime || isSuspended === true;
}

/** The template without what may change while the job rests. */
function fixedPart(template: batchv1.JobSpec["template"]): unknown {
  const { nodeSelector, tolerations, affinity, schedulingGates, ...spec } =
    template.spec ?? ({} as NonNullable<typeof template.spec>);
  const withoutResources = ({ resources, ...container }: { resources?: unknown }) => container;
  return {
    ...spec,
    containers: spec.containers?.map(withoutResources),
    initContainers: spec.initContainers?.map(withoutResources),
  };
}

/** Completions of an Indexed job go along with its parallelism. */
function validateCompletions(spec: Spec, old: Spec): FieldError[] {
  const field = "spec.completions";
  if (spec.completionMode !== "Indexed" || spec.completions === undefined)
    return immutable(spec.completions, old.completions, field);
  if (spec.completions === old.completions || spec.completions === spec.parallelism) return [];
  return [invalid(field, spec.completions, "can only be modified in tandem with spec.parallelism")];
}

const fixedFields = [
  "completionMode",
  "podFailurePolicy",
  "backoffLimitPerIndex",
  "managedBy",
  "successPolicy",
] as const;

export function validateJobUpdate(job: Job, old: Job): FieldError[] {
  const { spec } = job;
  const errors = [
    ...validateJob(job),
    ...validateCompletions(spec, old.spec),
    ...immutable(spec.selector, old.spec.selector, "spec.selector"),
  ];
  const same = restsSuspended(old)
    ? sameJson(fixedPart(spec.template), fixedPart(old.spec.template))
    : sameJson(spec.template, old.spec.template);
  if (!same) errors.push(invalid("spec.template", spec.template, "field is immutable"));
  for (const name of fixedFields) errors.push(...immutable(spec[name], old.spec[name], `spec.${name}`));
  return errors;
}
