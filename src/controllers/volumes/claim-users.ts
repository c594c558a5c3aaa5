/** Which pods use which PersistentVolumeClaims, by name or as ephemeral volumes of their own. */
import type { corev1 } from "#api";

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

export function podsOfClaim(pods: readonly Pod[], claim: Readonly<corev1.PersistentVolumeClaim>): Pod[] {
  const { name, namespace } = claim.metadata;
  return pods.filter((pod) => pod.metadata.namespace === namespace && claimsOfPod(pod).includes(name));
}
