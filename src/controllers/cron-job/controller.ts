/** CronJob: carries out what `decide.ts` plans. */
import { type batchv1, cronJobs, type Draft, isStatus, jobs, parseTime, sameJson } from "#api";
import { exponentialBuckets, messageOf } from "#base";
import { controllerOf, indexByOwner, ownedBy, referenceTo } from "#client";
import {
  afterIf,
  type ControllerContext,
  defineController,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { isNamespaceTerminating } from "../kit/pods.ts";
import { type CronJobPlan, type CronJobState, decideCronJob } from "./decide.ts";

type CronJob = Readonly<batchv1.CronJob>;

export const cronJobController = defineController<CronJobState, CronJobPlan>({
  name: "cronjob-controller",
  primary: cronJobs,
  secondaries: [
    source(jobs, (job) => {
      const owner = controllerOf(job);
      return owner?.kind === "CronJob" ? [`${job.metadata.namespace}/${owner.name}`] : [];
    }),
  ],
  concurrency: 5,
  rules: [
    rule("batch", ["cronjobs"], readVerbs),
    rule("batch", ["cronjobs/status"], ["update"]),
    rule("batch", ["jobs"], [...readVerbs, "create", "delete"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByOwner(informers.of(jobs));
  },
  observe({ informers }, key) {
    const cronJob = informers.of(cronJobs).byKey(key);
    return cronJob && { cronJob, jobs: ownedBy(informers.of(jobs), cronJob.metadata.uid) };
  },
  decide: decideCronJob,
  act,
});

async function act(
  plan: CronJobPlan,
  context: ControllerContext,
  { cronJob }: Readonly<CronJobState>,
): Promise<Outcome> {
  const { client, events } = context;
  for (const { kind, reason, message } of plan.events) events.record(cronJob, kind, reason, message);
  for (const { metadata } of plan.remove) {
    const preconditions = { uid: metadata.uid };
    try {
      await client.delete(jobs, metadata, { propagationPolicy: "Background", preconditions });
      events.record(cronJob, "Normal", "SuccessfulDelete", `Deleted job ${metadata.name}`);
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
  }
  const started = plan.start && (await startJob(plan.start, context, cronJob));
  if (started && plan.startTime) observeSkew(context, plan.startTime);
  const status = started && plan.startTime ? withStart(plan.status, started, plan.startTime) : plan.status;
  if (!sameJson(status, cronJob.status ?? {}))
    await client.update(cronJobs, { ...cronJob, status }, { subresource: "status" });
  return afterIf(plan.afterMs);
}

function observeSkew({ world }: ControllerContext, startTime: string): void {
  const lateMs = world.clock.now() - (parseTime(startTime) ?? world.clock.now());
  world.metrics
    .histogram(
      "cronjob_controller_job_creation_skew_duration_seconds",
      "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
      exponentialBuckets(1, 2, 10),
    )
    .observe(Math.max(0, lateMs) / 1000);
}

function withStart(
  status: batchv1.CronJobStatus,
  job: batchv1.Job,
  startTime: string,
): batchv1.CronJobStatus {
  const ended = (job.status?.conditions ?? []).some(
    (c) => c.status === "True" && /^(Complete|Failed)$/.test(c.type),
  );
  const active = ended ? status.active : [...(status.active ?? []), referenceTo(job)];
  return { ...status, ...(active ? { active } : {}), lastScheduleTime: startTime };
}

/** A job of this name that is ours was started by a round whose status was not written any more. */
async function startJob(
  draft: Draft<batchv1.Job>,
  { client, events }: ControllerContext,
  cronJob: CronJob,
): Promise<batchv1.Job | undefined> {
  try {
    const job = await client.create(jobs, draft);
    events.record(cronJob, "Normal", "SuccessfulCreate", `Created job ${job.metadata.name}`);
    return job;
  } catch (error) {
    if (isNamespaceTerminating(error)) return undefined;
    if (isStatus(error, "AlreadyExists")) {
      const ref = { namespace: cronJob.metadata.namespace, name: draft.metadata?.name ?? "" };
      const taken = await client.get(jobs, ref);
      if (controllerOf(taken)?.uid === cronJob.metadata.uid) return taken;
    }
    events.record(cronJob, "Warning", "FailedCreate", `Error creating job: ${messageOf(error)}`);
    throw error;
  }
}
