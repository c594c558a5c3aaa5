/**
 * When a CronJob should have started last, and when it starts next.
 * https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#job-creation
 */
import type { batchv1, Schedule } from "#api";

type CronJob = Readonly<batchv1.CronJob>;

/** More than so many starts missed are told to the user. */
const missedMax = 100;

export interface Due {
  /** The last time it should have started and did not; undefined: nothing is due. */
  atMs: number | undefined;
  tooMany: boolean;
  /** The next time after now; undefined when there will be none. */
  nextMs: number | undefined;
}

export function dueOf(cronJob: CronJob, schedule: Schedule, nowMs: number): Due {
  const { lastScheduleTime } = cronJob.status ?? {};
  const lastMs = Date.parse(lastScheduleTime ?? cronJob.metadata.creationTimestamp);
  const deadline = cronJob.spec.startingDeadlineSeconds;
  const earliestMs = deadline === undefined ? lastMs : Math.max(lastMs, nowMs - deadline * 1000);
  const firstMs = schedule.next(earliestMs);
  if (firstMs === undefined || firstMs > nowMs) return { atMs: undefined, tooMany: false, nextMs: firstMs };
  const secondMs = schedule.next(firstMs);
  if (secondMs === undefined || secondMs > nowMs) return { atMs: firstMs, tooMany: false, nextMs: secondMs };
  const intervalMs = Math.max(1000, secondMs - firstMs);
  const missed = Math.floor((nowMs - firstMs) / intervalMs) + 1;
  const atMs = latest(schedule, firstMs, intervalMs, nowMs);
  return { atMs, tooMany: missed > missedMax, nextMs: schedule.next(atMs) };
}

/** The last time up to now: looks back further and further, so that years of downtime cost no walk through all of them. */
function latest(schedule: Schedule, firstMs: number, intervalMs: number, nowMs: number): number {
  for (let steps = 2; ; steps *= 2) {
    // Whole intervals from the first: schedules that only know "every" keep their beat.
    const back = Math.floor((nowMs - firstMs) / intervalMs) - steps;
    if (back <= 0) return lastUpTo(schedule, firstMs, nowMs);
    const fromMs = firstMs + back * intervalMs;
    const next = schedule.next(fromMs);
    if (next !== undefined && next <= nowMs) return lastUpTo(schedule, next, nowMs);
  }
}

function lastUpTo(schedule: Schedule, fromMs: number, nowMs: number): number {
  let last = fromMs;
  for (let next = schedule.next(last); next !== undefined && next <= nowMs; next = schedule.next(last))
    last = next;
  return last;
}
