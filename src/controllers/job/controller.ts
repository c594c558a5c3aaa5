/** Job: carries out what `decide.ts` plans. */
import { type batchv1, type corev1, type Draft, isStatus, jobs, pods, sameJson, selectorMatches } from "#api";
import { messageOf } from "#base";
import { type Client, controllerOf, indexByOwner, keyOf } from "#client";
import { inSlowStartBatches } from "../kit/batches.ts";
import { claim, settleClaims } from "../kit/claims.ts";
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
import { isNamespaceTerminating, podFromTemplate } from "../kit/pods.ts";
import { decideJob, type JobPlan, type JobState } from "./decide.ts";
import { indexKey } from "./indexes.ts";
import { observeStatus, observeSync, type SyncAction } from "./metrics.ts";
import { failureCountKey } from "./policies.ts";
import { trackingFinalizer, withoutTracking } from "./tracking.ts";

type Job = Readonly<batchv1.Job>;
type Pod = Readonly<corev1.Pod>;

/** Jobs with another name here belong to another controller. */
const managerName = "kubernetes.io/job-controller";

export const jobController = defineController<JobState, JobPlan>({
  name: "job-controller",
  primary: jobs,
  secondaries: [
    source(pods, (pod, { informers }) => {
      const owner = controllerOf(pod);
      if (owner) return owner.kind === "Job" ? [`${pod.metadata.namespace}/${owner.name}`] : [];
      const labels = pod.metadata.labels;
      if (!labels) return [];
      const candidates = informers.of(jobs).list(pod.metadata.namespace);
      return candidates.filter((job) => matches(job, pod)).map(keyOf);
    }),
  ],
  concurrency: 5,
  rules: [
    rule("batch", ["jobs"], readVerbs),
    rule("batch", ["jobs/status"], ["update"]),
    rule("", ["pods"], [...readVerbs, "create", "delete", "patch"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByOwner(informers.of(pods));
  },
  observe({ informers }, key) {
    const job = informers.of(jobs).byKey(key);
    if (!job || (job.spec.managedBy && job.spec.managedBy !== managerName)) return undefined;
    return { job, pods: claim(job, informers.of(pods), (pod) => matches(job, pod)) };
  },
  decide: decideJob,
  act,
});

function matches(job: Job, pod: Pod): boolean {
  return job.spec.selector !== undefined && selectorMatches(job.spec.selector, pod.metadata.labels ?? {});
}

async function act(plan: JobPlan, context: ControllerContext, state: Readonly<JobState>): Promise<Outcome> {
  const { clock } = context.world;
  const beganMs = clock.monotonic();
  let result: "success" | "error" = "error";
  try {
    const outcome = await carryOut(plan, context, state);
    if (outcome.kind !== "retry") result = "success";
    return outcome;
  } finally {
    observeSync(context.world, state.job, actionOf(plan), result, (clock.monotonic() - beganMs) / 1000);
  }
}

function actionOf(plan: JobPlan): SyncAction {
  if (plan.create.length > 0) return "pods_created";
  if (plan.delete.length > 0) return "pods_deleted";
  return plan.release.length > 0 ? "tracking" : "reconciling";
}

async function carryOut(
  plan: JobPlan,
  context: ControllerContext,
  { job }: Readonly<JobState>,
): Promise<Outcome> {
  const { client, events, world } = context;
  await settleClaims(client, jobs, job, pods, plan.claims);
  await deletePods(plan, context, job);
  if (!sameJson(plain(plan.status), plain(job.status))) {
    await client.update(jobs, { ...job, status: plan.status }, { subresource: "status" });
    observeStatus(world, job, plan.status);
    for (const event of plan.events) events.record(job, event.kind, event.reason, event.message);
  }
  // Only now: the status remembers these pods, whatever becomes of them.
  await Promise.all(plan.release.map((pod) => removeFinalizer(client, pod)));
  const failure = await createPods(plan, context, job);
  return failure ? { kind: "retry", why: messageOf(failure) } : afterIf(plan.afterMs);
}

function plain(status: Readonly<batchv1.JobStatus> | undefined) {
  return { active: 0, ready: 0, terminating: 0, uncountedTerminatedPods: {}, ...status };
}

async function removeFinalizer(client: Client, pod: Pod): Promise<void> {
  try {
    await client.patch(pods, pod.metadata, "merge", withoutTracking(pod));
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
}

async function deletePods(plan: JobPlan, { client, events }: ControllerContext, job: Job): Promise<void> {
  await Promise.all(
    plan.delete.map(async (pod) => {
      const { name, uid } = pod.metadata;
      if (plan.deleteUncounted) await removeFinalizer(client, pod);
      try {
        await client.delete(pods, pod.metadata, { preconditions: { uid } });
        events.record(job, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
      } catch (error) {
        if (!isStatus(error, "NotFound")) throw error;
      }
    }),
  );
}

async function createPods(plan: JobPlan, { client, events }: ControllerContext, job: Job): Promise<unknown> {
  const { error } = await inSlowStartBatches(plan.create.length, async (i) => {
    const pod = await client.create(pods, jobPod(job, plan.create[i]?.index, plan.create[i]?.failures));
    events.record(job, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
  });
  if (!error || isNamespaceTerminating(error)) return undefined;
  events.record(job, "Warning", "FailedCreate", `Error creating: ${messageOf(error)}`);
  return error;
}

/** The pod of a Job, or of one index of it: https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode */
export function jobPod(job: Job, index: number | undefined, failures?: number): Draft<corev1.Pod> {
  const pod = podFromTemplate(job.spec.template, job);
  const finalizers = [...(pod.metadata?.finalizers ?? []), trackingFinalizer];
  if (index === undefined) return { ...pod, metadata: { ...pod.metadata, finalizers } };
  const { template } = job.spec;
  const name = job.metadata.name;
  const env: corev1.EnvVar = {
    name: "JOB_COMPLETION_INDEX",
    valueFrom: { fieldRef: { apiVersion: "v1", fieldPath: `metadata.labels['${indexKey}']` } },
  };
  const withIndex = (container: corev1.Container): corev1.Container => ({
    ...container,
    env: [...(container.env ?? []).filter((each) => each.name !== env.name), env],
  });
  const spec = template.spec as corev1.PodSpec;
  return {
    metadata: {
      ...pod.metadata,
      finalizers,
      generateName: `${name}-${index}-`,
      labels: { ...pod.metadata?.labels, [indexKey]: String(index) },
      annotations: {
        ...pod.metadata?.annotations,
        [indexKey]: String(index),
        ...(failures === undefined ? {} : { [failureCountKey]: String(failures) }),
      },
    },
    spec: {
      ...spec,
      hostname: spec.hostname ?? `${name}-${index}`,
      containers: spec.containers.map(withIndex),
      ...(spec.initContainers ? { initContainers: spec.initContainers.map(withIndex) } : {}),
    },
  };
}
