/** Which pods use which PersistentVolumeClaims, by name or as ephemeral volumes of their own. */
import type { corev1 } from "#api";
import type { Informer } from "#client";

type Pod = Readonly<corev1.Pod>;

/** The claim that an ephemeral volume of a pod becomes. https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#persistentvolumeclaim-naming */
export function ephemeralClaimName(pod: Pod, volume: Readonly<corev1.Volume>): string {
  return `${pod.metadata.name}-${volume.name}`;
}

/** Names of claims in the pod's namespace. */
export function claimsOfPod(pod: Pod): string[] {
  return (pod.spec.volumes ?? []).flatMap((volume) => {
    if (volume.persistentVolumeClaim) return [volume.persistentVolumeClaim.claimName];
    return volume.ephemeral ? [ephemeralClaimName(pod, volume)] : [];
  });
}

const claimIndex = "claims";

/** To be called before the informer starts: `podsOfClaim` reads it. */
export function indexByClaim(informer: Informer<corev1.Pod>): Informer<corev1.Pod> {
  informer.addIndex(claimIndex, (pod) => claimsOfPod(pod).map((name) => `${pod.metadata.namespace}/${name}`));
  return informer;
}

/** The pods that name the claim `namespace/name`. */
export function podsOfClaim(informer: Informer<corev1.Pod>, claimKey: string): readonly Pod[] {
  return informer.byIndex(claimIndex, claimKey);
}

/** Of pods that were read past the cache. */
export function usersAmong(pods: readonly Pod[], claim: Readonly<corev1.PersistentVolumeClaim>): Pod[] {
  return pods.filter((pod) => claimsOfPod(pod).includes(claim.metadata.name));
}
