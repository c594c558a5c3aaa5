/** The claims of a pod: which are bound, which wait for the pod's node, and what could serve them there. */
import { type corev1, quantityValue, selectorMatches, type storagev1, termMatches } from "#api";
import type { StorageLookups } from "./define-plugin.ts";
import type { NodeInfo } from "./node-info.ts";
import type { Pod } from "./pod-info.ts";

export type Claim = Readonly<corev1.PersistentVolumeClaim>;
export type Volume = Readonly<corev1.PersistentVolume>;

export interface PodClaims {
  /** With the volume of each. */
  bound: readonly { claim: Claim; volume: Volume }[];
  /** Claims that wait for their first consumer. */
  waiting: readonly Claim[];
  /** Claims whose volume has gone. */
  bereft: readonly Claim[];
}

interface NamedClaim {
  name: string;
  /** Made for this pod and gone with it. */
  ephemeral: boolean;
}

const noProvisioner = "kubernetes.io/no-provisioner";
const classAnnotation = "volume.beta.kubernetes.io/storage-class";

export function claimNames({ metadata, spec }: Pod): NamedClaim[] {
  return (spec.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim)
      return { name: volume.persistentVolumeClaim.claimName, ephemeral: false };
    return volume.ephemeral ? { name: `${metadata.name}-${volume.name}`, ephemeral: true } : [];
  });
}

export function classOf({ metadata, spec }: Claim | Volume): string {
  return metadata.annotations?.[classAnnotation] ?? spec?.storageClassName ?? "";
}

function waitsForConsumer(claim: Claim, storage: StorageLookups): boolean {
  return storage.storageClass(classOf(claim))?.volumeBindingMode === "WaitForFirstConsumer";
}

/** The volume of a claim that both sides have agreed on. */
function boundTo({ metadata, spec }: Claim): string | undefined {
  const isBound = metadata.annotations?.["pv.kubernetes.io/bind-completed"] !== undefined;
  return (isBound && spec?.volumeName) || undefined;
}

/** Why the pod's claims let it go nowhere; undefined: they do not. */
export function claimsRefusal(pod: Pod, storage: StorageLookups): string | undefined {
  for (const { name, ephemeral } of claimNames(pod)) {
    const claim = storage.claim(pod.metadata.namespace ?? "", name);
    if (!claim) {
      return ephemeral
        ? `waiting for ephemeral volume controller to create the persistentvolumeclaim "${name}"`
        : `persistentvolumeclaim "${name}" not found`;
    }
    if (claim.status?.phase === "Lost")
      return `persistentvolumeclaim "${name}" bound to non-existent persistentvolume "${claim.spec?.volumeName}"`;
    if (claim.metadata.deletionTimestamp) return `persistentvolumeclaim "${name}" is being deleted`;
    const owner = claim.metadata.ownerReferences?.find((each) => each.controller);
    if (ephemeral && owner?.uid !== pod.metadata.uid)
      return `PVC ${pod.metadata.namespace}/${name} was not created for pod ${pod.metadata.namespace}/${pod.metadata.name} (pod is not owner)`;
  }
  const { bound, waiting, bereft } = podClaims(pod, storage);
  return bound.length + waiting.length + bereft.length < claimNames(pod).length
    ? "pod has unbound immediate PersistentVolumeClaims"
    : undefined;
}

export function podClaims(pod: Pod, storage: StorageLookups): PodClaims {
  const bound: { claim: Claim; volume: Volume }[] = [];
  const waiting: Claim[] = [];
  const bereft: Claim[] = [];
  for (const { name } of claimNames(pod)) {
    const claim = storage.claim(pod.metadata.namespace ?? "", name);
    if (!claim) continue;
    const volumeName = boundTo(claim);
    const volume = volumeName === undefined ? undefined : storage.volume(volumeName);
    if (volume) bound.push({ claim, volume });
    else if (volumeName !== undefined) bereft.push(claim);
    else if (waitsForConsumer(claim, storage)) waiting.push(claim);
  }
  return { bound, waiting, bereft };
}

