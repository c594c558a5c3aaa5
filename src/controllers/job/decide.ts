/**
 * What a Job does next: which pods to make, which to delete, and whether it has ended.
 * https://kubernetes.io/docs/concepts/workloads/controllers/job/
 */
import { type batchv1, type corev1, formatTime } from "#api";
import type { Claims } from "../kit/claims.ts";
import { conditionOf, isConditionTrue, withCondition } from "../kit/conditions.ts";
import { compareForDeletion, isActive, isFinished, isReady, isTerminating } from "../kit/pods.ts";
import { freeIndexes, indexOf } from "./indexes.ts";
import { failuresByIndex, matchedSuccessRule } from "./policies.ts";
import {
  countsOf,
  failed,
  isTracked,
  succeeded,
  type Tally,
  tallyOf,
  totalFailed,
  totalSucceeded,
} from "./tracking.ts";

type Job = Readonly<batchv1.Job>;
type Pod = Readonly<corev1.Pod>;

/** Between a failure and the next try: doubling up to ten minutes. */
const backoffBaseMs = 10_000;
const backoffMaxMs = 600_000;
const burstPods = 500;

export interface JobState {
  job: Job;
  pods: Claims<corev1.Pod>;
}

interface JobEvent {
  kind: "Normal" | "Warning";
  reason: string;
  message: string;
}

export interface JobPlan {
  claims: Pick<Claims<corev1.Pod>, "adopt" | "release">;
  /** One pod each; the index where the Job is Indexed. */
  create: readonly { index: number | undefined; failures?: number }[];
  delete: readonly Pod[];
  /** Deleted pods that are not to count as failures lose their finalizer first. */
  deleteUncounted: boolean;
  /** Lose their finalizer once the status is written. */
  release: readonly Pod[];
  status: batchv1.JobStatus;
  events: readonly JobEvent[];
  afterMs: number | undefined;
}

interface Verdict {
  condition: "SuccessCriteriaMet" | "FailureTarget";
  reason: string;
  message: string;
}

function isJobFinished(job: Job): boolean {
  return (
    isConditionTrue(job.status?.conditions, "Complete") || isConditionTrue(job.status?.conditions, "Failed")
  );
}

export function decideJob(state: Readonly<JobState>, nowMs: number): JobPlan | undefined {
  const { job } = state;
  const { claimed, adopt, release } = state.pods;
  if (isJobFinished(job) || job.metadata.deletionTimestamp) return releaseOnly(state);
  const tally = tallyOf(job, claimed);
  const active = claimed.filter((pod) => isActive(pod) && isTracked(pod));
  const suspended = job.spec.suspend === true;
  const started = startTime(job, nowMs);
  const verdict = verdictOf(job, tally, active, started, nowMs);
  const work = verdict || suspended ? stopAll(active) : nextPods(job, tally, active, claimed, nowMs);
  const base: batchv1.JobStatus = {
    ...statusCounts(claimed, active),
    ...countsOf(tally, job.spec.completionMode === "Indexed"),
    ...(started ? { startTime: started } : {}),
  };
  const settled = active.length === 0 && !claimed.some((pod) => isTerminating(pod) && !isFinished(pod));
  const counted = tally.uncounted.succeeded.length + tally.uncounted.failed.length === 0;
  const { conditions, events } = conditionsOf(job, verdict, settled && counted, suspended, nowMs);
  const complete = isConditionTrue(conditions, "Complete");
  return {
    claims: { adopt, release },
    ...work,
    deleteUncounted: !verdict || verdict.condition === "SuccessCriteriaMet",
    release: tally.release,
    status: {
      ...base,
      ...(conditions.length ? { conditions } : {}),
      ...(complete ? { completionTime: formatTime(nowMs) } : {}),
    },
    events,
    // The verdict has been given: what is left to wait for comes as an event.
    afterMs: verdict ? undefined : soonest(work.afterMs, msUntilDeadline(job, started, nowMs)),
  };
}

/** A Job that has ended, or is being deleted, only lets its pods go. */
function releaseOnly({ job, pods }: Readonly<JobState>): JobPlan | undefined {
  const held = pods.claimed.filter(isTracked);
  if (held.length === 0) return undefined;
  return {
    claims: { adopt: [], release: [] },
    create: [],
    delete: [],
    deleteUncounted: false,
    release: held,
    status: job.status ?? {},
    events: [],
    afterMs: undefined,
  };
}

function soonest(...waits: (number | undefined)[]): number | undefined {
  const known = waits.filter((ms) => ms !== undefined);
  return known.length > 0 ? Math.min(...known) : undefined;
}

function startTime(job: Job, nowMs: number): string | undefined {
  if (job.spec.suspend) return undefined;
  return job.status?.startTime ?? formatTime(nowMs);
}

function msUntilDeadline(job: Job, started: string | undefined, nowMs: number): number | undefined {
  const seconds = job.spec.activeDeadlineSeconds;
  if (seconds === undefined || !started) return undefined;
  return Math.max(0, Date.parse(started) + seconds * 1000 - nowMs);
}

