/**
 * As many pods as an object says, adopting what matches and letting go of what does not: what ReplicaSets and
 * ReplicationControllers have in common. https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/
 */
import {
  type appsv1,
  type corev1,
  type Draft,
  formatTime,
  type KubernetesObject,
  matchesLabels,
  pods,
  type ResourceType,
  type rbacv1,
  sameJson,
  selectorMatches,
  selectorRequirements,
} from "#api";
import { messageOf } from "#base";
import { controllerOf, indexByNode, indexByOwner, keyOf, podsOnNode } from "#client";
import { inSlowStartBatches } from "../kit/batches.ts";
import { type Claims, claim, settleClaims } from "../kit/claims.ts";
import { conditionOf, withCondition, withoutCondition } from "../kit/conditions.ts";
import {
  afterIf,
  type Controller,
  type ControllerContext,
  defineController,
  eventRules,
  type Outcome,
  readVerbs,
  rule,
  source,
} from "../kit/define-controller.ts";
import {
  compareForDeletion,
  isActive,
  isFinished,
  isNamespaceTerminating,
  isTerminating,
  msUntilAvailable,
  podFromTemplate,
} from "../kit/pods.ts";

type ReplicaSet = appsv1.ReplicaSet;
type Pod = Readonly<corev1.Pod>;

/** So many pods at most are made or deleted in one round. */
const burstPods = 500;

export interface ReplicaSetState {
  replicaSet: Readonly<ReplicaSet>;
  pods: Claims<corev1.Pod>;
  /** How many pods of the same owner's kin run on the node of each pod. */
  crowding: ReadonlyMap<string, number>;
}

export interface ReplicaSetPlan {
  claims: Pick<Claims<corev1.Pod>, "adopt" | "release">;
  create: number;
  delete: readonly Pod[];
  status: appsv1.ReplicaSetStatus;
  afterMs: number | undefined;
}

/** A kind of object that keeps replicas. */
export interface ReplicaKind<T extends KubernetesObject> {
  readonly name: string;
  readonly type: ResourceType<T>;
  readonly rules: readonly rbacv1.PolicyRule[];
  /** The object in the shape of a ReplicaSet; its `kind` and `apiVersion` stay. */
  view(object: Readonly<T>): Readonly<ReplicaSet>;
  /** What changes back: only the status is taken from the view. */
  unview(object: Readonly<ReplicaSet>): T;
}

export function defineReplicas<T extends KubernetesObject>(kind: ReplicaKind<T>): Controller {
  return defineController<ReplicaSetState, ReplicaSetPlan>({
    name: kind.name,
    primary: kind.type,
    secondaries: [source(pods, (pod, context) => ownersOfPod(kind, pod, context))],
    concurrency: 5,
    rules: [...kind.rules, rule("", ["pods"], [...readVerbs, "create", "delete", "patch"]), ...eventRules],
    prepare({ informers }) {
      indexByNode(indexByOwner(informers.of(pods)));
      indexByOwner(informers.of(kind.type));
    },
    observe: (context, key) => observe(kind, context, key),
    decide: decideReplicaSet,
    act: (plan, context, state) => act(kind, plan, context, state),
  });
}

/** The object that manages the pod; for a pod that nobody manages, all that would take it. */
function ownersOfPod<T extends KubernetesObject>(
  { type, view }: ReplicaKind<T>,
  pod: Pod,
  { informers }: ControllerContext,
): string[] {
  const { namespace, labels } = pod.metadata;
  const owner = controllerOf(pod);
  if (owner) return owner.kind === type.kind ? [`${namespace}/${owner.name}`] : [];
  if (!labels) return [];
  const candidates = informers.of(type).list(namespace);
  return candidates.filter((each) => selectorMatches(view(each).spec.selector, labels)).map(keyOf);
}

function observe<T extends KubernetesObject>(
  { type, view }: ReplicaKind<T>,
  { informers }: ControllerContext,
  key: string,
): ReplicaSetState | undefined {
  const object = informers.of(type).byKey(key);
  if (!object) return undefined;
  const replicaSet = view(object);
  const podInformer = informers.of(pods);
  const selector = selectorRequirements(replicaSet.spec.selector);
  const matches = (pod: Pod) => matchesLabels(selector, pod.metadata.labels ?? {});
  const claims = claim(replicaSet, podInformer, matches, (pod) => !isFinished(pod));
  const active = claims.claimed.filter(isActive);
  const crowding = new Map<string, number>();
  if (active.length <= (replicaSet.spec.replicas ?? 1)) return { replicaSet, pods: claims, crowding };
  const kin = controllerOf(replicaSet)?.uid;
  const sets = kin ? informers.of(type).byIndex("controllerUid", kin) : [object];
  const uids = new Set([replicaSet.metadata.uid, ...sets.map((set) => set.metadata.uid)]);
  for (const node of new Set(active.map((pod) => pod.spec.nodeName ?? ""))) {
    const related = podsOnNode(podInformer, node).filter(
      (p) => isActive(p) && uids.has(controllerOf(p)?.uid ?? ""),
    );
    crowding.set(node, node ? related.length : 0);
  }
  return { replicaSet, pods: claims, crowding };
}

