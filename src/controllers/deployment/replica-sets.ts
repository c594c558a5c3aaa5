/**
 * What a Deployment reads from and writes on its ReplicaSets: revisions, the size they were scaled for, the template's
 * hash. `kubectl rollout` reads the same annotations.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/controller/deployment/util/deployment_util.go
 */
import { type appsv1, type Draft, sameJson } from "#api";
import { canonicalJson, fnv32a, safeEncode } from "../kit/hash.ts";
import { controllerRef, createdMs } from "../kit/pods.ts";

export type Deployment = Readonly<appsv1.Deployment>;
export type ReplicaSet = Readonly<appsv1.ReplicaSet>;

const hashLabel = "pod-template-hash";
export const revisionAnnotation = "deployment.kubernetes.io/revision";
const historyAnnotation = "deployment.kubernetes.io/revision-history";
export const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
export const maxAnnotation = "deployment.kubernetes.io/max-replicas";

/** What belongs to one of the two objects alone. */
const notCopied = new Set([
  "kubectl.kubernetes.io/last-applied-configuration",
  "deprecated.deployment.rollback.to",
  revisionAnnotation,
  historyAnnotation,
  desiredAnnotation,
  maxAnnotation,
]);

export function replicasOf(object: { readonly spec: { readonly replicas?: number } }): number {
  return object.spec.replicas ?? 1;
}

export function totalReplicas(sets: readonly ReplicaSet[]): number {
  return sets.reduce((sum, set) => sum + replicasOf(set), 0);
}

export function totalAvailable(sets: readonly ReplicaSet[]): number {
  return sets.reduce((sum, set) => sum + (set.status?.availableReplicas ?? 0), 0);
}

export function revisionOf(object: { metadata: { annotations?: { [key: string]: string } } }): number {
  return Number.parseInt(object.metadata.annotations?.[revisionAnnotation] ?? "0", 10) || 0;
}

export function byCreation(a: ReplicaSet, b: ReplicaSet): number {
  return createdMs(a) - createdMs(b) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** The template without the label that tells the ReplicaSets apart. */
function bareTemplate(template: appsv1.DeploymentSpec["template"] | undefined): unknown {
  const labels = { ...template?.metadata?.labels };
  delete labels[hashLabel];
  return { ...template, metadata: { ...template?.metadata, labels, creationTimestamp: undefined } };
}

/** Of several sets with the wanted template, the oldest: all must choose the same one. */
export function findNewReplicaSet(
  deployment: Deployment,
  sets: readonly ReplicaSet[],
): ReplicaSet | undefined {
  const wanted = bareTemplate(deployment.spec.template);
  return [...sets].sort(byCreation).find((set) => sameJson(bareTemplate(set.spec.template), wanted));
}

function templateHash(deployment: Deployment): string {
  const collisions = deployment.status?.collisionCount ?? 0;
  return safeEncode(fnv32a(canonicalJson(deployment.spec.template) + (collisions ? String(collisions) : "")));
}

export function sizeAnnotations(desired: number, max: number): Record<string, string> {
  return { [desiredAnnotation]: String(desired), [maxAnnotation]: String(max) };
}

/** The set's annotations as the Deployment wants them at this revision. A revision that grows leaves its history. */
export function annotationsFor(
  deployment: Deployment,
  set: ReplicaSet | undefined,
  revision: number,
): Record<string, string> {
  const own = Object.entries(deployment.metadata.annotations ?? {}).filter(([name]) => !notCopied.has(name));
  const annotations: Record<string, string> = { ...set?.metadata.annotations, ...Object.fromEntries(own) };
  const old = set ? revisionOf(set) : 0;
  if (old >= revision) return annotations;
  annotations[revisionAnnotation] = String(revision);
  if (old > 0) {
    const history = (annotations[historyAnnotation] ?? "").split(",").filter(Boolean);
    annotations[historyAnnotation] = [...history, String(old)].join(",");
  }
  return annotations;
}

export function newReplicaSet(
  deployment: Deployment,
  revision: number,
  replicas: number,
  maxReplicas: number,
): Draft<appsv1.ReplicaSet> {
  const hash = templateHash(deployment);
  const { template, selector, minReadySeconds } = deployment.spec;
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  return {
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace ?? "default",
      labels,
      annotations: {
        ...annotationsFor(deployment, undefined, revision),
        ...sizeAnnotations(replicasOf(deployment), maxReplicas),
      },
      ownerReferences: [controllerRef(deployment)],
    },
    spec: {
      replicas,
      ...(minReadySeconds ? { minReadySeconds } : {}),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}
