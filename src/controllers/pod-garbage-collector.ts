/**
 * Removes pods that nobody else will: those of nodes that are gone, those that were deleted before they got a node,
 * and ended ones beyond a number. https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection
 */
import { type corev1, formatTime, isStatus, nodes, pods } from "#api";
import { type Client, indexByNode } from "#client";
import { withCondition } from "./kit/conditions.ts";
import {
  after,
  type ControllerContext,
  defineController,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "./kit/define-controller.ts";
import { createdMs, isFinished, isTerminating } from "./kit/pods.ts";

type Pod = Readonly<corev1.Pod>;

const periodMs = 20_000;
/** So many ended pods may stay for people to look at. */
const finishedMax = 12_500;

export interface PodGcState {
  pods: readonly Pod[];
  nodeNames: ReadonlySet<string>;
}

export interface PodGcPlan {
  /** On nodes that the cache does not know: asked for again before anything is deleted. */
  orphaned: readonly Pod[];
  others: readonly Pod[];
}

export const podGarbageCollector = defineController<PodGcState, PodGcPlan>({
  name: "pod-garbage-collector-controller",
  secondaries: [source(pods, () => []), source(nodes, () => [])],
  startKeys: ["all"],
  concurrency: 1,
  rules: [
    rule("", ["pods"], [...readVerbs, "delete"]),
    rule("", ["pods/status"], ["patch"]),
    rule("", ["nodes"], readVerbs),
  ],
  prepare({ informers }) {
    indexByNode(informers.of(pods));
  },
  observe({ informers }) {
    const nodeNames = new Set(
      informers
        .of(nodes)
        .list()
        .map((node) => node.metadata.name),
    );
    return { pods: informers.of(pods).list(), nodeNames };
  },
  decide: (state) => decidePodGc(state),
  act,
});

export function decidePodGc(state: Readonly<PodGcState>, keep = finishedMax): PodGcPlan {
  const orphaned: Pod[] = [];
  const others: Pod[] = [];
  const finished: Pod[] = [];
  for (const pod of state.pods) {
    const { nodeName } = pod.spec;
    if (nodeName && !state.nodeNames.has(nodeName)) orphaned.push(pod);
    else if (!nodeName && isTerminating(pod)) others.push(pod);
    else if (isFinished(pod) && !isTerminating(pod)) finished.push(pod);
  }
  const surplus = Math.max(0, finished.length - keep);
  if (surplus > 0) others.push(...finished.sort((a, b) => createdMs(a) - createdMs(b)).slice(0, surplus));
  return { orphaned, others };
}

async function act(plan: PodGcPlan, { client, world }: ControllerContext): Promise<Outcome> {
  const gone = new Map<string, boolean>();
  for (const pod of plan.orphaned) {
    const name = pod.spec.nodeName ?? "";
    if (!gone.has(name)) gone.set(name, await isGone(client, name));
    if (gone.get(name)) await removeOrphan(client, pod, world.clock.now());
  }
  for (const pod of plan.others) await remove(client, pod);
  return after(periodMs);
}

async function isGone(client: Client, nodeName: string): Promise<boolean> {
  try {
    await client.get(nodes, { name: nodeName });
    return false;
  } catch (error) {
    if (isStatus(error, "NotFound")) return true;
    throw error;
  }
}

/** Whoever counts ended pods must see that it failed, and why. */
async function removeOrphan(client: Client, pod: Pod, nowMs: number): Promise<void> {
  if (!isFinished(pod)) {
    const conditions = withCondition(pod.status?.conditions, {
      type: "DisruptionTarget",
      status: "True",
      reason: "DeletionByPodGC",
      message: "PodGC: node no longer exists",
      lastTransitionTime: formatTime(nowMs),
    });
    const patch = { metadata: { uid: pod.metadata.uid }, status: { phase: "Failed", conditions } };
    await ignoringGone(client.patch(pods, pod.metadata, "merge", patch, { subresource: "status" }));
  }
  await remove(client, pod);
}

async function remove(client: Client, pod: Pod): Promise<void> {
  const { uid } = pod.metadata;
  await ignoringGone(client.delete(pods, pod.metadata, { gracePeriodSeconds: 0, preconditions: { uid } }));
}

async function ignoringGone(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (error) {
    if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
  }
}
