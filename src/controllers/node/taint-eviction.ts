/**
 * Taint eviction: pods leave a node with NoExecute taints they do not tolerate, or no longer tolerate.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
 */
import { type corev1, formatTime, isStatus, nodes, pods, tolerates } from "#api";
import { keyOf } from "#client";
import { withCondition } from "../kit/conditions.ts";
import {
  after,
  type ControllerContext,
  defineController,
  done,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import { isFinished, isTerminating } from "../kit/pods.ts";

type Pod = Readonly<corev1.Pod>;
type Taint = Readonly<corev1.Taint>;

export interface EvictionState {
  pod: Pod;
  taints: readonly Taint[];
  /** When the pod was first seen under a taint: it counts from then where a taint tells no time of its own. */
  seenMs: number;
}

const nodeIndex = "nodeName";

export const taintEvictionController = defineController<EvictionState, { waitMs: number }>({
  name: "taint-eviction-controller",
  primary: pods,
  secondaries: [
    source(nodes, (node, { informers }) =>
      node.spec?.taints?.some((taint) => taint.effect === "NoExecute")
        ? informers.of(pods).byIndex(nodeIndex, node.metadata.name).map(keyOf)
        : [],
    ),
  ],
  concurrency: 4,
  rules: [
    rule("", ["nodes"], readVerbs),
    rule("", ["pods"], [...readVerbs, "delete"]),
    rule("", ["pods/status"], ["patch"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    informers.of(pods).addIndex(nodeIndex, (pod) => [pod.spec.nodeName ?? ""]);
  },
  observe(context, key) {
    const tainted = taintedPod(context, key);
    if (!tainted) {
      context.memory.delete(key);
      return undefined;
    }
    const seenMs = (context.memory.get(key) as number | undefined) ?? context.world.clock.now();
    context.memory.set(key, seenMs);
    return { ...tainted, seenMs };
  },
  decide({ pod, taints, seenMs }, nowMs) {
    const waitMs = msUntilEviction(pod, taints, seenMs, nowMs);
    return waitMs === undefined ? undefined : { waitMs };
  },
  act,
});

function taintedPod(
  { informers }: ControllerContext,
  key: string,
): Omit<EvictionState, "seenMs"> | undefined {
  const pod = informers.of(pods).byKey(key);
  if (!pod?.spec.nodeName || isTerminating(pod) || isFinished(pod)) return undefined;
  const node = informers.of(nodes).get(undefined, pod.spec.nodeName);
  const taints = node?.spec?.taints?.filter((taint) => taint.effect === "NoExecute") ?? [];
  return taints.length > 0 ? { pod, taints } : undefined;
}

/** When the pod must go; undefined: it may stay. The shortest toleration holds, counted from the taint's time. */
export function msUntilEviction(
  pod: Pod,
  taints: readonly Taint[],
  seenMs: number,
  nowMs: number,
): number | undefined {
  let soonest: number | undefined;
  for (const taint of taints) {
    const matching = (pod.spec.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return 0;
    const limits = matching.map((each) => each.tolerationSeconds).filter((seconds) => seconds !== undefined);
    if (limits.length === 0) continue;
    const fromMs = Date.parse(taint.timeAdded ?? "") || seenMs;
    const waitMs = Math.max(0, fromMs + Math.max(0, Math.min(...limits)) * 1000 - nowMs);
    soonest = Math.min(soonest ?? waitMs, waitMs);
  }
  return soonest;
}

async function act(
  { waitMs }: { waitMs: number },
  { client, events, world }: ControllerContext,
  { pod }: Readonly<EvictionState>,
): Promise<Outcome> {
  if (waitMs > 0) return after(waitMs);
  const { namespace, name, uid } = pod.metadata;
  const conditions = withCondition(pod.status?.conditions, {
    type: "DisruptionTarget",
    status: "True",
    reason: "DeletionByTaintManager",
    message: "Taint manager: deleting due to NoExecute taint",
    lastTransitionTime: formatTime(world.clock.now()),
  });
  try {
    const patch = { metadata: { uid }, status: { conditions } };
    await client.patch(pods, pod.metadata, "merge", patch, { subresource: "status" });
    await client.delete(pods, pod.metadata, { preconditions: { uid } });
    events.record(pod, "Normal", "TaintManagerEviction", `Marking for deletion Pod ${namespace}/${name}`);
  } catch (error) {
    if (!isStatus(error, "NotFound")) throw error;
  }
  return done;
}
