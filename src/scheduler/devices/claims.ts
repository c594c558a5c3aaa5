/** The ResourceClaims of a pod: which they are, and whether the pod may use them. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/ */
import { resourceClaims, type resourcev1 } from "#api";
import type { Pod } from "../pod-info.ts";

export type Claim = Readonly<resourcev1.ResourceClaim>;

type ClaimLookup = (namespace: string, name: string) => Claim | undefined;

/** So many pods may share a claim. */
const consumersMax = 256;

/** What keeps an allocated claim from vanishing. */
export const claimFinalizer = "resource.kubernetes.io/delete-protection";

/** The claims, or why the pod cannot be tried yet. A claim that was found not to be needed is left out. */
export function claimsOf(pod: Pod, find: ClaimLookup): readonly Claim[] | string {
  const { namespace = "", name } = pod.metadata;
  const claims: Claim[] = [];
  for (const wanted of pod.spec.resourceClaims ?? []) {
    const { resourceClaimName, resourceClaimTemplateName } = wanted;
    let claimName = resourceClaimName;
    if (resourceClaimTemplateName !== undefined) {
      const told = pod.status?.resourceClaimStatuses?.find((each) => each.name === wanted.name);
      if (!told) return `pod "${namespace}/${name}": ResourceClaim not created yet`;
      claimName = told.resourceClaimName;
    }
    if (claimName === undefined) continue;
    const claim = find(namespace, claimName);
    if (!claim)
      return `${resourceClaims.resource.slice(0, -1)}.${resourceClaims.group} "${claimName}" not found`;
    if (claim.metadata.deletionTimestamp) return `resourceclaim "${claimName}" is being deleted`;
    const owner = claim.metadata.ownerReferences?.find((each) => each.controller);
    if (resourceClaimTemplateName !== undefined && owner?.uid !== pod.metadata.uid)
      return `ResourceClaim ${namespace}/${claimName} was not created for pod ${namespace}/${name} (pod is not owner)`;
    claims.push(claim);
  }
  return claims;
}

export function isReservedFor(pod: Pod, { status }: Claim): boolean {
  return status?.reservedFor?.some(({ uid }) => uid === pod.metadata.uid) ?? false;
}

export function canBeReserved({ status }: Claim): boolean {
  return (status?.reservedFor?.length ?? 0) < consumersMax;
}

export function usesClaim(pod: Pod, { metadata }: Claim): boolean {
  if (pod.metadata.namespace !== metadata.namespace) return false;
  const named = [
    ...(pod.spec.resourceClaims ?? []).map((each) => each.resourceClaimName),
    ...(pod.status?.resourceClaimStatuses ?? []).map((each) => each.resourceClaimName),
  ];
  return named.includes(metadata.name) || metadata.ownerReferences?.[0]?.uid === pod.metadata.uid;
}

export function claimText({ metadata }: Claim): string {
  return `${metadata.namespace}/${metadata.name}`;
}
