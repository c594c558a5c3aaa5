/** Deletes Jobs some time after they have ended. https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/ */
import { type batchv1, isStatus, jobs } from "#api";
import { isConditionTrue } from "./kit/conditions.ts";
import { after, defineController, done, readVerbs, rule } from "./kit/define-controller.ts";

type Job = Readonly<batchv1.Job>;

/** Milliseconds until the Job may go; undefined while it has not ended or has no such limit. */
export function msUntilExpired(job: Job, nowMs: number): number | undefined {
  const ttl = job.spec.ttlSecondsAfterFinished;
  if (ttl === undefined || job.metadata.deletionTimestamp) return undefined;
  const ended = job.status?.conditions?.find(
    (c) => (c.type === "Complete" || c.type === "Failed") && isConditionTrue([c], c.type),
  );
  const endedMs = Date.parse(ended?.lastTransitionTime ?? "");
  return Number.isNaN(endedMs) ? undefined : endedMs + ttl * 1000 - nowMs;
}

export const ttlAfterFinishedController = defineController<Job, { waitMs: number }>({
  name: "ttl-after-finished-controller",
  primary: jobs,
  concurrency: 2,
  rules: [rule("batch", ["jobs"], [...readVerbs, "delete"])],
  observe: ({ informers }, key) => informers.of(jobs).byKey(key),
  decide(job, nowMs) {
    const waitMs = msUntilExpired(job, nowMs);
    return waitMs === undefined ? undefined : { waitMs };
  },
  async act({ waitMs }, { client, world }, job) {
    if (waitMs > 0) return after(waitMs);
    try {
      // Read past the cache: the limit may have been raised a moment ago.
      const fresh = await client.get(jobs, job.metadata);
      const leftMs = msUntilExpired(fresh, world.clock.now());
      if (leftMs === undefined || leftMs > 0 || fresh.metadata.uid !== job.metadata.uid) return done;
      const preconditions = { uid: job.metadata.uid };
      await client.delete(jobs, job.metadata, { propagationPolicy: "Foreground", preconditions });
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
    return done;
  },
});
