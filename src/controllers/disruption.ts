/**
 * PodDisruptionBudget: how many pods there should be, how many are well, how many may go.
 * https://kubernetes.io/docs/concepts/workloads/pods/disruptions/
 */
import {
  type corev1,
  deployments,
  formatTime,
  type metav1,
  podDisruptionBudgets,
  pods,
  type policyv1,
  replicaSets,
  sameJson,
  scaledValue,
  selectorMatches,
  statefulSets,
} from "#api";
import { controllerOf, keyOf } from "#client";
import { withCondition } from "./kit/conditions.ts";
import {
  afterIf,
  type ControllerContext,
  defineController,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "./kit/define-controller.ts";
import { isReady, isTerminating } from "./kit/pods.ts";

type Budget = Readonly<policyv1.PodDisruptionBudget>;
type Pod = Readonly<corev1.Pod>;

/** An evicted pod that is still there after this time counts again. */
const evictionMs = 2 * 60_000;

export interface DisruptionState {
  budget: Budget;
  pods: readonly Pod[];
  /** How many pods the pod's workload wants; a text says why that cannot be known, undefined: nobody manages it. */
  scaleOf(pod: Pod): { uid: string; replicas: number } | string | undefined;
}

export interface DisruptionPlan {
  status: policyv1.PodDisruptionBudgetStatus;
  events: readonly { kind: "Normal" | "Warning"; reason: string; message: string }[];
  afterMs: number | undefined;
}

export const disruptionController = defineController<DisruptionState, DisruptionPlan>({
  name: "disruption-controller",
  primary: podDisruptionBudgets,
  secondaries: [
    source(pods, (pod, context) => budgetsFor(pod.metadata.namespace, pod.metadata.labels, context)),
    ...[deployments, replicaSets, statefulSets].map((type) =>
      source<{ apiVersion: string; kind: string; metadata: metav1.ObjectMeta }>(type, (object, context) => {
        const { template } = (object as unknown as { spec: { template?: corev1.PodTemplateSpec } }).spec;
        return budgetsFor(object.metadata.namespace, template?.metadata?.labels, context);
      }),
    ),
  ],
  concurrency: 2,
  rules: [
    rule("policy", ["poddisruptionbudgets"], readVerbs),
    rule("policy", ["poddisruptionbudgets/status"], ["update"]),
    rule("apps", ["deployments", "replicasets", "statefulsets"], readVerbs),
    rule("", ["pods"], readVerbs),
    ...eventRules,
  ],
  observe,
  decide: decideDisruption,
  act,
});

function budgetsFor(
  namespace: string | undefined,
  labels: Readonly<Record<string, string>> | undefined,
  { informers }: ControllerContext,
): string[] {
  const all = informers.of(podDisruptionBudgets).list(namespace);
  return all.filter(({ spec }) => selectorMatches(spec.selector, labels ?? {})).map(keyOf);
}

function observe({ informers }: ControllerContext, key: string): DisruptionState | undefined {
  const budget = informers.of(podDisruptionBudgets).byKey(key);
  if (!budget) return undefined;
  const { namespace } = budget.metadata;
  const { selector } = budget.spec;
  const matching = informers
    .of(pods)
    .list(namespace)
    .filter((pod) => selectorMatches(selector, pod.metadata.labels ?? {}));
  return {
    budget,
    pods: matching,
    scaleOf(pod) {
      const owner = controllerOf(pod);
      if (!owner) return undefined;
      const set =
        owner.kind === "ReplicaSet" ? informers.of(replicaSets).get(namespace, owner.name) : undefined;
      const above = set && controllerOf(set);
      const deployment =
        above?.kind === "Deployment" ? informers.of(deployments).get(namespace, above.name) : undefined;
      const stateful =
        owner.kind === "StatefulSet" ? informers.of(statefulSets).get(namespace, owner.name) : undefined;
      const found = deployment ?? set ?? stateful;
      if (found) return { uid: found.metadata.uid, replicas: found.spec.replicas ?? 1 };
      const scalable = owner.kind === "ReplicaSet" || owner.kind === "StatefulSet";
      return scalable
        ? `found no controllers for pod "${pod.metadata.name}"`
        : `${owner.kind.toLowerCase()}s.${owner.apiVersion.split("/")[0]} does not implement the scale subresource`;
    },
  };
}

interface Expectation {
  expected: number;
  desired: number;
  unmanaged: number;
  failure: string | undefined;
}

/** All replicas that the pods' workloads want, those included that are not there. */
function expectationOf({ budget, pods: matching, scaleOf }: Readonly<DisruptionState>): Expectation {
  const { minAvailable, maxUnavailable } = budget.spec;
  const nothing = { expected: 0, desired: 0, unmanaged: 0, failure: undefined };
  if (typeof minAvailable === "number")
    return { ...nothing, expected: matching.length, desired: minAvailable };
  if (minAvailable === undefined && maxUnavailable === undefined) return nothing;
  const scales = new Map<string, number>();
  let unmanaged = 0;
  for (const pod of matching) {
    const scale = scaleOf(pod);
    if (typeof scale === "string") return { ...nothing, failure: scale };
    if (scale) scales.set(scale.uid, scale.replicas);
    else unmanaged++;
  }
  const expected = [...scales.values()].reduce((sum, replicas) => sum + replicas, 0);
  const desired =
    maxUnavailable === undefined
      ? (scaledValue(minAvailable, expected, true) ?? 0)
      : Math.max(0, expected - (scaledValue(maxUnavailable, expected, true) ?? 0));
  return { expected, desired, unmanaged, failure: undefined };
}

/** Evicted pods that have not begun to go. */
function disruptedOf({ budget, pods: matching }: Readonly<DisruptionState>, nowMs: number) {
  const kept: Record<string, string> = {};
  const waits: number[] = [];
  for (const [name, at] of Object.entries(budget.status?.disruptedPods ?? {})) {
    const pod = matching.find((each) => each.metadata.name === name);
    const leftMs = (Date.parse(at) || 0) + evictionMs - nowMs;
    if (!pod || isTerminating(pod) || leftMs <= 0) continue;
    kept[name] = at;
    waits.push(leftMs);
  }
  return { kept, afterMs: waits.length > 0 ? Math.min(...waits) : undefined };
}

export function decideDisruption(state: Readonly<DisruptionState>, nowMs: number): DisruptionPlan {
  const { budget } = state;
  const events: { kind: "Normal" | "Warning"; reason: string; message: string }[] = [];
  const { expected, desired, unmanaged, failure } = expectationOf(state);
  const { kept, afterMs } = disruptedOf(state, nowMs);
  const healthy = state.pods.filter(
    (pod) => isReady(pod) && !isTerminating(pod) && kept[pod.metadata.name] === undefined,
  ).length;
  if (state.pods.length === 0)
    events.push({ kind: "Normal", reason: "NoPods", message: "No matching pods found" });
  if (unmanaged > 0) events.push({ kind: "Warning", reason: "UnmanagedPods", message: unmanagedMessage });
  const { conditions } = budget.status ?? {};
  const condition = (status: "True" | "False", reason: string, message: string): metav1.Condition => ({
    type: "DisruptionAllowed",
    status,
    reason,
    message,
    observedGeneration: budget.metadata.generation ?? 0,
    lastTransitionTime: formatTime(nowMs),
  });
  if (failure !== undefined) {
    const message = `Failed to calculate the number of expected pods: ${failure}`;
    events.push({ kind: "Warning", reason: "CalculateExpectedPodCountFailed", message });
    const failed = withCondition(conditions, condition("False", "SyncFailed", failure));
    // To be safe nothing may go while it is not known how many there should be.
    const status = { ...budget.status, disruptionsAllowed: 0, conditions: failed };
    return { status: { ...status, observedGeneration: budget.metadata.generation ?? 0 }, events, afterMs };
  }
  const allowed = expected > 0 ? Math.max(0, healthy - desired) : 0;
  const next =
    allowed > 0 ? condition("True", "SufficientPods", "") : condition("False", "InsufficientPods", "");
  const status: policyv1.PodDisruptionBudgetStatus = {
    observedGeneration: budget.metadata.generation ?? 0,
    ...(Object.keys(kept).length > 0 ? { disruptedPods: kept } : {}),
    disruptionsAllowed: allowed,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    conditions: withCondition(conditions, next).map((each) =>
      each.type === next.type ? { ...each, observedGeneration: next.observedGeneration ?? 0 } : each,
    ),
  };
  return { status, events, afterMs };
}

const unmanagedMessage =
  'Pods selected by this PodDisruptionBudget were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.';

async function act(
  plan: DisruptionPlan,
  { client, events }: ControllerContext,
  { budget }: Readonly<DisruptionState>,
): Promise<Outcome> {
  if (sameJson(plan.status, budget.status)) return afterIf(plan.afterMs);
  for (const { kind, reason, message } of plan.events) events.record(budget, kind, reason, message);
  await client.update(podDisruptionBudgets, { ...budget, status: plan.status }, { subresource: "status" });
  return afterIf(plan.afterMs);
}
