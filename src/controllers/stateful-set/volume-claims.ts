/**
 * The PersistentVolumeClaims of a StatefulSet's pods: one of each template for each pod, which stay when the pod goes
 * unless the retention policy hands them to the set or to the pod.
 * https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#persistentvolumeclaim-retention
 */
import { type corev1, type Draft, type metav1, sameJson } from "#api";
import { controllerRef, isTerminating } from "../kit/pods.ts";
import { firstOrdinal, ordinalOf, type Pod, type StatefulSet } from "./identity.ts";

export type Claim = Readonly<corev1.PersistentVolumeClaim>;

/** A claim that is there and whose owners are to be others. */
interface Reown {
  readonly claim: Claim;
  readonly ownerReferences: readonly metav1.OwnerReference[];
}

function claimName(set: StatefulSet, template: Claim, ordinal: number): string {
  return `${template.metadata.name}-${set.metadata.name}-${ordinal}`;
}

function podName(set: StatefulSet, ordinal: number): string {
  return `${set.metadata.name}-${ordinal}`;
}

/** Whether the claim bears a name that a pod of this set uses, or used. */
export function isClaimOf(set: StatefulSet, name: string): boolean {
  return (set.spec.volumeClaimTemplates ?? []).some(({ metadata }) => {
    const prefix = `${metadata.name}-${set.metadata.name}-`;
    return name.startsWith(prefix) && /^(0|[1-9]\d*)$/.test(name.slice(prefix.length));
  });
}

/** The claims that the pod of this ordinal needs, by the name of its volume. */
export function claimsFor(set: StatefulSet, ordinal: number): Draft<corev1.PersistentVolumeClaim>[] {
  return (set.spec.volumeClaimTemplates ?? []).map((template) => ({
    metadata: {
      ...(template.metadata.annotations ? { annotations: template.metadata.annotations } : {}),
      name: claimName(set, template, ordinal),
      namespace: set.metadata.namespace ?? "default",
      labels: { ...template.metadata.labels, ...set.spec.selector?.matchLabels },
      ...ownersPart(ownersFor(set, ordinal, undefined, [])),
    },
    spec: template.spec,
  }));
}

function ownersPart(ownerReferences: readonly metav1.OwnerReference[]) {
  return ownerReferences.length > 0 ? { ownerReferences: [...ownerReferences] } : {};
}

/** The pod's volumes: those of its claims take the place of others of the same name. */
export function withClaims(
  set: StatefulSet,
  volumes: readonly corev1.Volume[] | undefined,
  ordinal: number,
): corev1.Volume[] | undefined {
  const templates = set.spec.volumeClaimTemplates ?? [];
  if (templates.length === 0) return volumes && [...volumes];
  const own = templates.map((template) => ({
    name: template.metadata.name,
    persistentVolumeClaim: { claimName: claimName(set, template, ordinal) },
  }));
  const names = new Set(own.map(({ name }) => name));
  return [...own, ...(volumes ?? []).filter(({ name }) => !names.has(name))];
}

function isInRange(set: StatefulSet, ordinal: number): boolean {
  const first = firstOrdinal(set);
  return ordinal >= first && ordinal < first + (set.spec.replicas ?? 1);
}

/** `others` stay what they are; the set or the pod owns the claim as the policy says. */
function ownersFor(
  set: StatefulSet,
  ordinal: number,
  pod: Pod | undefined,
  others: readonly metav1.OwnerReference[],
): metav1.OwnerReference[] {
  const { whenDeleted, whenScaled } = set.spec.persistentVolumeClaimRetentionPolicy ?? {};
  if (whenScaled === "Delete" && !isInRange(set, ordinal))
    return pod ? [...others, controllerRef(pod)] : [...others];
  return whenDeleted === "Delete" ? [...others, controllerRef(set)] : [...others];
}

/** What has to change of the owners of a pod's claim; undefined where nothing has, or somebody else manages it. */
function reown(set: StatefulSet, ordinal: number, pod: Pod, claim: Claim): Reown | undefined {
  const current = claim.metadata.ownerReferences ?? [];
  const others = current.filter(({ uid }) => uid !== set.metadata.uid && uid !== pod.metadata.uid);
  if (others.some(({ controller }) => controller)) return undefined;
  const ownerReferences = ownersFor(set, ordinal, pod, others);
  const identities = (all: readonly metav1.OwnerReference[]) => all.map(({ uid }) => uid).sort();
  return sameJson(identities(ownerReferences), identities(current)) ? undefined : { claim, ownerReferences };
}

export interface VolumeClaimPlan {
  /** Of pods that wait for them. */
  readonly create: readonly { readonly pod: string; readonly draft: Draft<corev1.PersistentVolumeClaim> }[];
  readonly reown: readonly Reown[];
}

/** Claims of pods that are there; those of new pods are made with them. */
export function planVolumeClaims(
  set: StatefulSet,
  pods: readonly Pod[],
  known: ReadonlyMap<string, Claim>,
): VolumeClaimPlan {
  const create: VolumeClaimPlan["create"][number][] = [];
  const changes: Reown[] = [];
  if (!set.spec.volumeClaimTemplates?.length || set.metadata.deletionTimestamp)
    return { create, reown: changes };
  for (const pod of pods) {
    const ordinal = ordinalOf(set, pod);
    if (ordinal === undefined) continue;
    const waits = pod.status?.phase === "Pending" && !isTerminating(pod) && isInRange(set, ordinal);
    for (const draft of claimsFor(set, ordinal)) {
      const claim = known.get(draft.metadata?.name ?? "");
      const change = claim && reown(set, ordinal, pod, claim);
      if (change) changes.push(change);
      if (!claim && waits) create.push({ pod: pod.metadata.name, draft });
    }
  }
  return { create, reown: changes };
}

/** Whether a new pod of this ordinal would find claims that go with its predecessor. */
export function hasStaleClaims(
  set: StatefulSet,
  ordinal: number,
  known: ReadonlyMap<string, Claim>,
): boolean {
  const name = podName(set, ordinal);
  const isPredecessor = (owner: metav1.OwnerReference) => owner.kind === "Pod" && owner.name === name;
  return claimsFor(set, ordinal).some((draft) =>
    known.get(draft.metadata?.name ?? "")?.metadata.ownerReferences?.some(isPredecessor),
  );
}
