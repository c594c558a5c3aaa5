/**
 * Eviction: a pod is deleted on behalf of somebody who empties a node, if its PodDisruptionBudget can bear it.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
 */
import {
  badRequest,
  type corev1,
  formatTime,
  type KubernetesObject,
  type metav1,
  podDisruptionBudgets,
  type policyv1,
  type ResourceDefinition,
  StatusError,
  selectorMatches,
  tooManyRequests,
} from "#api";
import { keyPrefix } from "../cache/keys.ts";
import { type Outcome, type Registry, success, type Target, type WriteContext } from "./context.ts";
import { remove } from "./delete.ts";
import { onLatest } from "./storage.ts";

type Pod = Readonly<corev1.Pod>;
type Budget = policyv1.PodDisruptionBudget;

const definition = podDisruptionBudgets as ResourceDefinition;
/** So many evictions may wait for the controller to see them. */
const disruptedMax = 2000;

export async function evict(
  registry: Registry,
  target: Target,
  context: WriteContext,
  eviction: policyv1.Eviction,
): Promise<Outcome> {
  const named = eviction.metadata?.name;
  if (named && named !== target.name) {
    throw badRequest(`name in URL does not match name in Eviction object: ${target.name} != ${named}`);
  }
  const pod = registry.storage.get(target.definition, target.namespace, target.name).parse() as corev1.Pod;
  if (isDisrupting(pod)) await askBudget(registry, pod, context);
  const options = eviction.deleteOptions ?? {};
  if (!context.dryRun && !options.dryRun?.length) await markTarget(registry, target, options);
  await remove(registry, target, context, options);
  return success(201);
}

/** A pod that does not run, or goes anyway, is nobody's loss. */
function isDisrupting({ metadata, status }: Pod): boolean {
  const idle = ["Succeeded", "Failed", "Pending"].includes(status?.phase ?? "Pending");
  return !idle && !metadata.deletionTimestamp;
}

async function askBudget(registry: Registry, pod: Pod, context: WriteContext): Promise<void> {
  const { namespace, name, labels } = pod.metadata;
  const budgets = [...registry.storage.cache(definition).scan(keyPrefix(definition, namespace))]
    .map((object) => object.parse() as Budget)
    .filter(({ spec }) => selectorMatches(spec.selector, labels ?? {}));
  const [budget, ...more] = budgets;
  if (!budget) return;
  if (more.length > 0) {
    const message =
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    throw StatusError.of(500, "InternalError", message);
  }
  if (!isReady(pod) && mayGoUnready(budget)) return;
  const at = formatTime(registry.world.clock.now());
  const budgetTarget = { definition, namespace, name: budget.metadata.name };
  await onLatest(registry.storage, budgetTarget, async (current) => {
    const latest = current.read() as Budget;
    checkBudget(latest);
    if (!context.dryRun) await registry.storage.put(definition, spent(latest, name, at), current);
  });
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
}

/** https://kubernetes.io/docs/tasks/run-application/configure-pdb/#unhealthy-pod-eviction-policy */
function mayGoUnready({ spec, status }: Readonly<Budget>): boolean {
  if (spec.unhealthyPodEvictionPolicy === "AlwaysAllow") return true;
  const { currentHealthy = 0, desiredHealthy = 0 } = status ?? {};
  return desiredHealthy > 0 && currentHealthy >= desiredHealthy;
}

function checkBudget({ metadata, status }: Readonly<Budget>): void {
  const { name } = metadata;
  const {
    currentHealthy = 0,
    desiredHealthy = 0,
    disruptionsAllowed = 0,
    observedGeneration = 0,
  } = status ?? {};
  if (observedGeneration < (metadata.generation ?? 0))
    throw refusal(`The disruption budget ${name} is still being processed by the server.`);
  if (disruptionsAllowed <= 0) {
    const has = `needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`;
    throw refusal(`The disruption budget ${name} ${has}`);
  }
  if (Object.keys(status?.disruptedPods ?? {}).length > disruptedMax)
    throw refusal("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
}

/** kubectl drain waits and tries again when it sees this cause. */
function refusal(message: string): StatusError {
  const { status } = tooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0);
  const causes = [{ reason: "DisruptionBudget", message }];
  return new StatusError({ ...status, details: { causes } as metav1.StatusDetails });
}

/** The controller learns by it that the pod is on its way out, before it is. */
function spent(budget: Readonly<Budget>, podName: string, at: string): Budget {
  const { status } = budget;
  const disruptionsAllowed = (status.disruptionsAllowed ?? 0) - 1;
  const conditions = (status.conditions ?? []).map((condition) =>
    condition.type === "DisruptionAllowed" && disruptionsAllowed === 0
      ? { ...condition, status: "False" as const, reason: "InsufficientPods", lastTransitionTime: at }
      : condition,
  );
  const disruptedPods = { ...status.disruptedPods, [podName]: at };
  return { ...budget, status: { ...status, conditions, disruptionsAllowed, disruptedPods } };
}

/** Jobs tell by this condition that the pod did not fail by itself. */
async function markTarget(
  registry: Registry,
  target: Target,
  { preconditions }: Readonly<metav1.DeleteOptions>,
): Promise<void> {
  await onLatest(registry.storage, target, async (current) => {
    const pod = current.read() as corev1.Pod & KubernetesObject;
    if (preconditions?.resourceVersion !== undefined || !isDisrupting(pod)) return;
    if (preconditions?.uid !== undefined && preconditions.uid !== pod.metadata.uid) return;
    const others = (pod.status.conditions ?? []).filter((each) => each.type !== "DisruptionTarget");
    const condition: corev1.PodCondition = {
      type: "DisruptionTarget",
      status: "True",
      reason: "EvictionByEvictionAPI",
      message: "Eviction API: evicting",
      lastTransitionTime: formatTime(registry.world.clock.now()),
    };
    const status = { ...pod.status, conditions: [...others, condition] };
    await registry.storage.put(target.definition, { ...pod, status } as KubernetesObject, current);
  });
}
