/**
 * DynamicResources: pods go where the devices they claim can be had, and the claims learn which devices those are.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
 */
import { termMatches } from "#api";
import { messageOf } from "#base";
import {
  type ClusterEvent,
  defineSchedulerPlugin,
  type Rejection,
  type SchedulingWorld,
  unresolvable,
} from "../define-plugin.ts";
import { bindClaims, deallocate, unreserve } from "../devices/bind-claims.ts";
import { AllocationError } from "../devices/candidates.ts";
import {
  type Claim,
  canBeReserved,
  claimsOf,
  claimText,
  isReservedFor,
  usesClaim,
} from "../devices/claims.ts";
import type { DeviceLookups } from "../devices/device-lookups.ts";
import { allocationOf } from "../devices/result.ts";
import { findDevices, type SearchBudget } from "../devices/search.ts";
import type { NodeInfo } from "../node-info.ts";
import type { Pod } from "../pod-info.ts";

/** Of all nodes together: a claim that is hard to satisfy must not keep other pods waiting. */
const stepsMax = 200_000;

interface Prepared {
  claims: readonly Claim[];
  toAllocate: readonly Claim[];
  devices: DeviceLookups;
  budget: SearchBudget;
}

const notAvailable = unresolvable("resourceclaim not available on the node");
const notAllocatable = unresolvable("cannot allocate all claims");
const stillNot = "still not schedulable";

function claimsIn(pod: Pod, { devices }: SchedulingWorld): readonly Claim[] | string {
  if (!pod.spec.resourceClaims?.length) return [];
  return claimsOf(pod, (namespace, name) => devices.claim(namespace, name));
}

/** Why the claims let the pod go nowhere. */
function refusalBy(pod: Pod, claim: Claim, devices: DeviceLookups): string | undefined {
  if (claim.status?.allocation)
    return canBeReserved(claim) || isReservedFor(pod, claim) ? undefined : "resourceclaim in use";
  if (devices.pending(claim))
    return `resource claim ${claimText(claim)} is in the process of being allocated`;
  for (const { name, exactly, firstAvailable = [] } of claim.spec.devices?.requests ?? []) {
    const all = firstAvailable.length > 0 ? firstAvailable : [{ ...exactly, name: "" }];
    for (const each of all) {
      const label = each.name ? `${name}/${each.name}` : name;
      const { deviceClassName = "" } = each;
      if (deviceClassName === "") return `request ${label}: unsupported request type`;
      if (!devices.deviceClass(deviceClassName))
        return `request ${label}: device class ${deviceClassName} does not exist`;
    }
  }
  return undefined;
}

function isAvailable({ status }: Claim, node: NodeInfo): boolean {
  const terms = status?.allocation?.nodeSelector?.nodeSelectorTerms;
  return !terms || terms.some((term) => termMatches(term, node));
}

function rejectionBy(
  { claims, toAllocate, devices, budget }: Prepared,
  node: NodeInfo,
): Rejection | undefined {
  if (toAllocate.length > 0) {
    try {
      if (!findDevices(toAllocate, node, devices, budget)) return notAllocatable;
    } catch (error) {
      if (error instanceof AllocationError) return unresolvable(messageOf(error));
      throw error;
    }
  }
  return claims.every((claim) => isAvailable(claim, node)) ? undefined : notAvailable;
}

function prepare(pod: Pod, world: SchedulingWorld): Prepared | undefined {
  const claims = claimsIn(pod, world);
  if (typeof claims === "string" || claims.length === 0) return undefined;
  const toAllocate = claims.filter(({ status }) => !status?.allocation);
  return { claims, toAllocate, devices: world.devices, budget: { steps: stepsMax } };
}

function concerns(pod: Pod, event: ClusterEvent): boolean {
  if (!pod.spec.resourceClaims?.length) return false;
  return event.kind !== "ClaimChanged" || event.isFreed || usesClaim(pod, event.claim);
}

export const dynamicResources = defineSchedulerPlugin<Prepared>({
  name: "DynamicResources",
  wakes: (["NodeAdded", "NodeChanged", "ClaimChanged", "DevicesChanged"] as const).map((on) => ({
    on,
    helps: concerns,
  })),
  gate(pod, world) {
    const claims = claimsIn(pod, world);
    return typeof claims === "string" ? claims : undefined;
  },
  refuse({ pod }, _snapshot, world) {
    const claims = claimsIn(pod, world);
    if (typeof claims === "string") return claims;
    for (const claim of claims) {
      const refusal = refusalBy(pod, claim, world.devices);
      if (refusal) return refusal;
    }
    return undefined;
  },
  prepare: ({ pod }, _snapshot, world) => prepare(pod, world),
  filter: (_info, node, prepared) => rejectionBy(prepared, node),
  afterFailure({ pod }, snapshot, host) {
    const claims = claimsIn(pod, host);
    if (typeof claims !== "string" && claims.length === 0) return undefined;
    const refused =
      typeof claims === "string" || claims.some((claim) => refusalBy(pod, claim, host.devices) !== undefined);
    if (refused) return { message: "no new claims to deallocate" };
    const inTheWay = claims.find(
      (claim) =>
        claim.status?.allocation &&
        snapshot.nodes.some((node) => !isAvailable(claim, node)) &&
        (claim.status.reservedFor ?? []).every(({ uid }) => uid === pod.metadata.uid),
    );
    if (!inTheWay) return { message: stillNot };
    return { message: "deallocation of ResourceClaim completed", work: deallocate(inTheWay, host) };
  },
  reserve({ pod }, node, host) {
    const prepared = prepare(pod, host);
    if (!prepared || prepared.toAllocate.length === 0) return;
    const { toAllocate, devices, budget } = prepared;
    const solution = findDevices(toAllocate, node, devices, budget);
    if (!solution) throw new AllocationError("claim allocation not found for node");
    for (const each of solution) devices.assume(each.claim, allocationOf(each, node.name, host.world.random));
  },
  async preBind({ pod }, _node, host) {
    const claims = claimsIn(pod, host);
    if (typeof claims === "string") throw new Error(claims);
    if (claims.length > 0) await bindClaims(pod, claims, host);
  },
  async unreserve({ pod }, host) {
    const claims = claimsIn(pod, host);
    if (typeof claims !== "string" && claims.length > 0) await unreserve(pod, claims, host);
  },
});