function statusCounts(claimed: readonly Pod[], active: readonly Pod[]): batchv1.JobStatus {
  return {
    active: active.length,
    ready: active.filter(isReady).length,
    terminating: claimed.filter((pod) => isTerminating(pod) && !isFinished(pod)).length,
  };
}

/** Why the Job ends, if it does. A verdict that stands in the status stays. */
function verdictOf(
  job: Job,
  tally: Tally,
  active: readonly Pod[],
  started: string | undefined,
  nowMs: number,
): Verdict | undefined {
  for (const condition of ["FailureTarget", "SuccessCriteriaMet"] as const) {
    const known = conditionOf(job.status?.conditions, condition);
    if (known?.status === "True")
      return { condition, reason: known.reason ?? "", message: known.message ?? "" };
  }
  const fails = (reason: string, message: string): Verdict => ({
    condition: "FailureTarget",
    reason,
    message,
  });
  if (tally.failJob !== undefined) return fails("PodFailurePolicy", tally.failJob);
  const limit = job.spec.backoffLimit ?? 6;
  if (totalFailed(tally) > limit || restartsExceed(job, active, limit)) {
    return fails("BackoffLimitExceeded", "Job has reached the specified backoff limit");
  }
  if (msUntilDeadline(job, started, nowMs) === 0) {
    return fails("DeadlineExceeded", "Job was active longer than specified deadline");
  }
  const done = totalSucceeded(tally, job.spec.completionMode === "Indexed");
  return failedByIndex(job, tally, fails) ?? successOf(job, tally, done, active.length);
}

/** Indexes that are given up fail the Job: at once beyond a number, else when nothing else is left to do. */
function failedByIndex(
  job: Job,
  tally: Tally,
  fails: (reason: string, message: string) => Verdict,
): Verdict | undefined {
  const failedCount = tally.failedIndexes?.size ?? 0;
  if (failedCount === 0) return undefined;
  const { maxFailedIndexes, completions = 0 } = job.spec;
  if (maxFailedIndexes !== undefined && failedCount > maxFailedIndexes) {
    const message = "Job has exceeded the specified maximal number of failed indexes";
    return fails("MaxFailedIndexesExceeded", message);
  }
  const left = completions - failedCount - tally.completedIndexes.size;
  return left <= 0 ? fails("FailedIndexes", "Job has failed indexes") : undefined;
}

function successOf(job: Job, tally: Tally, done: number, active: number): Verdict | undefined {
  const rule = matchedSuccessRule(job, tally.completedIndexes);
  if (rule) return { condition: "SuccessCriteriaMet", reason: "SuccessPolicy", message: rule };
  const { completions } = job.spec;
  const complete = completions === undefined ? done > 0 && active === 0 : done >= completions;
  if (!complete || job.spec.suspend) return undefined;
  const message = "Reached expected number of succeeded pods";
  return { condition: "SuccessCriteriaMet", reason: "CompletionsReached", message };
}

/** With restartPolicy OnFailure the restarts of containers are the tries. */
function restartsExceed(job: Job, active: readonly Pod[], limit: number): boolean {
  if (job.spec.template.spec?.restartPolicy !== "OnFailure") return false;
  const restarts = active.reduce((sum, pod) => {
    const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
    return sum + statuses.reduce((all, status) => all + status.restartCount, 0);
  }, 0);
  return limit === 0 ? restarts > 0 : restarts >= limit;
}

type Work = Pick<JobPlan, "create" | "delete" | "afterMs">;

function stopAll(active: readonly Pod[]): Work {
  return { create: [], delete: active, afterMs: undefined };
}

function nextPods(
  job: Job,
  tally: Tally,
  active: readonly Pod[],
  claimed: readonly Pod[],
  nowMs: number,
): Work {
  const indexed = job.spec.completionMode === "Indexed";
  const { completions, parallelism = 1 } = job.spec;
  const open = openWork(job, tally, active.length);
  const wanted = Math.max(0, Math.min(parallelism, open));
  const useless = indexed ? duplicates(active, tally.completedIndexes, completions ?? 0) : [];
  const useful = active.filter((pod) => !useless.includes(pod));
  const surplus = useful.length - wanted;
  if (surplus > 0) {
    const ranked = [...useful].sort((a, b) => compareForDeletion(a, b, () => 0));
    return { create: [], delete: [...useless, ...ranked.slice(0, surplus)], afterMs: undefined };
  }
  // With podReplacementPolicy Failed, a pod that is still going holds its place.
  const held =
    job.spec.podReplacementPolicy === "Failed"
      ? claimed.filter((p) => isTerminating(p) && !isFinished(p))
      : [];
  const missing = Math.min(burstPods, wanted - useful.length - held.length);
  if (missing <= 0) return { create: [], delete: useless, afterMs: undefined };
  if (indexed && tally.failedIndexes) {
    return { ...nextByIndex(job, tally, missing, [...useful, ...held], claimed, nowMs), delete: useless };
  }
  const waitMs = backoffMs(job, claimed, nowMs);
  if (waitMs > 0) return { create: [], delete: useless, afterMs: waitMs };
  const indexes = indexed
    ? freeIndexes(missing, completions ?? 0, takenIndexes(tally, [...useful, ...held]))
    : Array.from({ length: missing }, () => undefined);
  return { create: indexes.map((index) => ({ index })), delete: useless, afterMs: undefined };
}