export function decideReplicaSet(state: Readonly<ReplicaSetState>, nowMs: number): ReplicaSetPlan {
  const { replicaSet, crowding } = state;
  const { claimed, adopt, release } = state.pods;
  const active = claimed.filter(isActive);
  const wanted = replicaSet.spec.replicas ?? 1;
  const deleting = replicaSet.metadata.deletionTimestamp !== undefined;
  const surplus = deleting ? 0 : Math.max(0, active.length - wanted);
  const crowd = (pod: Pod) => crowding.get(pod.spec.nodeName ?? "") ?? 0;
  const victims = surplus > 0 ? [...active].sort((a, b) => compareForDeletion(a, b, crowd)) : [];
  const counts = countReplicas(replicaSet, claimed, active, nowMs);
  return {
    claims: { adopt, release },
    create: deleting ? 0 : Math.min(burstPods, Math.max(0, wanted - active.length)),
    delete: victims.slice(0, Math.min(burstPods, surplus)),
    ...counts,
  };
}

/** One pass over the pods: a set may have ten thousand of them, and each brings several rounds. */
function countReplicas(
  replicaSet: Readonly<ReplicaSet>,
  claimed: readonly Pod[],
  active: readonly Pod[],
  nowMs: number,
): Pick<ReplicaSetPlan, "status" | "afterMs"> {
  const minReady = replicaSet.spec.minReadySeconds ?? 0;
  const wantedLabels = Object.entries(replicaSet.spec.template?.metadata?.labels ?? {});
  const labelled = (pod: Pod) => wantedLabels.every(([name, value]) => pod.metadata.labels?.[name] === value);
  const { conditions } = replicaSet.status ?? {};
  let [fullyLabeledReplicas, readyReplicas, availableReplicas, nextMs] = [0, 0, 0, Number.POSITIVE_INFINITY];
  for (const pod of active) {
    if (labelled(pod)) fullyLabeledReplicas++;
    const waitMs = msUntilAvailable(pod, minReady, nowMs);
    if (waitMs === undefined) continue;
    readyReplicas++;
    if (waitMs <= 0) availableReplicas++;
    else nextMs = Math.min(nextMs, waitMs);
  }
  const status = {
    replicas: active.length,
    fullyLabeledReplicas,
    readyReplicas,
    availableReplicas,
    terminatingReplicas: claimed.filter((pod) => isTerminating(pod) && !isFinished(pod)).length,
    observedGeneration: replicaSet.metadata.generation ?? 0,
    ...(conditions?.length ? { conditions: [...conditions] } : {}),
  };
  return { status, afterMs: Number.isFinite(nextMs) ? nextMs : undefined };
}

async function act<T extends KubernetesObject>(
  kind: ReplicaKind<T>,
  plan: ReplicaSetPlan,
  context: ControllerContext,
  { replicaSet }: Readonly<ReplicaSetState>,
): Promise<Outcome> {
  await settleClaims(context.client, kind.type, kind.unview(replicaSet), pods, plan.claims);
  const failure =
    (await createPods(plan.create, context, replicaSet)) ?? (await deletePods(plan, context, replicaSet));
  const status = withFailure(plan.status, failure, plan.create > 0, context);
  await writeStatus(kind, status, context, replicaSet);
  if (failure) return { kind: "retry", why: messageOf(failure) };
  return afterIf(plan.afterMs);
}

async function createPods(
  count: number,
  { client, events }: ControllerContext,
  replicaSet: Readonly<ReplicaSet>,
): Promise<unknown> {
  const { template } = replicaSet.spec;
  if (count === 0 || !template) return undefined;
  const draft = podFromTemplate(template, replicaSet);
  const { error } = await inSlowStartBatches(count, async () => {
    const pod = await client.create(pods, draft);
    events.record(replicaSet, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
  });
  if (!error || isNamespaceTerminating(error)) return undefined;
  events.record(replicaSet, "Warning", "FailedCreate", `Error creating: ${messageOf(error)}`);
  return error;
}

async function deletePods(
  plan: ReplicaSetPlan,
  { client, events }: ControllerContext,
  replicaSet: Readonly<ReplicaSet>,
): Promise<unknown> {
  const results = await Promise.allSettled(
    plan.delete.map(async (pod) => {
      const { name, uid } = pod.metadata;
      await client.delete(pods, pod.metadata, { preconditions: { uid } });
      events.record(replicaSet, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
    }),
  );
  const failure = results.find((result) => result.status === "rejected" && result.reason?.code !== 404);
  if (failure?.status !== "rejected") return undefined;
  events.record(replicaSet, "Warning", "FailedDelete", `Error deleting: ${messageOf(failure.reason)}`);
  return failure.reason;
}

function withFailure(
  status: appsv1.ReplicaSetStatus,
  failure: unknown,
  creating: boolean,
  { world }: ControllerContext,
): appsv1.ReplicaSetStatus {
  const known = conditionOf(status.conditions, "ReplicaFailure");
  if (!failure && !known) return status;
  if (!failure) return { ...status, conditions: withoutCondition(status.conditions, "ReplicaFailure") };
  const condition = {
    type: "ReplicaFailure",
    status: "True",
    reason: creating ? "FailedCreate" : "FailedDelete",
    message: messageOf(failure),
    lastTransitionTime: formatTime(world.clock.now()),
  };
  return { ...status, conditions: withCondition(status.conditions, condition) };
}

async function writeStatus<T extends KubernetesObject>(
  { type, unview }: ReplicaKind<T>,
  status: appsv1.ReplicaSetStatus,
  { client }: ControllerContext,
  replicaSet: Readonly<ReplicaSet>,
): Promise<void> {
  const plain = (s: Readonly<appsv1.ReplicaSetStatus> | undefined) => ({
    fullyLabeledReplicas: 0,
    readyReplicas: 0,
    availableReplicas: 0,
    terminatingReplicas: 0,
    ...s,
    conditions: s?.conditions ?? [],
  });
  if (sameJson(plain(status), plain(replicaSet.status))) return;
  await client.update(type, unview({ ...replicaSet, status }) as Draft<T>, { subresource: "status" });
}
