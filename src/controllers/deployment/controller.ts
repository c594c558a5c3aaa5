/** Deployment: carries out what `decide.ts` plans. */
import { type appsv1, deployments, isStatus, pods, replicaSets, sameJson, selectorMatches } from "#api";
import { controllerOf, indexByOwner, keyOf, ownedBy } from "#client";
import { claim, settleClaims } from "../kit/claims.ts";
import { conditionOf, withCondition } from "../kit/conditions.ts";
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
import { type DeploymentPlan, type DeploymentState, decideDeployment } from "./decide.ts";
import {
  type Deployment,
  findNewReplicaSet,
  type ReplicaSet,
  replicasOf,
  revisionAnnotation,
} from "./replica-sets.ts";
import { deploymentCondition } from "./status.ts";

export const deploymentController = defineController<DeploymentState, DeploymentPlan>({
  name: "deployment-controller",
  primary: deployments,
  secondaries: [
    source(replicaSets, deploymentsOfSet),
    // Only a Recreate rollout waits for pods: the sets' own status tells the rest.
    source(pods, (pod, context) => {
      const owner = controllerOf(pod);
      if (owner?.kind !== "ReplicaSet") return [];
      const set = context.informers.of(replicaSets).get(pod.metadata.namespace, owner.name);
      const key = set && managerKey(set);
      const deployment = key && context.informers.of(deployments).byKey(key);
      return deployment && deployment.spec.strategy?.type === "Recreate" ? [key] : [];
    }),
  ],
  concurrency: 5,
  rules: [
    rule("apps", ["deployments"], [...readVerbs, "patch", "update"]),
    rule("apps", ["deployments/status"], ["update"]),
    rule("apps", ["replicasets"], [...readVerbs, "create", "delete", "patch", "update"]),
    rule("", ["pods"], readVerbs),
    ...eventRules,
  ],
  prepare({ informers }) {
    indexByOwner(informers.of(replicaSets));
    indexByOwner(informers.of(pods));
  },
  observe,
  decide: decideDeployment,
  act,
});

function managerKey(set: ReplicaSet): string | undefined {
  const owner = controllerOf(set);
  return owner?.kind === "Deployment" ? `${set.metadata.namespace}/${owner.name}` : undefined;
}

function deploymentsOfSet(set: ReplicaSet, { informers }: ControllerContext): string[] {
  if (controllerOf(set)) return [managerKey(set)].filter((key) => key !== undefined);
  const labels = set.metadata.labels;
  if (!labels) return [];
  const candidates = informers.of(deployments).list(set.metadata.namespace);
  return candidates.filter((each) => selectorMatches(each.spec.selector, labels)).map(keyOf);
}

function observe({ informers }: ControllerContext, key: string): DeploymentState | undefined {
  const deployment = informers.of(deployments).byKey(key);
  if (!deployment) return undefined;
  const sets = claim(deployment, informers.of(replicaSets), (set) =>
    selectorMatches(deployment.spec.selector, set.metadata.labels ?? {}),
  );
  const podInformer = informers.of(pods);
  const recreate = deployment.spec.strategy?.type === "Recreate";
  const alive = recreate
    ? sets.claimed.filter((set) => ownedBy(podInformer, set.metadata.uid).some((pod) => !isFinished(pod)))
    : [];
  return { deployment, sets, running: new Set(alive.map((set) => set.metadata.name)) };
}

async function act(
  plan: DeploymentPlan,
  context: ControllerContext,
  { deployment }: Readonly<DeploymentState>,
): Promise<Outcome> {
  const { client } = context;
  await settleClaims(client, deployments, deployment, replicaSets, plan.claims);
  const created = await createSet(plan, context, deployment);
  if (created) return created;
  for (const { from, to } of plan.update) await updateSet(from, to, context, deployment);
  await Promise.all(
    plan.remove.map((set) =>
      client.delete(replicaSets, set.metadata, { preconditions: { uid: set.metadata.uid } }),
    ),
  );
  const latest = plan.revision ? await annotate(plan.revision, context, deployment) : deployment;
  await writeStatus(plan.status, context, deployment, latest);
  return afterIf(plan.afterMs);
}

