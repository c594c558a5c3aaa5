/** https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/batch/validation/validation.go */
import { immutable, nonNegative, sameJson, validatePodTemplate } from "../core/pod-spec/template.ts";
import type { batchv1 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { selectorMatches, validateLabelSelector } from "../meta/label-selector.ts";
import { dnsLabelErrors } from "../validation/names.ts";

type Job = Readonly<batchv1.Job>;

const modes = ["Indexed", "NonIndexed"];
const replacementPolicies = ["Failed", "TerminatingOrFailed"];

export function validateJob(job: Job): FieldError[] {
  return [...validateJobSpec(job.spec), ...validateIndexedName(job), ...validateSelector(job)];
}

/** All that can be said of a job without its name and its selector: of the template of a CronJob too. */
export function validateJobSpec(spec: Readonly<batchv1.JobSpec>): FieldError[] {
  const errors = [
    ...nonNegative(spec.parallelism, "spec.parallelism"),
    ...nonNegative(spec.completions, "spec.completions"),
    ...nonNegative(spec.activeDeadlineSeconds, "spec.activeDeadlineSeconds"),
    ...nonNegative(spec.backoffLimit, "spec.backoffLimit"),
    ...nonNegative(spec.backoffLimitPerIndex, "spec.backoffLimitPerIndex"),
    ...nonNegative(spec.maxFailedIndexes, "spec.maxFailedIndexes"),
    ...nonNegative(spec.ttlSecondsAfterFinished, "spec.ttlSecondsAfterFinished"),
    ...validateMode(spec),
    ...validateFailurePolicy(spec),
    ...validatePodTemplate(spec.template, "spec.template"),
  ];
  const policy = spec.template.spec?.restartPolicy;
  if (policy !== "OnFailure" && policy !== "Never") {
    errors.push(required("spec.template.spec.restartPolicy", 'valid values: "OnFailure", "Never"'));
  }
  if (spec.podFailurePolicy && policy !== "Never") {
    const detail = 'only "Never" is supported when podFailurePolicy is specified';
    errors.push(invalid("spec.template.spec.restartPolicy", policy, detail));
  }
  return errors;
}

const failureActions = ["Count", "FailIndex", "FailJob", "Ignore"];
const exitOperators = ["In", "NotIn"];
const rulesMax = 20;

/** https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy */
function validateFailurePolicy(spec: Readonly<batchv1.JobSpec>): FieldError[] {
  const path = "spec.podFailurePolicy.rules";
  const rules = spec.podFailurePolicy?.rules ?? [];
  if (rules.length > rulesMax) {
    return [
      {
        type: "FieldValueTooMany",
        field: path,
        message: `Too many: ${rules.length}: must have at most ${rulesMax} items`,
      },
    ];
  }
  return rules.flatMap((rule, i) => validateFailureRule(rule, `${path}[${i}]`, spec));
}

function validateFailureRule(
  rule: Readonly<batchv1.PodFailurePolicyRule>,
  at: string,
  spec: Readonly<batchv1.JobSpec>,
): FieldError[] {
  const errors: FieldError[] = [];
  if (!rule.action) errors.push(required(`${at}.action`, `valid values: ${JSON.stringify(failureActions)}`));
  else if (!failureActions.includes(rule.action))
    errors.push(notSupported(`${at}.action`, rule.action, failureActions));
  else if (rule.action === "FailIndex" && spec.backoffLimitPerIndex === undefined) {
    errors.push(invalid(`${at}.action`, rule.action, "requires the backoffLimitPerIndex to be set"));
  }
  const codes = rule.onExitCodes;
  if (codes && rule.onPodConditions?.length) {
    errors.push(invalid(at, rule, "specifying both OnExitCodes and OnPodConditions is not supported"));
  } else if (!codes && !rule.onPodConditions?.length) {
    errors.push(invalid(at, rule, "specifying one of OnExitCodes and OnPodConditions is required"));
  }
  if (!codes) return errors;
  if (!exitOperators.includes(codes.operator)) {
    errors.push(notSupported(`${at}.onExitCodes.operator`, codes.operator, exitOperators));
  }
  if (codes.values.length === 0)
    errors.push(invalid(`${at}.onExitCodes.values`, codes.values, "at least one value is required"));
  if (codes.operator === "In" && codes.values.includes(0)) {
    errors.push(
      invalid(`${at}.onExitCodes.values[${codes.values.indexOf(0)}]`, 0, "must not be 0 for the In operator"),
    );
  }
  return errors;
}

function validateMode(spec: Readonly<batchv1.JobSpec>): FieldError[] {
  const errors: FieldError[] = [];
  if (spec.completionMode && !modes.includes(spec.completionMode)) {
    errors.push(notSupported("spec.completionMode", spec.completionMode, modes));
  }
  if (spec.podReplacementPolicy && !replacementPolicies.includes(spec.podReplacementPolicy)) {
    errors.push(notSupported("spec.podReplacementPolicy", spec.podReplacementPolicy, replacementPolicies));
  }
  if (spec.completionMode === "Indexed") {
    if (spec.completions === undefined)
      errors.push(required("spec.completions", "when completion mode is Indexed"));
  } else if (spec.backoffLimitPerIndex !== undefined) {
    errors.push(
      invalid("spec.backoffLimitPerIndex", spec.backoffLimitPerIndex, "requires indexed completion mode"),
    );
  }
  return errors;
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

/** What may change in the template of a suspended job that has not started. */
function withoutScheduling(template: batchv1.JobSpec["template"]): unknown {
  const { nodeSelector, tolerations, affinity, schedulingGates, ...spec } =
    template.spec ?? ({} as NonNullable<typeof template.spec>);
  return { spec, nodeName: spec.nodeName };
}

export function validateJobUpdate(job: Job, old: Job): FieldError[] {
  const { spec } = job;
  const errors = validateJob(job);
  const isIndexed = spec.completionMode === "Indexed";
  const elastic =
    isIndexed && spec.completions === spec.parallelism && old.spec.completions === old.spec.parallelism;
  if (!(isIndexed && elastic))
    errors.push(...immutable(spec.completions, old.spec.completions, "spec.completions"));
  errors.push(...immutable(spec.selector, old.spec.selector, "spec.selector"));
  const isUnstarted = old.spec.suspend === true && !old.status?.startTime;
  const same = isUnstarted
    ? sameJson(withoutScheduling(spec.template), withoutScheduling(old.spec.template))
    : sameJson(spec.template, old.spec.template);
  if (!same) errors.push(invalid("spec.template", spec.template, "field is immutable"));
  errors.push(...immutable(spec.completionMode, old.spec.completionMode, "spec.completionMode"));
  errors.push(...immutable(spec.podFailurePolicy, old.spec.podFailurePolicy, "spec.podFailurePolicy"));
  errors.push(
    ...immutable(spec.backoffLimitPerIndex, old.spec.backoffLimitPerIndex, "spec.backoffLimitPerIndex"),
  );
  return errors;
}
