/**
 * The next step of a CronJob: forget what has ended, start what is due, keep so much history.
 * https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
 */
import {
  type batchv1,
  type corev1,
  type Draft,
  formatTime,
  parseSchedule,
  type Schedule,
  ScheduleError,
} from "#api";
import type { EventKind } from "#client";
import { isConditionTrue } from "../kit/conditions.ts";
import { controllerRef } from "../kit/pods.ts";
import { dueOf } from "./times.ts";

type CronJob = Readonly<batchv1.CronJob>;
type Job = Readonly<batchv1.Job>;

export interface CronJobState {
  cronJob: CronJob;
  /** The jobs it manages. */
  jobs: readonly Job[];
}

export interface CronJobEvent {
  kind: EventKind;
  reason: string;
  message: string;
}

export interface CronJobPlan {
  start: Draft<batchv1.Job> | undefined;
  /** Running jobs that the new one replaces, and ended ones beyond the limits. */
  remove: readonly Job[];
  /** Without the job that is about to start. */
  status: batchv1.CronJobStatus;
  /** When `start` was due. */
  startTime: string | undefined;
  events: readonly CronJobEvent[];
  afterMs: number | undefined;
}

/** A little after the time, so that it has come by every clock. */
const delayMs = 100;
const timestampAnnotation = "batch.kubernetes.io/cronjob-scheduled-timestamp";

export function decideCronJob({ cronJob, jobs }: Readonly<CronJobState>, nowMs: number): CronJobPlan {
  const events: CronJobEvent[] = [];
  const tell = (kind: EventKind, reason: string, message: string) => events.push({ kind, reason, message });
  const status = observedStatus(cronJob, jobs, tell);
  const old = surplusJobs(cronJob, jobs);
  const idle = { start: undefined, remove: old, status, startTime: undefined, events, afterMs: undefined };
  if (cronJob.metadata.deletionTimestamp || cronJob.spec.suspend) return idle;
  const schedule = scheduleOf(cronJob, tell);
  if (!schedule) return idle;
  const due = dueOf(cronJob, schedule, nowMs);
  const afterMs = due.nextMs === undefined ? undefined : due.nextMs - nowMs + delayMs;
  if (due.tooMany) {
    const why = "Set or decrease .spec.startingDeadlineSeconds or check clock skew";
    tell("Warning", "TooManyMissedTimes", `too many missed start times. ${why}`);
  }
  const { atMs } = due;
  if (atMs === undefined || !mayStart(cronJob, status, atMs, nowMs, tell)) return { ...idle, afterMs };
  const replaced =
    cronJob.spec.concurrencyPolicy === "Replace"
      ? jobs.filter((job) => status.active?.some(({ uid }) => uid === job.metadata.uid))
      : [];
  const kept = status.active?.filter(({ uid }) => !replaced.some((job) => job.metadata.uid === uid)) ?? [];
  const { active: _all, ...rest } = status;
  return {
    start: newJob(cronJob, atMs),
    remove: [...old, ...replaced],
    status: { ...rest, ...(kept.length > 0 ? { active: kept } : {}) },
    startTime: formatTime(atMs),
    events,
    afterMs,
  };
}

type Tell = (kind: EventKind, reason: string, message: string) => void;

function scheduleOf(cronJob: CronJob, tell: Tell): Schedule | undefined {
  const { schedule, timeZone } = cronJob.spec;
  try {
    return parseSchedule(schedule, timeZone);
  } catch (error) {
    if (!(error instanceof ScheduleError)) throw error;
    tell(
      "Warning",
      "UnparseableSchedule",
      `unparseable schedule: ${JSON.stringify(schedule)} : ${error.message}`,
    );
    return undefined;
  }
}

function mayStart(
  cronJob: CronJob,
  status: batchv1.CronJobStatus,
  atMs: number,
  nowMs: number,
  tell: Tell,
): boolean {
  const { startingDeadlineSeconds, concurrencyPolicy } = cronJob.spec;
  if (startingDeadlineSeconds !== undefined && atMs + startingDeadlineSeconds * 1000 < nowMs) {
    tell("Warning", "MissSchedule", `Missed scheduled time to start a job: ${formatTime(atMs)}`);
    return false;
  }
  const active = status.active ?? [];
  if (active.some(({ name }) => name === jobName(cronJob, atMs))) return false;
  if (concurrencyPolicy !== "Forbid" || active.length === 0) return true;
  const why = "prior execution is running and concurrency policy is Forbid";
  tell("Normal", "JobAlreadyActive", `Not starting job because ${why}`);
  return false;
}

