/** StatefulSet: carries out what `decide.ts` plans. */
import {
  type appsv1,
  controllerRevisions,
  type corev1,
  type Draft,
  isStatus,
  persistentVolumeClaims,
  pods,
  sameJson,
  selectorMatches,
  statefulSets,
} from "#api";
import { messageOf } from "#base";
import { controllerOf, indexByOwner, keyOf } from "#client";
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
import { isFinished, isNamespaceTerminating } from "../kit/pods.ts";
import { settleRevisions } from "../kit/revisions.ts";
import { decideStatefulSet, type NewPod, type StatefulSetPlan, type StatefulSetState } from "./decide.ts";
import { identityLabels, ordinalOf, type Pod, type StatefulSet } from "./identity.ts";
import { statefulPod } from "./new-pod.ts";
import { type Claim, claimsFor, isClaimOf } from "./volume-claims.ts";

export const statefulSetController = defineController<StatefulSetState, StatefulSetPlan>({
  name: "statefulset-controller",
  primary: statefulSets,
  secondaries: [
    source(pods, (pod, context) => ownersOf(pod, context)),
    source(persistentVolumeClaims, (claim, { informers }) =>
      informers
        .of(statefulSets)
        .list(claim.metadata.namespace)
        .filter((set) => isClaimOf(set, claim.metadata.name))
        .map(keyOf),
    ),
    source(controllerRevisions, (revision, context) => ownersOf(revision, context)),
  ],
  concurrency: 5,
  rules: [
    rule("", ["persistentvolumeclaims"], [...readVerbs, "create", "update"]),
    rule("apps", ["statefulsets"], readVerbs),
    rule("apps", ["statefulsets/status"], ["update"]),
    rule("apps", ["controllerrevisions"], [...readVerbs, "create", "delete", "patch", "update"]),
    rule("", ["pods"], [...readVerbs, "create", "delete", "patch"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByOwner(informers.of(pods));
    indexByOwner(informers.of(controllerRevisions));
  },
  observe({ informers }, key) {
    const set = informers.of(statefulSets).byKey(key);
    if (!set) return undefined;
    const matches = (object: { metadata: Pod["metadata"] }) =>
      selectorMatches(set.spec.selector, object.metadata.labels ?? {});
    return {
      set,
      pods: claim(set, informers.of(pods), (pod) => matches(pod) && ordinalOf(set, pod) !== undefined),
      revisions: claim(set, informers.of(controllerRevisions), matches),
      volumeClaims: volumeClaimsOf(set, informers),
    };
  },
  decide: decideStatefulSet,
  act,
});

function volumeClaimsOf(set: StatefulSet, informers: ControllerContext["informers"]) {
  const known = new Map<string, Claim>();
  if (!set.spec.volumeClaimTemplates?.length) return known;
  for (const each of informers.of(persistentVolumeClaims).list(set.metadata.namespace))
    if (isClaimOf(set, each.metadata.name)) known.set(each.metadata.name, each);
  return known;
}

function ownersOf(object: { metadata: Pod["metadata"] }, { informers }: ControllerContext): string[] {
  const { namespace, labels } = object.metadata;
  const owner = controllerOf(object);
  if (owner) return owner.kind === "StatefulSet" ? [`${namespace}/${owner.name}`] : [];
  if (!labels) return [];
  const candidates = informers.of(statefulSets).list(namespace);
  return candidates.filter((set) => selectorMatches(set.spec.selector, labels)).map(keyOf);
}

async function act(
  plan: StatefulSetPlan,
  context: ControllerContext,
  state: Readonly<StatefulSetState>,
): Promise<Outcome> {
  const { client } = context;
  const { set } = state;
  await settleClaims(client, statefulSets, set, pods, plan.claims);
  await settleClaims(client, statefulSets, set, controllerRevisions, plan.revisionClaims);
  const settled = await settleRevisions(client, set, plan.revisions, plan.surplus);
  if (settled === "collision") return countCollision(context, set);
  for (const { pod, ordinal } of plan.relabel) {
    const { uid } = pod.metadata;
    const patch = { metadata: { uid, labels: identityLabels(set, ordinal) } };
    await client.patch(pods, pod.metadata, "merge", patch);
  }
  await settleVolumeClaims(plan, context, set);
  const failure = (await deletePods(plan, context, set)) ?? (await createPods(plan, context, state));
  await writeStatus(plan.status, context, set);
  return failure ? { kind: "retry", why: messageOf(failure) } : afterIf(plan.afterMs);
}

async function settleVolumeClaims(
  { volumeClaims }: StatefulSetPlan,
  context: ControllerContext,
  set: StatefulSet,
): Promise<void> {
  for (const { claim: each, ownerReferences } of volumeClaims.reown)
    await context.client.update(persistentVolumeClaims, {
      ...each,
      metadata: { ...each.metadata, ownerReferences: [...ownerReferences] },
    });
  for (const { pod, draft } of volumeClaims.create) await createClaim(draft, pod, context, set);
}

async function createClaim(
  draft: Draft<corev1.PersistentVolumeClaim>,
  pod: string,
  { client, events }: ControllerContext,
  set: StatefulSet,
): Promise<void> {
  const what = `create Claim ${draft.metadata?.name}`;
  const setName = set.metadata.name;
  try {
    await client.create(persistentVolumeClaims, draft);
    events.record(set, "Normal", "SuccessfulCreate", `${what} Pod ${pod} in StatefulSet ${setName} success`);
  } catch (error) {
    if (isStatus(error, "AlreadyExists")) return;
    const message = `${what} for Pod ${pod} in StatefulSet ${setName} failed error: ${messageOf(error)}`;
    events.record(set, "Warning", "FailedCreate", message);
    throw new Error(`failed to create PVC ${draft.metadata?.name}: ${messageOf(error)}`, { cause: error });
  }
}

async function countCollision({ client }: ControllerContext, set: StatefulSet): Promise<Outcome> {
  const status = { ...set.status, collisionCount: (set.status?.collisionCount ?? 0) + 1 };
  await client.update(statefulSets, { ...set, status }, { subresource: "status" });
  return { kind: "retry", why: "the name of the revision is taken" };
}

function tellFailure(
  { events }: ControllerContext,
  set: StatefulSet,
  verb: "create" | "delete",
  pod: string,
  error: unknown,
): void {
  const reason = verb === "create" ? "FailedCreate" : "FailedDelete";
  const message = `${verb} Pod ${pod} in StatefulSet ${set.metadata.name} failed error: ${messageOf(error)}`;
  events.record(set, "Warning", reason, message);
}

async function createPods(
  plan: StatefulSetPlan,
  context: ControllerContext,
  state: Readonly<StatefulSetState>,
): Promise<unknown> {
  const { error } = await inSlowStartBatches(plan.create.length, (i) =>
    createPod(plan.create[i] as NewPod, context, state),
  );
  return error && !isNamespaceTerminating(error) ? error : undefined;
}

function nameOf(set: StatefulSet, { ordinal }: NewPod): string {
  return `${set.metadata.name}-${ordinal}`;
}

async function createPod(
  wanted: NewPod,
  context: ControllerContext,
  { set, volumeClaims }: Readonly<StatefulSetState>,
): Promise<void> {
  const name = nameOf(set, wanted);
  try {
    for (const draft of claimsFor(set, wanted.ordinal)) {
      const known = volumeClaims.get(draft.metadata?.name ?? "");
      if (!known) await createClaim(draft, name, context, set);
      else if (known.metadata.deletionTimestamp)
        throw new Error(`pvc ${known.metadata.name} is being deleted`);
    }
    await context.client.create(pods, statefulPod(set, wanted.template, wanted.ordinal, wanted.revision));
  } catch (error) {
    if (!isNamespaceTerminating(error)) tellFailure(context, set, "create", name, error);
    throw error;
  }
  const message = `create Pod ${name} in StatefulSet ${set.metadata.name} successful`;
  context.events.record(set, "Normal", "SuccessfulCreate", message);
}

async function deletePods(
  plan: StatefulSetPlan,
  context: ControllerContext,
  set: StatefulSet,
): Promise<unknown> {
  let failure: unknown;
  for (const pod of plan.delete) {
    const { name, namespace, uid } = pod.metadata;
    if (isFinished(pod)) {
      const failed = pod.status?.phase === "Failed";
      const message = `StatefulSet ${namespace}/${set.metadata.name} is recreating ${failed ? "failed" : "terminated"} Pod ${name}`;
      const reason = failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod";
      context.events.record(set, failed ? "Warning" : "Normal", reason, message);
    }
    try {
      await context.client.delete(pods, pod.metadata, { preconditions: { uid } });
      const message = `delete Pod ${name} in StatefulSet ${set.metadata.name} successful`;
      context.events.record(set, "Normal", "SuccessfulDelete", message);
    } catch (error) {
      if (isStatus(error, "NotFound")) continue;
      tellFailure(context, set, "delete", name, error);
      failure = error;
    }
  }
  return failure;
}

async function writeStatus(
  status: appsv1.StatefulSetStatus,
  { client }: ControllerContext,
  set: StatefulSet,
): Promise<void> {
  const plain = (s: Readonly<appsv1.StatefulSetStatus> | undefined) => ({
    collisionCount: 0,
    availableReplicas: 0,
    replicas: 0,
    ...s,
  });
  if (sameJson(plain(status), plain(set.status))) return;
  await client.update(statefulSets, { ...set, status }, { subresource: "status" });
}
