/** Writes the claim that stands behind a pod's extended resources, tells the pod of it, and takes it back. */
import { type corev1, isStatus, pods, resourceClaims, type resourcev1 } from "#api";
import { messageOf } from "#base";
import type { BindHost } from "../define-plugin.ts";
import type { Pod } from "../pod-info.ts";
import { bindClaims } from "./bind-claims.ts";
import { type Claim, claimFinalizer, claimText } from "./claims.ts";
import type { ExtendedRequests } from "./extended-requests.ts";

/** What a pod has been promised and nobody has written yet. */
export interface ExtendedReservation extends ExtendedRequests {
  readonly claim: Claim;
  readonly allocation: Readonly<resourcev1.AllocationResult>;
}

const seenWithinMs = 120_000;
const lookAgainMs = 20;
const triesMax = 5;

/** Throws what went wrong: the pod is tried again. */
export async function bindExtended(
  pod: Pod,
  { claim, allocation, mappings }: ExtendedReservation,
  host: BindHost,
): Promise<void> {
  const { client, devices, world, signal } = host;
  const { namespace, generateName, annotations, ownerReferences } = claim.metadata;
  let written: Claim;
  try {
    written = await client.create(resourceClaims, {
      metadata: { namespace, generateName, annotations, ownerReferences },
      spec: claim.spec,
    } as never);
  } catch (error) {
    throw new Error(`create claim for extended resources ${namespace}/${generateName}: ${messageOf(error)}`);
  }
  // Until the claim is seen with what it was given, the promise stands beside it.
  await bindClaims(pod, [written], host, () => allocation);
  const status: Partial<corev1.PodStatus> = {
    extendedResourceClaimStatus: { requestMappings: [...mappings], resourceClaimName: written.metadata.name },
  };
  await client.patch(
    pods,
    pod.metadata,
    "strategic",
    { metadata: { uid: pod.metadata.uid }, status },
    { subresource: "status", ignoresAnswer: true },
  );
  const endMs = world.clock.monotonic() + seenWithinMs;
  while (!devices.claim(namespace ?? "", written.metadata.name)?.status?.allocation) {
    if (world.clock.monotonic() >= endMs) break;
    signal.throwIfAborted();
    await world.clock.sleep(lookAgainMs, signal);
  }
  devices.keep(claim);
}

/** Nobody uses it: the pod was not bound, or is tried anew. */
export async function deleteExtended(claim: Claim, { client, world }: BindHost): Promise<void> {
  let current: resourcev1.ResourceClaim = claim;
  for (let tries = 1; ; tries++) {
    try {
      const { finalizers = [] } = current.metadata;
      if (finalizers.includes(claimFinalizer)) {
        const left = finalizers.filter((each) => each !== claimFinalizer);
        await client.update(resourceClaims, {
          ...current,
          metadata: { ...current.metadata, finalizers: left },
        });
      }
      await client.delete(resourceClaims, current.metadata, { preconditions: { uid: claim.metadata.uid } });
      return;
    } catch (error) {
      if (isStatus(error, "NotFound")) return;
      if (!isStatus(error, "Conflict") || tries >= triesMax) {
        world.log.debug({ claim: claimText(claim), error: messageOf(error) }, "the claim was not deleted");
        return;
      }
    }
    const read = await client.get(resourceClaims, claim.metadata).catch(() => undefined);
    if (read?.metadata.uid !== claim.metadata.uid) return;
    current = read;
  }
}
