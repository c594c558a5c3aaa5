/**
 * Counting each ended pod exactly once, though pods may be deleted at any moment: a finalizer holds the pod until its
 * uid stands in the status, and the uid stands there until the finalizer is gone.
 * https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
 */
import type { batchv1, corev1 } from "#api";
import { formatIndexes, indexOf, parseIndexes } from "./indexes.ts";
import { failedIndexes, failuresUpTo, judgeFailure } from "./policies.ts";

type Pod = Readonly<corev1.Pod>;

export const trackingFinalizer = "batch.kubernetes.io/job-tracking";

export function isTracked(pod: Pod): boolean {
  return pod.metadata.finalizers?.includes(trackingFinalizer) ?? false;
}

/** The merge patch that lets the pod go; refused where the pod has changed meanwhile. */
export function withoutTracking({ metadata: { uid, resourceVersion, finalizers = [] } }: Pod) {
  return {
    metadata: { uid, resourceVersion, finalizers: finalizers.filter((f) => f !== trackingFinalizer) },
  };
}

export function succeeded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded";
}

/** A pod that is being deleted counts as failed at once, unless the Job waits for its end. */
export function failed(pod: Pod, job: Readonly<batchv1.Job>): boolean {
  if (pod.status?.phase === "Failed") return true;
  if (job.spec.podReplacementPolicy === "Failed") return false;
  return pod.metadata.deletionTimestamp !== undefined && !succeeded(pod);
}

export interface Tally {
  /** Counted for good. */
  succeeded: number;
  failed: number;
  uncounted: { succeeded: string[]; failed: string[] };
  completedIndexes: Set<number>;
  /** Those that will not be tried again; undefined: the Job does not count failures by index. */
  failedIndexes: Set<number> | undefined;
  /** Why the Job must fail at once, where a failed pod says so. */
  failJob: string | undefined;
  /** Pods whose finalizer may go once the status is written. */
  release: readonly Pod[];
}

/** All that have ended so far, counted or about to be. */
export function totalSucceeded(tally: Tally, indexed: boolean): number {
  return indexed ? tally.completedIndexes.size : tally.succeeded + tally.uncounted.succeeded.length;
}

export function totalFailed(tally: Tally): number {
  return tally.failed + tally.uncounted.failed.length;
}

export function tallyOf(job: Readonly<batchv1.Job>, pods: readonly Pod[]): Tally {
  const status = job.status ?? {};
  const indexed = job.spec.completionMode === "Indexed";
  const completedIndexes = parseIndexes(status.completedIndexes);
  const tracked = new Map(pods.filter(isTracked).map((pod) => [pod.metadata.uid, pod]));
  const waiting = {
    succeeded: [...(status.uncountedTerminatedPods?.succeeded ?? [])],
    failed: [...(status.uncountedTerminatedPods?.failed ?? [])],
  };
  const known = new Set([...waiting.succeeded, ...waiting.failed]);
  const uncounted = {
    succeeded: waiting.succeeded.filter((uid) => tracked.has(uid)),
    failed: waiting.failed.filter((uid) => tracked.has(uid)),
  };
  const tally: Tally = {
    succeeded: (status.succeeded ?? 0) + waiting.succeeded.length - uncounted.succeeded.length,
    failed: (status.failed ?? 0) + waiting.failed.length - uncounted.failed.length,
    uncounted,
    completedIndexes,
    failedIndexes: undefined,
    failJob: undefined,
    release: [],
  };
  const release: Pod[] = [...known].flatMap((uid) => tracked.get(uid) ?? []);
  for (const pod of tracked.values()) {
    if (known.has(pod.metadata.uid)) continue;
    if (succeeded(pod) && !isDuplicate(pod, indexed, completedIndexes)) {
      if (indexed) completedIndexes.add(indexOf(pod) ?? 0);
      else uncounted.succeeded.push(pod.metadata.uid);
      release.push(pod);
    } else if (succeeded(pod)) {
      release.push(pod);
    } else if (failed(pod, job)) {
      const { action, message } = judgeFailure(job, pod);
      if (action === "FailJob") tally.failJob ??= message;
      if (action !== "Ignore") uncounted.failed.push(pod.metadata.uid);
      release.push(pod);
    }
  }
  tally.failedIndexes = failedIndexes(job, pods, completedIndexes);
  const kept = tally.failedIndexes ? release.filter((pod) => mayRelease(job, pod, pods, tally)) : release;
  return { ...tally, ...(indexed ? { succeeded: completedIndexes.size } : {}), release: kept };
}

/** The last failed pod of an index carries its count of failures: it stays until another pod carries it on. */
function mayRelease(job: Readonly<batchv1.Job>, pod: Pod, pods: readonly Pod[], tally: Tally): boolean {
  const index = indexOf(pod);
  if (pod.status?.phase !== "Failed" || index === undefined) return true;
  if (tally.completedIndexes.has(index) || tally.failedIndexes?.has(index)) return true;
  const failures = failuresUpTo(job, pod);
  return pods.some(
    (other) => other !== pod && indexOf(other) === index && failuresUpTo(job, other) >= failures,
  );
}

/** A second success of one index, or of an index that does not exist, counts for nothing. */
function isDuplicate(pod: Pod, indexed: boolean, completed: ReadonlySet<number>): boolean {
  if (!indexed) return false;
  const index = indexOf(pod);
  return index === undefined || completed.has(index);
}

export function countsOf(tally: Tally, indexed: boolean): Partial<batchv1.JobStatus> {
  const { uncounted } = tally;
  return {
    ...(tally.succeeded ? { succeeded: tally.succeeded } : {}),
    ...(tally.failed ? { failed: tally.failed } : {}),
    ...(indexed && tally.completedIndexes.size
      ? { completedIndexes: formatIndexes(tally.completedIndexes) }
      : {}),
    ...(tally.failedIndexes?.size ? { failedIndexes: formatIndexes(tally.failedIndexes) } : {}),
    uncountedTerminatedPods: {
      ...(uncounted.succeeded.length ? { succeeded: uncounted.succeeded } : {}),
      ...(uncounted.failed.length ? { failed: uncounted.failed } : {}),
    },
  };
}
