/**
 * When a job has failed or succeeded before its time.
 * https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
 * https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy
 */
import { nonNegative } from "../core/pod-spec/template.ts";
import type { batchv1 } from "../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "../meta/field-error.ts";
import { invalidEach } from "../validation/checks.ts";
import { qualifiedNameErrors } from "../validation/names.ts";

type Spec = Readonly<batchv1.JobSpec>;

const failureActions = ["Count", "FailIndex", "FailJob", "Ignore"];
const exitOperators = ["In", "NotIn"];
const conditionStatuses = ["False", "True", "Unknown"];
const rulesMax = 20;
const exitCodesMax = 255;
const indexesMaxLength = 64 * 1024;

function oneRequired(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  if (!value)
    return [required(field, `valid values: [${supported.map((s) => JSON.stringify(s)).join(" ")}]`)];
  return supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

export function validateFailurePolicy(spec: Spec): FieldError[] {
  const path = "spec.podFailurePolicy.rules";
  const rules = spec.podFailurePolicy?.rules ?? [];
  if (rules.length > rulesMax) return [tooMany(path, rules.length, rulesMax)];
  return rules.flatMap((rule, i) => validateFailureRule(rule, `${path}[${i}]`, spec));
}

function validateFailureRule(
  rule: Readonly<batchv1.PodFailurePolicyRule>,
  at: string,
  spec: Spec,
): FieldError[] {
  const { action, onExitCodes, onPodConditions = [] } = rule;
  const errors = oneRequired(action, `${at}.action`, failureActions);
  if (action === "FailIndex" && spec.backoffLimitPerIndex === undefined)
    errors.push(invalid(`${at}.action`, action, "requires the backoffLimitPerIndex to be set"));
  if (onExitCodes) errors.push(...validateExitCodes(onExitCodes, `${at}.onExitCodes`, spec));
  errors.push(...validateConditions(onPodConditions, `${at}.onPodConditions`));
  const given = (onExitCodes ? 1 : 0) + (onPodConditions.length > 0 ? 1 : 0);
  const both = "specifying both OnExitCodes and OnPodConditions is not supported";
  const neither = "specifying one of OnExitCodes and OnPodConditions is required";
  if (given !== 1) {
    const message = `Invalid value: ${given === 2 ? both : neither}`;
    errors.push({ type: "FieldValueInvalid", field: at, message });
  }
  return errors;
}

function validateConditions(
  patterns: readonly batchv1.PodFailurePolicyOnPodConditionsPattern[],
  at: string,
): FieldError[] {
  if (patterns.length > rulesMax) return [tooMany(at, patterns.length, rulesMax)];
  return patterns.flatMap(({ type, status }, i) => [
    ...invalidEach(`${at}[${i}].type`, type, qualifiedNameErrors(type)),
    ...oneRequired(status, `${at}[${i}].status`, conditionStatuses),
  ]);
}

function validateExitCodes(
  codes: Readonly<batchv1.PodFailurePolicyOnExitCodesRequirement>,
  at: string,
  { template }: Spec,
): FieldError[] {
  const { operator, containerName, values } = codes;
  const errors = oneRequired(operator, `${at}.operator`, exitOperators);
  const containers = [...(template.spec?.containers ?? []), ...(template.spec?.initContainers ?? [])];
  if (containerName !== undefined && !containers.some(({ name }) => name === containerName)) {
    const detail = "must be one of the container or initContainer names in the pod template";
    errors.push(invalid(`${at}.containerName`, containerName, detail));
  }
  if (values.length === 0) errors.push(invalid(`${at}.values`, values, "at least one value is required"));
  if (values.length > exitCodesMax) errors.push(tooMany(`${at}.values`, values.length, exitCodesMax));
  const seen = new Set<number>();
  for (const [i, value] of values.entries()) {
    if (operator === "In" && value === 0)
      errors.push(invalid(`${at}.values[${i}]`, value, "must not be 0 for the In operator"));
    if (seen.has(value)) errors.push(duplicate(`${at}.values[${i}]`, value));
    seen.add(value);
  }
  if (values.some((value, i) => i > 0 && values[i - 1]! > value))
    errors.push(invalid(`${at}.values`, values, "must be ordered"));
  return errors;
}

export function validateSuccessPolicy(spec: Spec): FieldError[] {
  const { successPolicy } = spec;
  if (!successPolicy) return [];
  if (spec.completionMode !== "Indexed")
    return [invalid("spec.successPolicy", successPolicy, "requires indexed completion mode")];
  const path = "spec.successPolicy.rules";
  const { rules = [] } = successPolicy;
  if (rules.length === 0)
    return [required(path, "at least one rules must be specified when the successPolicy is specified")];
  if (rules.length > rulesMax) return [tooMany(path, rules.length, rulesMax)];
  return rules.flatMap((rule, i) => validateSuccessRule(rule, `${path}[${i}]`, spec.completions ?? 0));
}

function validateSuccessRule(
  { succeededCount, succeededIndexes }: Readonly<batchv1.SuccessPolicyRule>,
  at: string,
  completions: number,
): FieldError[] {
  if (succeededCount === undefined && succeededIndexes === undefined)
    return [required(at, "at least one of succeededCount or succeededIndexes must be specified")];
  const errors: FieldError[] = [];
  let indexes: number | undefined;
  if (succeededIndexes !== undefined) {
    if (succeededIndexes.length > indexesMaxLength)
      return [tooLong(`${at}.succeededIndexes`, indexesMaxLength)];
    const counted = countIndexes(succeededIndexes, completions);
    if (typeof counted === "number") indexes = counted;
    else {
      const detail = `error parsing succeededIndexes: ${counted.problem}`;
      errors.push(invalid(`${at}.succeededIndexes`, succeededIndexes, detail));
    }
  }
  if (succeededCount === undefined) return errors;
  const field = `${at}.succeededCount`;
  errors.push(...nonNegative(succeededCount, field));
  const mostly = (max: number, what: string) => {
    if (succeededCount > max)
      errors.push(invalid(field, succeededCount, `must be less than or equal to ${max} (${what})`));
  };
  mostly(completions, "the number of specified completions");
  if (succeededIndexes !== undefined)
    mostly(indexes ?? 0, "the number of indexes in the specified succeededIndexes field");
  return errors;
}

/** `1,3-5,7`: how many that are, each below the number of completions. */
function countIndexes(text: string, completions: number): number | { problem: string } {
  if (text === "") return 0;
  let total = 0;
  let previous = -1;
  for (const interval of text.split(",")) {
    const limits = interval.split("-");
    if (limits.length > 2) {
      const rule = "the requirement that an index interval can have at most two parts separated by '-'";
      return { problem: `the fragment ${JSON.stringify(interval)} violates ${rule}` };
    }
    for (const limit of limits) {
      if (!/^\d{1,10}$/.test(limit))
        return { problem: `cannot convert string to integer for index: ${JSON.stringify(limit)}` };
      const index = Number(limit);
      if (index >= completions) return { problem: `too large index: ${JSON.stringify(limit)}` };
      if (previous >= index)
        return { problem: `non-increasing order, previous: ${previous}, current: ${index}` };
      previous = index;
    }
    total += previous - Number(limits[0]) + 1;
  }
  return total;
}