export function isReachable({ spec }: Volume, node: NodeInfo): boolean {
  const required = spec?.nodeAffinity?.required;
  return !required || required.nodeSelectorTerms.some((term) => termMatches(term, node));
}

/** The smallest free volume that serves the claim on this node. */
export function volumeFor(
  claim: Claim,
  node: NodeInfo,
  storage: StorageLookups,
  taken: ReadonlySet<string>,
): Volume | undefined {
  let best: Volume | undefined;
  for (const volume of storage.volumes()) {
    if (taken.has(volume.metadata.name) || !serves(volume, claim) || !isReachable(volume, node)) continue;
    if (!best || capacityOf(volume) < capacityOf(best)) best = volume;
  }
  return best;
}

function capacityOf({ spec }: Volume): number {
  return quantityValue(spec?.capacity?.storage ?? "0");
}

function serves(volume: Volume, claim: Claim): boolean {
  const { metadata, spec, status } = volume;
  const { claimRef } = spec ?? {};
  const isOurs = claimRef?.namespace === claim.metadata.namespace && claimRef?.name === claim.metadata.name;
  if (
    claimRef
      ? !isOurs || (claimRef.uid && claimRef.uid !== claim.metadata.uid)
      : status?.phase !== "Available"
  )
    return false;
  const wanted = claim.spec ?? {};
  return (
    !metadata.deletionTimestamp &&
    classOf(volume) === classOf(claim) &&
    (spec?.volumeMode ?? "Filesystem") === (wanted.volumeMode ?? "Filesystem") &&
    (wanted.accessModes ?? []).every((mode) => spec?.accessModes?.includes(mode)) &&
    capacityOf(volume) >= quantityValue(wanted.resources?.requests?.storage ?? "0") &&
    (!wanted.selector || selectorMatches(wanted.selector, metadata.labels ?? {}))
  );
}

/** Whether a volume could be made for the claim where this node can reach it; or could, were there room for it. */
export function provisioning(claim: Claim, node: NodeInfo, storage: StorageLookups): Provisioning {
  const selected = claim.metadata.annotations?.[selectedNode];
  if (selected && selected !== node.name) return "impossible";
  const storageClass = storage.storageClass(classOf(claim));
  if (!storageClass || storageClass.provisioner === noProvisioner) return "impossible";
  const terms = storageClass.allowedTopologies ?? [];
  const isAllowed =
    terms.length === 0 ||
    terms.some(({ matchLabelExpressions = [] }) =>
      matchLabelExpressions.every(({ key, values }) => values.includes(node.labels[key] ?? "")),
    );
  if (!isAllowed) return "impossible";
  return hasRoom(claim, storageClass, node, storage) ? "possible" : "no room";
}

export type Provisioning = "possible" | "impossible" | "no room";

/**
 * Only drivers that say so tell of the room that they have left.
 * https://kubernetes.io/docs/concepts/storage/storage-capacity/#scheduling
 */
function hasRoom(
  claim: Claim,
  { metadata: { name }, provisioner }: Readonly<storagev1.StorageClass>,
  { labels }: NodeInfo,
  storage: StorageLookups,
): boolean {
  const wanted = claim.spec?.resources?.requests?.storage;
  if (wanted === undefined || !storage.csiDriver(provisioner)?.spec.storageCapacity) return true;
  const bytes = quantityValue(wanted);
  return storage.capacities().some(({ storageClassName, nodeTopology, capacity, maximumVolumeSize }) => {
    const limit = maximumVolumeSize ?? capacity;
    if (storageClassName !== name || limit === undefined || quantityValue(limit) < bytes) return false;
    return nodeTopology !== undefined && selectorMatches(nodeTopology, labels);
  });
}

/** Tells the provisioner where the volume is needed. */
export const selectedNode = "volume.kubernetes.io/selected-node";
