/** DaemonSet: carries out what `decide.ts` plans. */
import {
  type appsv1,
  controllerRevisions,
  daemonSets,
  isStatus,
  nodes,
  pods,
  sameJson,
  selectorMatches,
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
import { isNamespaceTerminating } from "../kit/pods.ts";
import { settleRevisions } from "../kit/revisions.ts";
import { type DaemonSetPlan, type DaemonSetState, decideDaemonSet } from "./decide.ts";
import { type DaemonSet, daemonPod, type Node, type Pod } from "./placement.ts";

const firstRetryMs = 1_000;
const lastRetryMs = 15 * 60_000;
/** So many nodes' failures are remembered. */
const failuresMax = 10_000;

interface Failure {
  atMs: number;
  delayMs: number;
}

export const daemonSetController = defineController<DaemonSetState, DaemonSetPlan>({
  name: "daemonset-controller",
  primary: daemonSets,
  secondaries: [
    source(pods, (pod, context) => ownersOf(pod, context)),
    source(controllerRevisions, (revision, context) => ownersOf(revision, context)),
    source(nodes, (node, context) =>
      placesAnew(node, context) ? context.informers.of(daemonSets).list().map(keyOf) : [],
    ),
  ],
  concurrency: 2,
  rules: [
    rule("apps", ["daemonsets"], readVerbs),
    rule("apps", ["daemonsets/status"], ["update"]),
    rule("apps", ["controllerrevisions"], [...readVerbs, "create", "delete", "patch", "update"]),
    rule("", ["nodes"], readVerbs),
    rule("", ["pods"], [...readVerbs, "create", "delete", "patch"]),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByOwner(informers.of(pods));
    indexByOwner(informers.of(controllerRevisions));
  },
  observe({ informers, memory }, key) {
    const set = informers.of(daemonSets).byKey(key);
    if (!set) return undefined;
    const matches = (object: { metadata: Pod["metadata"] }) =>
      selectorMatches(set.spec.selector, object.metadata.labels ?? {});
    return {
      set,
      pods: claim(set, informers.of(pods), matches),
      revisions: claim(set, informers.of(controllerRevisions), matches),
      nodes: informers.of(nodes).list(),
      retryAtMs(nodeName) {
        const failure = memory.get(failureKey(set, nodeName)) as Failure | undefined;
        return failure ? failure.atMs + failure.delayMs : 0;
      },
    };
  },
  decide: decideDaemonSet,
  act,
});

function ownersOf(object: { metadata: Pod["metadata"] }, { informers }: ControllerContext): string[] {
  const { namespace, labels } = object.metadata;
  const owner = controllerOf(object);
  if (owner) return owner.kind === "DaemonSet" ? [`${namespace}/${owner.name}`] : [];
  if (!labels) return [];
  const candidates = informers.of(daemonSets).list(namespace);
  return candidates.filter((set) => selectorMatches(set.spec.selector, labels)).map(keyOf);
}

/** Nodes report all the time; only what decides where pods go is worth a round of every DaemonSet. */
function placesAnew(node: Node, { informers, memory }: ControllerContext): boolean {
  const current = informers.of(nodes).get(undefined, node.metadata.name);
  const key = `node/${node.metadata.name}`;
  if (!current) {
    memory.delete(key);
    return true;
  }
  if (current !== node) return false;
  const known = JSON.stringify([node.metadata.labels ?? {}, node.spec?.taints ?? []]);
  if (memory.get(key) === known) return false;
  memory.set(key, known);
  return true;
}

function failureKey(set: DaemonSet, nodeName: string): string {
  return `failed/${set.metadata.uid}/${nodeName}`;
}

async function act(
  plan: DaemonSetPlan,
  context: ControllerContext,
  { set }: Readonly<DaemonSetState>,
): Promise<Outcome> {
  const { client } = context;
  await settleClaims(client, daemonSets, set, pods, plan.claims);
  await settleClaims(client, daemonSets, set, controllerRevisions, plan.revisionClaims);
  const settled = await settleRevisions(client, set, plan.revisions, plan.surplus);
  if (settled === "collision") return countCollision(context, set);
  const failure = (await deletePods(plan, context, set)) ?? (await createPods(plan, context, set));
  await writeStatus(plan.status, context, set);
  return failure ? { kind: "retry", why: messageOf(failure) } : afterIf(plan.afterMs);
}

async function countCollision({ client }: ControllerContext, set: DaemonSet): Promise<Outcome> {
  const status = { ...set.status, collisionCount: (set.status?.collisionCount ?? 0) + 1 };
  await client.update(daemonSets, { ...set, status }, { subresource: "status" });
  return { kind: "retry", why: "the name of the revision is taken" };
}

async function createPods(
  plan: DaemonSetPlan,
  { client, events }: ControllerContext,
  set: DaemonSet,
): Promise<unknown> {
  const { error } = await inSlowStartBatches(plan.create.length, async (i) => {
    const pod = await client.create(pods, daemonPod(set, plan.create[i] ?? "", plan.revisions.hash));
    events.record(set, "Normal", "SuccessfulCreate", `Created pod: ${pod.metadata.name}`);
  });
  if (!error || isNamespaceTerminating(error)) return undefined;
  events.record(set, "Warning", "FailedCreate", `Error creating: ${messageOf(error)}`);
  return error;
}

async function deletePods(plan: DaemonSetPlan, context: ControllerContext, set: DaemonSet): Promise<unknown> {
  const { client, events } = context;
  const results = await Promise.allSettled(
    plan.delete.map(async (pod) => {
      const { name, uid } = pod.metadata;
      tellEnded(plan, context, set, pod);
      await client.delete(pods, pod.metadata, { preconditions: { uid } });
      events.record(set, "Normal", "SuccessfulDelete", `Deleted pod: ${name}`);
    }),
  );
  const failed = results.filter((result) => result.status === "rejected");
  const failure = failed.find(({ reason }) => !isStatus(reason, "NotFound"))?.reason;
  if (failure) events.record(set, "Warning", "FailedDelete", `Error deleting: ${messageOf(failure)}`);
  return failure;
}

function tellEnded(plan: DaemonSetPlan, context: ControllerContext, set: DaemonSet, pod: Pod): void {
  const node = plan.ended.get(pod);
  if (node === undefined) return;
  const { namespace, name } = pod.metadata;
  if (pod.status?.phase === "Succeeded") {
    const message = `Found succeeded daemon pod ${namespace}/${name} on node ${node}, will try to delete it`;
    context.events.record(set, "Normal", "SucceededDaemonPod", message);
    return;
  }
  const message = `Found failed daemon pod ${namespace}/${name} on node ${node}, will try to kill it`;
  context.events.record(set, "Warning", "FailedDaemonPod", message);
  rememberFailure(context, failureKey(set, node));
}

/** Each failure doubles the wait for the next; a node that did well for long starts anew. */
function rememberFailure({ memory, world }: ControllerContext, key: string): void {
  const atMs = world.clock.now();
  const last = memory.get(key) as Failure | undefined;
  const fresh = !last || atMs - last.atMs > 2 * lastRetryMs;
  memory.delete(key);
  if (memory.size >= failuresMax) {
    const oldest = memory.keys().find((each) => each.startsWith("failed/"));
    if (oldest) memory.delete(oldest);
  }
  memory.set(key, { atMs, delayMs: fresh ? firstRetryMs : Math.min(lastRetryMs, last.delayMs * 2) });
}

async function writeStatus(
  status: appsv1.DaemonSetStatus,
  { client }: ControllerContext,
  set: DaemonSet,
): Promise<void> {
  if (sameJson(status, set.status)) return;
  await client.update(daemonSets, { ...set, status }, { subresource: "status" });
}