function endOf(job: Job): "Complete" | "Failed" | undefined {
  if (isConditionTrue(job.status?.conditions, "Complete")) return "Complete";
  return isConditionTrue(job.status?.conditions, "Failed") ? "Failed" : undefined;
}

/** What became of the jobs that were running. */
function observedStatus(cronJob: CronJob, jobs: readonly Job[], tell: Tell): batchv1.CronJobStatus {
  const { active: before = [], ...status } = { ...cronJob.status };
  const active: corev1.ObjectReference[] = [];
  for (const reference of before) {
    const job = jobs.find(({ metadata }) => metadata.uid === reference.uid);
    const end = job && endOf(job);
    if (!job) tell("Warning", "MissingJob", `Active job went missing: ${reference.name}`);
    else if (end) {
      tell("Normal", "SawCompletedJob", `Saw completed job: ${reference.name}, condition: ${end}`);
    } else active.push(reference);
  }
  for (const job of jobs) {
    const end = endOf(job);
    const known = before.some(({ uid }) => uid === job.metadata.uid);
    if (!end && !known && job.metadata.name !== lastJobName(cronJob)) {
      const message = `Saw a job that the controller did not create or forgot: ${job.metadata.name}`;
      tell("Warning", "UnexpectedJob", message);
    }
    const completed = end === "Complete" ? job.status?.completionTime : undefined;
    if (completed && completed > (status.lastSuccessfulTime ?? "")) status.lastSuccessfulTime = completed;
  }
  return { ...status, ...(active.length > 0 ? { active } : {}) };
}

/** The job that was started for the time the status remembers. */
function lastJobName(cronJob: CronJob): string | undefined {
  const last = cronJob.status?.lastScheduleTime;
  return last === undefined ? undefined : jobName(cronJob, Date.parse(last));
}

function surplusJobs(cronJob: CronJob, jobs: readonly Job[]): Job[] {
  const { successfulJobsHistoryLimit, failedJobsHistoryLimit } = cronJob.spec;
  const beyond = (end: string, limit: number | undefined) => {
    if (limit === undefined) return [];
    const ended = jobs.filter((job) => endOf(job) === end && !job.metadata.deletionTimestamp);
    const started = (job: Job) => job.status?.startTime ?? job.metadata.creationTimestamp;
    ended.sort((a, b) =>
      started(a) === started(b)
        ? a.metadata.name < b.metadata.name
          ? -1
          : 1
        : started(a) < started(b)
          ? -1
          : 1,
    );
    return ended.slice(0, Math.max(0, ended.length - limit));
  };
  return [...beyond("Complete", successfulJobsHistoryLimit), ...beyond("Failed", failedJobsHistoryLimit)];
}

function jobName(cronJob: CronJob, atMs: number): string {
  return `${cronJob.metadata.name}-${Math.floor(atMs / 60_000)}`;
}

/** Named after its time: two controllers cannot start it twice. */
function newJob(cronJob: CronJob, atMs: number): Draft<batchv1.Job> {
  const { metadata, spec } = cronJob.spec.jobTemplate;
  const { labels, annotations, finalizers } = metadata ?? {};
  return {
    metadata: {
      name: jobName(cronJob, atMs),
      namespace: cronJob.metadata.namespace ?? "default",
      ...(labels ? { labels } : {}),
      ...(finalizers ? { finalizers } : {}),
      annotations: { ...annotations, [timestampAnnotation]: zonedTime(atMs, cronJob.spec.timeZone) },
      ownerReferences: [controllerRef(cronJob)],
    },
    spec: spec as batchv1.JobSpec,
  };
}

/** RFC 3339 with the zone's offset: `2026-01-05T09:00:00+01:00`. */
export function zonedTime(atMs: number, timeZone: string | undefined): string {
  if (timeZone === undefined) return formatTime(atMs);
  const parts = new Intl.DateTimeFormat("en", { timeZone, timeZoneName: "longOffset" }).formatToParts(atMs);
  const name = parts.find((part) => part.type === "timeZoneName")?.value ?? "GMT";
  const match = /^GMT([+-])(\d\d):(\d\d)/.exec(name);
  if (!match) return formatTime(atMs);
  const [, sign, hours, minutes] = match;
  const offsetMs = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === "-" ? -1 : 1);
  return formatTime(atMs + offsetMs).replace("Z", `${sign}${hours}:${minutes}`);
}