/** How many pods could do something useful at once. */
function openWork(job: Job, tally: Tally, active: number): number {
  const { completions, parallelism = 1 } = job.spec;
  const done = totalSucceeded(tally, job.spec.completionMode === "Indexed");
  // Without a number of completions, the first success ends the making of new pods.
  if (completions === undefined) return done > 0 ? active : parallelism;
  return completions - done - (tally.failedIndexes?.size ?? 0);
}

function takenIndexes(tally: Tally, pods: readonly Pod[]): Set<number> {
  const taken = new Set([...tally.completedIndexes, ...(tally.failedIndexes ?? [])]);
  for (const pod of pods) taken.add(indexOf(pod) ?? -1);
  return taken;
}

/** Where failures count by index, each index waits for itself, and its next pod knows how often it failed. */
function nextByIndex(
  job: Job,
  tally: Tally,
  missing: number,
  holding: readonly Pod[],
  claimed: readonly Pod[],
  nowMs: number,
): Pick<Work, "create" | "afterMs"> {
  const { completions = 0 } = job.spec;
  const failures = failuresByIndex(job, claimed);
  const create: { index: number; failures: number }[] = [];
  let afterMs: number | undefined;
  for (const index of freeIndexes(completions, completions, takenIndexes(tally, holding))) {
    if (create.length >= missing) break;
    const own = failures.has(index) ? claimed.filter((pod) => indexOf(pod) === index) : [];
    const waitMs = backoffMs(job, own, nowMs);
    if (waitMs > 0) afterMs = soonest(afterMs, waitMs);
    else create.push({ index, failures: failures.get(index) ?? 0 });
  }
  return { create, afterMs };
}

/** Active pods whose index is done, unknown, or another pod's already. */
function duplicates(active: readonly Pod[], completed: ReadonlySet<number>, completions: number): Pod[] {
  const seen = new Set<number>();
  return [...active]
    .sort((a, b) => compareForDeletion(b, a, () => 0))
    .filter((pod) => {
      const index = indexOf(pod);
      const useless = index === undefined || index >= completions || completed.has(index) || seen.has(index);
      if (index !== undefined) seen.add(index);
      return useless;
    });
}

function endedMs(pod: Pod): number {
  const times = (pod.status?.containerStatuses ?? []).map((s) =>
    Date.parse(s.state?.terminated?.finishedAt ?? ""),
  );
  const known = times.filter((ms) => !Number.isNaN(ms));
  return known.length > 0 ? Math.max(...known) : Date.parse(pod.metadata.deletionTimestamp ?? "") || 0;
}

/** How long the failures since the last success ask to wait. */
function backoffMs(job: Job, claimed: readonly Pod[], nowMs: number): number {
  const ended = claimed
    .filter((pod) => succeeded(pod) || failed(pod, job))
    .map((pod) => ({ ok: succeeded(pod), atMs: endedMs(pod) }))
    .sort((a, b) => b.atMs - a.atMs);
  const last = ended[0];
  if (!last || last.ok) return 0;
  const firstSuccess = ended.findIndex((each) => each.ok);
  const failures = firstSuccess < 0 ? ended.length : firstSuccess;
  const delayMs = Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(failures - 1, 20));
  return Math.max(0, last.atMs + delayMs - nowMs);
}

function conditionsOf(
  job: Job,
  verdict: Verdict | undefined,
  settled: boolean,
  suspended: boolean,
  nowMs: number,
): { conditions: batchv1.JobCondition[]; events: JobEvent[] } {
  const time = formatTime(nowMs);
  let conditions = [...(job.status?.conditions ?? [])];
  const events: JobEvent[] = [];
  const set = (type: string, status: "True" | "False", reason: string, message: string) => {
    conditions = withCondition(conditions, {
      type,
      status,
      reason,
      message,
      lastProbeTime: time,
      lastTransitionTime: time,
    });
  };
  const wasSuspended = isConditionTrue(conditions, "Suspended");
  if (!verdict && suspended && !wasSuspended) {
    set("Suspended", "True", "JobSuspended", "Job suspended");
    events.push({ kind: "Normal", reason: "Suspended", message: "Job suspended" });
  } else if (!verdict && !suspended && wasSuspended) {
    set("Suspended", "False", "JobResumed", "Job resumed");
    events.push({ kind: "Normal", reason: "Resumed", message: "Job resumed" });
  }
  if (!verdict) return { conditions, events };
  set(verdict.condition, "True", verdict.reason, verdict.message);
  if (!settled) return { conditions, events };
  if (verdict.condition === "SuccessCriteriaMet") {
    set("Complete", "True", verdict.reason, verdict.message);
    events.push({ kind: "Normal", reason: "Completed", message: "Job completed" });
  } else {
    set("Failed", "True", verdict.reason, verdict.message);
    events.push({ kind: "Warning", reason: verdict.reason, message: verdict.message });
  }
  return { conditions, events };
}
