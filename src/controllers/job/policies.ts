/**
 * What a Job's owner says about failures and successes: which failures count, how often one index may fail, and when
 * enough has succeeded. https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-failure-policy
 */
import type { batchv1, corev1 } from "#api";
import { indexOf, parseIndexes } from "./indexes.ts";

type Job = Readonly<batchv1.Job>;
type Pod = Readonly<corev1.Pod>;

/** How often the pods of this index failed before this one. */
export const failureCountKey = "batch.kubernetes.io/job-index-failure-count";

export interface FailureJudgement {
  action: "FailJob" | "FailIndex" | "Ignore" | "Count";
  message: string;
}

function exitCodes(pod: Pod): { name: string; exitCode: number }[] {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  return statuses.flatMap(({ name, state }) => {
    const exitCode = state?.terminated?.exitCode ?? 0;
    return exitCode === 0 ? [] : [{ name, exitCode }];
  });
}

function matchExitCodes(
  rule: Readonly<batchv1.PodFailurePolicyOnExitCodesRequirement>,
  pod: Pod,
): { name: string; exitCode: number } | undefined {
  return exitCodes(pod).find(
    ({ name, exitCode }) =>
      (rule.containerName === undefined || rule.containerName === name) &&
      rule.values.includes(exitCode) === (rule.operator === "In"),
  );
}

/** The first rule that fits a failed pod; without any, failures count. */
export function judgeFailure(job: Job, pod: Pod): FailureJudgement {
  const { namespace, name } = pod.metadata;
  for (const [index, rule] of (job.spec.podFailurePolicy?.rules ?? []).entries()) {
    const { action } = rule;
    const code = rule.onExitCodes && matchExitCodes(rule.onExitCodes, pod);
    if (code) {
      const what = `Container ${code.name} for pod ${namespace}/${name} failed with exit code ${code.exitCode}`;
      return { action, message: `${what} matching ${action} rule at index ${index}` };
    }
    const pattern = rule.onPodConditions?.find(({ type, status = "True" }) =>
      pod.status?.conditions?.some((each) => each.type === type && each.status === status),
    );
    if (pattern) {
      const message = `Pod ${namespace}/${name} has condition ${pattern.type} matching ${action} rule at index ${index}`;
      return { action, message };
    }
  }
  return { action: "Count", message: "" };
}

/** Failures of an index up to and with this pod. */
export function failuresUpTo(job: Job, pod: Pod): number {
  const before = Number(pod.metadata.annotations?.[failureCountKey] ?? 0) || 0;
  const counts = pod.status?.phase === "Failed" && judgeFailure(job, pod).action !== "Ignore";
  return before + (counts ? 1 : 0);
}

/** The failures of every index, by the pods that are left. */
export function failuresByIndex(job: Job, pods: readonly Pod[]): ReadonlyMap<number, number> {
  const failures = new Map<number, number>();
  for (const pod of pods) {
    const index = indexOf(pod);
    if (index !== undefined) failures.set(index, Math.max(failures.get(index) ?? 0, failuresUpTo(job, pod)));
  }
  return failures;
}

/** The indexes that will not be tried again, those known before included; undefined: the Job does not count so. */
export function failedIndexes(
  job: Job,
  pods: readonly Pod[],
  completed: ReadonlySet<number>,
): Set<number> | undefined {
  const limit = job.spec.backoffLimitPerIndex;
  if (limit === undefined) return undefined;
  const failed = parseIndexes(job.status?.failedIndexes);
  for (const [index, failures] of failuresByIndex(job, pods)) if (failures > limit) failed.add(index);
  for (const pod of pods) {
    const index = indexOf(pod);
    if (index === undefined || pod.status?.phase !== "Failed") continue;
    if (judgeFailure(job, pod).action === "FailIndex") failed.add(index);
  }
  for (const index of completed) failed.delete(index);
  return failed;
}

/** https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy */
export function matchedSuccessRule(job: Job, completed: ReadonlySet<number>): string | undefined {
  for (const [index, rule] of (job.spec.successPolicy?.rules ?? []).entries()) {
    const named = rule.succeededIndexes === undefined ? undefined : parseIndexes(rule.succeededIndexes);
    const counted = named ? [...named].filter((each) => completed.has(each)).length : completed.size;
    const wanted = rule.succeededCount ?? named?.size;
    if (wanted !== undefined && counted >= wanted) return `Matched rules at index ${index}`;
  }
  return undefined;
}
