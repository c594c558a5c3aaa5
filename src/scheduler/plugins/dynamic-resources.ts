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
  rejection,
  type SchedulingWorld,
  unresolvable,
} from "../define-plugin.ts";
import { bindClaims, deallocate, unreserve } from "../devices/bind-claims.ts";
import { bindExtended, deleteExtended, type ExtendedReservation } from "../devices/bind-extended.ts";
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
import {
  asDevices,
  deviceResources,
  type ExtendedRequests,
  extendedRequests,
  unwrittenClaim,
} from "../devices/extended-requests.ts";
import { allocationOf } from "../devices/result.ts";
import { findDevices, type SearchBudget } from "../devices/search.ts";
import type { NodeInfo } from "../node-info.ts";
import type { Pod, PodInfo } from "../pod-info.ts";
import { podRequest } from "../resources.ts";

/** Of all nodes together: a claim that is hard to satisfy must not keep other pods waiting. */
const stepsMax = 200_000;

interface Prepared {
  claims: readonly Claim[];
  toAllocate: readonly Claim[];
  devices: DeviceLookups;
  budget: SearchBudget;
  pod: Pod;
  /** Extended resources that devices may stand for. */
  resources: readonly string[];
  /** Written for them when the pod was tried before. */
  stale: Claim | undefined;
}

const notAvailable = unresolvable("resourceclaim not available on the node");
const notAllocatable = unresolvable("cannot allocate all claims");
const isStale = rejection("cannot schedule extended resource claim");
const stillNot = "still not schedulable";

/** What has been promised to pods whose claim is not written yet. */
const promised = new WeakMap<Pod, ExtendedReservation>();

/** What the node has as devices alone: undefined where that is nothing. */
function extendedOn(
  { pod, resources, devices }: Prepared,
  node: NodeInfo,
): (ExtendedRequests & { claim: Claim }) | undefined {
  const names = asDevices(resources, node);
  if (names.length === 0) return undefined;
  const asked = extendedRequests(pod, names, (name) => devices.classFor(name));
  return { ...asked, claim: unwrittenClaim(pod, asked) };
}

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

function rejectionBy(prepared: Prepared, node: NodeInfo): Rejection | undefined {
  const { claims, toAllocate, devices, budget, stale } = prepared;
  if (stale) return isStale;
  const extended = extendedOn(prepared, node);
  const all = extended ? [...toAllocate, extended.claim] : toAllocate;
  if (all.length > 0) {
    try {
      if (!findDevices(all, node, devices, budget)) return notAllocatable;
    } catch (error) {
      if (error instanceof AllocationError) return unresolvable(messageOf(error));
      throw error;
    }
  }
  return claims.every((claim) => isAvailable(claim, node)) ? undefined : notAvailable;
}

function prepare({ pod, request }: PodInfo, world: SchedulingWorld): Prepared | undefined {
  const { devices } = world;
  const claims = claimsIn(pod, world);
  const resources = deviceResources({ request }, (name) => devices.classFor(name));
  if (typeof claims === "string" || claims.length + resources.length === 0) return undefined;
  const toAllocate = claims.filter(({ status }) => !status?.allocation);
  const stale = resources.length > 0 ? devices.extendedClaim(pod) : undefined;
  return { claims, toAllocate, devices, budget: { steps: stepsMax }, pod, resources, stale };
}

function concerns(pod: Pod, event: ClusterEvent): boolean {
  if (!pod.spec.resourceClaims?.length && podRequest(pod).others.size === 0) return false;
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
  prepare: (info, _snapshot, world) => prepare(info, world),
  filter: (_info, node, prepared) => rejectionBy(prepared, node),
  afterFailure(info, snapshot, host) {
    const { pod } = info;
    const prepared = prepare(info, host);
    if (prepared?.stale)
      return { message: "deletion of ResourceClaim completed", work: deleteExtended(prepared.stale, host) };
    const claims = claimsIn(pod, host);
    if (typeof claims !== "string" && claims.length === 0)
      return prepared ? { message: stillNot } : undefined;
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
  reserve(info, node, host) {
    const prepared = prepare(info, host);
    if (!prepared) return;
    const extended = extendedOn(prepared, node);
    const { toAllocate, devices, budget } = prepared;
    const all = extended ? [...toAllocate, extended.claim] : toAllocate;
    if (all.length === 0) return;
    const solution = findDevices(all, node, devices, budget);
    if (!solution) throw new AllocationError("claim allocation not found for node");
    for (const each of solution) {
      const allocation = allocationOf(each, node.name, host.world.random);
      devices.assume(each.claim, allocation);
      if (extended && each.claim === extended.claim) promised.set(info.pod, { ...extended, allocation });
    }
  },
  async preBind({ pod }, _node, host) {
    const claims = claimsIn(pod, host);
    if (typeof claims === "string") throw new Error(claims);
    if (claims.length > 0) await bindClaims(pod, claims, host);
    const extended = promised.get(pod);
    if (extended) await bindExtended(pod, extended, host);
  },
  async unreserve({ pod }, host) {
    const claims = claimsIn(pod, host);
    if (typeof claims !== "string" && claims.length > 0) await unreserve(pod, claims, host);
    const extended = promised.get(pod);
    if (!extended) return;
    promised.delete(pod);
    host.devices.forget(extended.claim);
    const written = host.devices.extendedClaim(pod);
    if (written) await deleteExtended(written, host);
  },
});