function scaled(
  context: ControllerContext,
  deployment: Deployment,
  name: string,
  from: number,
  to: number,
): void {
  if (from === to) return;
  const direction = to > from ? "up" : "down";
  const message = `Scaled ${direction} replica set ${name} from ${from} to ${to}`;
  context.events.record(deployment, "Normal", "ScalingReplicaSet", message);
}

/** Undefined: go on with the plan. */
async function createSet(
  plan: DeploymentPlan,
  context: ControllerContext,
  deployment: Deployment,
): Promise<Outcome | undefined> {
  if (!plan.create) return undefined;
  try {
    const set = await context.client.create(replicaSets, plan.create);
    scaled(context, deployment, set.metadata.name, 0, replicasOf(set));
    return undefined;
  } catch (error) {
    if (isNamespaceTerminating(error)) return { kind: "terminal", why: "the namespace is going away" };
    if (isStatus(error, "AlreadyExists")) return countCollision(plan, context, deployment);
    const message = `Failed to create new replica set "${plan.create.metadata?.name}": ${(error as Error).message}`;
    const { conditions } = deployment.status ?? {};
    const failed = deploymentCondition(
      "Progressing",
      "False",
      "ReplicaSetCreateError",
      message,
      context.world.clock.now(),
    );
    context.events.record(deployment, "Warning", "ReplicaSetCreateError", message);
    if (!sameJson(conditionOf(conditions, "Progressing")?.reason, failed.reason)) {
      const status = { ...deployment.status, conditions: withCondition(conditions, failed) };
      await context.client.update(deployments, { ...deployment, status }, { subresource: "status" });
    }
    throw error;
  }
}

/** The name is taken. By a set of ours that the cache had not seen: look again. By another: choose another name. */
async function countCollision(
  plan: DeploymentPlan,
  { client }: ControllerContext,
  deployment: Deployment,
): Promise<Outcome> {
  const ref = { namespace: deployment.metadata.namespace, name: plan.create?.metadata?.name ?? "" };
  const taken = await client.get(replicaSets, ref);
  const ours = controllerOf(taken)?.uid === deployment.metadata.uid && findNewReplicaSet(deployment, [taken]);
  if (!ours) {
    const collisionCount = (deployment.status?.collisionCount ?? 0) + 1;
    const status = { ...deployment.status, collisionCount };
    await client.update(deployments, { ...deployment, status }, { subresource: "status" });
  }
  return { kind: "retry", why: `replica set ${ref.name} exists already` };
}

async function updateSet(
  from: ReplicaSet,
  to: ReplicaSet,
  context: ControllerContext,
  deployment: Deployment,
): Promise<void> {
  await context.client.update(replicaSets, to as appsv1.ReplicaSet);
  scaled(context, deployment, to.metadata.name, replicasOf(from), replicasOf(to));
}

function annotate(
  revision: string,
  { client }: ControllerContext,
  deployment: Deployment,
): Promise<Deployment> {
  const { uid } = deployment.metadata;
  const patch = { metadata: { uid, annotations: { [revisionAnnotation]: revision } } };
  return client.patch(deployments, deployment.metadata, "merge", patch);
}

async function writeStatus(
  status: appsv1.DeploymentStatus,
  { client }: ControllerContext,
  deployment: Deployment,
  latest: Deployment,
): Promise<void> {
  const plain = (s: Readonly<appsv1.DeploymentStatus> | undefined) => ({
    replicas: 0,
    updatedReplicas: 0,
    readyReplicas: 0,
    availableReplicas: 0,
    unavailableReplicas: 0,
    terminatingReplicas: 0,
    ...s,
    conditions: [...(s?.conditions ?? [])].sort((a, b) => (a.type < b.type ? -1 : 1)),
  });
  if (sameJson(plain(status), plain(deployment.status))) return;
  await client.update(deployments, { ...latest, status } as appsv1.Deployment, { subresource: "status" });
}
