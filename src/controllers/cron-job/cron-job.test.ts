import { expect, test } from "vitest";
import { type batchv1, cronJobs, type Draft, events, formatTime, jobs } from "#api";
import { testWorld } from "../kit/world.fixture.ts";
import { decideCronJob, zonedTime } from "./decide.ts";
import { dueOf } from "./times.ts";

const createdMs = Date.UTC(2026, 0, 1);
const minute = 60_000;

const draft = (spec: Draft<batchv1.CronJobSpec> = {}): Draft<batchv1.CronJob> => ({
  metadata: { namespace: "default", name: "tick" },
  spec: {
    schedule: "*/5 * * * *",
    concurrencyPolicy: "Allow",
    successfulJobsHistoryLimit: 1,
    failedJobsHistoryLimit: 1,
    jobTemplate: {
      metadata: { labels: { of: "tick" } },
      spec: { template: { spec: { restartPolicy: "Never", containers: [{ name: "c", image: "job:1" }] } } },
    },
    ...spec,
  },
});

function cronJob(spec: Draft<batchv1.CronJobSpec> = {}, status: batchv1.CronJobStatus = {}): batchv1.CronJob {
  const { metadata, ...rest } = draft(spec);
  return {
    ...rest,
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: { ...metadata, uid: "cron", creationTimestamp: formatTime(createdMs) },
    status,
  } as batchv1.CronJob;
}

function job(name: string, condition?: "Complete" | "Failed", atMs = createdMs): batchv1.Job {
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { namespace: "default", name, uid: name, creationTimestamp: formatTime(atMs) },
    status: condition
      ? { conditions: [{ type: condition, status: "True" }], completionTime: formatTime(atMs) }
      : {},
  } as batchv1.Job;
}

const running = (name: string) => ({ kind: "Job", name, uid: name });

test("nothing before its time, then a job named after it", () => {
  const early = decideCronJob({ cronJob: cronJob(), jobs: [] }, createdMs + 4 * minute);
  expect(early.start).toBeUndefined();
  expect(early.afterMs).toBe(minute + 100);
  const due = decideCronJob({ cronJob: cronJob(), jobs: [] }, createdMs + 5 * minute + 100);
  expect(due.start?.metadata).toMatchObject({
    name: `tick-${(createdMs + 5 * minute) / minute}`,
    labels: { of: "tick" },
    annotations: { "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-01-01T00:05:00Z" },
  });
  expect(due.afterMs).toBe(5 * minute);
});

test("of the times missed only the last counts; very many are told", () => {
  const late = createdMs + 3 * 60 * minute + 1;
  expect(decideCronJob({ cronJob: cronJob(), jobs: [] }, late).startTime).toBe("2026-01-01T03:00:00Z");
  const years = createdMs + 4 * 365 * 24 * 60 * minute;
  const plan = decideCronJob({ cronJob: cronJob(), jobs: [] }, years);
  expect(plan.events.map((event) => event.reason)).toEqual(["TooManyMissedTimes"]);
  expect(plan.startTime).toBe(formatTime(years));
  const deadline = cronJob({ startingDeadlineSeconds: 10, schedule: "0 0 * * *" });
  expect(decideCronJob({ cronJob: deadline, jobs: [] }, createdMs + 36 * 60 * minute).start).toBeUndefined();
});

test("concurrency: Forbid waits, Replace removes, Allow adds", () => {
  const nowMs = createdMs + 5 * minute;
  const status = { active: [running("before")] };
  const plan = (concurrencyPolicy: "Allow" | "Forbid" | "Replace") =>
    decideCronJob({ cronJob: cronJob({ concurrencyPolicy }, status), jobs: [job("before")] }, nowMs);
  expect(plan("Allow").start).toBeDefined();
  expect(plan("Allow").status.active).toHaveLength(1);
  expect(plan("Forbid").start).toBeUndefined();
  expect(plan("Forbid").events.map((event) => event.reason)).toEqual(["JobAlreadyActive"]);
  expect(plan("Replace").remove.map((each) => each.metadata.name)).toEqual(["before"]);
  expect(plan("Replace").status.active).toBeUndefined();
});

test("suspended it starts nothing, but sees what ends", () => {
  const status = { active: [running("a"), running("gone")] };
  const state = { cronJob: cronJob({ suspend: true }, status), jobs: [job("a", "Complete")] };
  const plan = decideCronJob(state, createdMs + 60 * minute);
  expect(plan.start).toBeUndefined();
  expect(plan.status).toEqual({ lastSuccessfulTime: formatTime(createdMs) });
  expect(plan.events.map((event) => event.reason)).toEqual(["SawCompletedJob", "MissingJob"]);
});

test("history is kept within its limits, the newest of each kind", () => {
  const all = [1, 2, 3].flatMap((i) => [
    job(`good-${i}`, "Complete", createdMs + i * minute),
    job(`bad-${i}`, "Failed", createdMs + i * minute),
  ]);
  const plan = decideCronJob({ cronJob: cronJob(), jobs: all }, createdMs);
  expect(plan.remove.map((each) => each.metadata.name)).toEqual(["good-1", "good-2", "bad-1", "bad-2"]);
});

test("irregular schedules find their last time without walking through all", () => {
  const asked: number[] = [];
  const hour = 60 * minute;
  const next = (afterMs: number) => {
    asked.push(afterMs);
    const day = Math.floor(afterMs / (24 * hour)) * 24 * hour;
    const inHour = afterMs - day;
    return inHour < hour - minute ? Math.floor(afterMs / minute) * minute + minute : day + 24 * hour;
  };
  const nowMs = createdMs + 100 * 24 * hour + 5 * hour;
  const due = dueOf(cronJob(), { next }, nowMs);
  expect(due.atMs).toBe(createdMs + 100 * 24 * hour + 59 * minute);
  expect(asked.length).toBeLessThan(200);
});

test("times in the annotation have the zone's offset", () => {
  expect(zonedTime(Date.UTC(2026, 0, 5, 8), "Europe/Oslo")).toBe("2026-01-05T09:00:00+01:00");
  expect(zonedTime(Date.UTC(2026, 6, 5, 8), "America/New_York")).toBe("2026-07-05T04:00:00-04:00");
  expect(zonedTime(Date.UTC(2026, 0, 5, 8), undefined)).toBe("2026-01-05T08:00:00Z");
});

test("it runs by the clock, and a job whose start was not written down is not started twice", async () => {
  const world = testWorld();
  await world.create(cronJobs, draft());
  world.api.losesAnswer = (request) => request.method === "POST" && request.path.includes("/jobs");
  const controllers = await world.run("cronjob-controller");
  await world.clock.advance(5 * minute + 5_000);
  world.api.losesAnswer = undefined;
  await world.clock.advance(4 * minute);
  const ref = { namespace: "default", name: "tick" };
  const first = await world.client.get(cronJobs, ref);
  expect(first.status.active).toHaveLength(1);
  await world.clock.advance(5 * minute);
  expect((await world.client.list(jobs, { namespace: "default" })).items).toHaveLength(2);
  await controllers.stop();
  const told = (await world.client.list(events, { namespace: "default" })).items.map((each) => each.reason);
  expect(told).toContain("SuccessfulCreate");
});
