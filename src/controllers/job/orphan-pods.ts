/**
 * Pods that outlive their Job: nobody counts them any more, so the finalizer that keeps them to be counted is taken
 * off, or they and their namespace would never go.
 * https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers
 */
import { type corev1, isStatus, jobs, type KubernetesObject, pods } from "#api";
import { controllerOf, indexByOwner, keyOf, ownedBy } from "#client";
import {
  type ControllerContext,
  defineController,
  done,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { isTracked, withoutTracking } from "./tracking.ts";

type Pod = Readonly<corev1.Pod>;

/** The Job that the pod says it belongs to; undefined where its controller is something else. */
function jobReference(pod: Pod) {
  const owner = controllerOf(pod);
  return owner?.kind === "Job" && owner.apiVersion === "batch/v1" ? owner : undefined;
}

/** A pod that nobody controls was let go by its Job, or orphaned with it. */
function isKept(pod: Pod, { informers }: ControllerContext): boolean {
  const owner = jobReference(pod);
  if (!owner) return controllerOf(pod) !== undefined;
  return informers.of(jobs).byKey(`${pod.metadata.namespace}/${owner.name}`)?.metadata.uid === owner.uid;
}

async function jobExists({ client }: ControllerContext, pod: Pod): Promise<boolean> {
  const owner = jobReference(pod);
  if (!owner) return false;
  try {
    const job = await client.get(jobs, { namespace: pod.metadata.namespace, name: owner.name });
    return job.metadata.uid === owner.uid;
  } catch (error) {
    if (isStatus(error, "NotFound")) return false;
    throw error;
  }
}

export const jobOrphanPodController = defineController<Pod, Pod>({
  name: "job-orphan-pod-controller",
  primary: pods,
  secondaries: [
    source(jobs, (job: Readonly<KubernetesObject>, { informers }) =>
      ownedBy(informers.of(pods), job.metadata.uid).filter(isTracked).map(keyOf),
    ),
  ],
  concurrency: 2,
  rules: [rule("batch", ["jobs"], readVerbs), rule("", ["pods"], [...readVerbs, "patch"])],
  prepare({ informers }) {
    indexByOwner(informers.of(pods));
  },
  observe(context, key) {
    const pod = context.informers.of(pods).byKey(key);
    return pod && isTracked(pod) && !isKept(pod, context) ? pod : undefined;
  },
  decide: (pod) => pod,
  async act(pod, context) {
    // Read past the cache: pods of a Job made a moment ago may be known before it.
    if (await jobExists(context, pod)) return done;
    try {
      await context.client.patch(pods, pod.metadata, "merge", withoutTracking(pod));
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
    return done;
  },
});
