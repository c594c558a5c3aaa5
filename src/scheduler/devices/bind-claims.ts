/**
 * Writes into claims which devices they were given and which pod uses them, before the pod is bound; waits for devices
 * that must be attached first; and takes back what came to nothing.
 */
import { formatTime, isStatus, resourceClaims, type resourcev1 } from "#api";
import { messageOf } from "#base";
import type { BindHost } from "../define-plugin.ts";
import type { Pod } from "../pod-info.ts";
import { type Claim, claimFinalizer, claimText, isReservedFor } from "./claims.ts";

type Draft = resourcev1.ResourceClaim;
/** What is to be written into the claim; undefined: nothing, for it has been already. */
type GivenTo = (claim: Claim) => Readonly<resourcev1.AllocationResult> | undefined;

const triesMax = 5;
/** Upstream's default of `bindingTimeout`. */
const bindingTimeoutMs = 600_000;
const lookAgainMs = 500;

/** Throws what went wrong: the pod is tried again. */
export async function bindClaims(
  pod: Pod,
  claims: readonly Claim[],
  host: BindHost,
  givenTo: GivenTo = (claim) => host.devices.pending(claim),
): Promise<void> {
  const bound: Claim[] = [];
  for (const claim of claims)
    bound.push(isReservedFor(pod, claim) ? claim : await bindOne(pod, claim, host, givenTo));
  await untilAttached(bound, host);
}

async function bindOne(
  pod: Pod,
  seen: Claim,
  { client, devices, world }: BindHost,
  givenTo: GivenTo,
): Promise<Claim> {
  const pending = givenTo(seen);
  const allocation = pending && { ...pending, allocationTimestamp: formatTime(world.clock.now()) };
  let claim = seen;
  for (let tries = 1; ; tries++) {
    if (claim.metadata.deletionTimestamp)
      throw new Error(`claim ${claimText(claim)} got deleted in the meantime`);
    if (allocation && claim.status?.allocation)
      throw new Error(`claim ${claimText(claim)} got allocated elsewhere in the meantime`);
    try {
      if (allocation) claim = await withFinalizer(claim, client);
      const { namespace = "", name, uid } = pod.metadata;
      const reservedFor = [...(claim.status?.reservedFor ?? []), { resource: "pods", name, uid }];
      const status = { ...claim.status, ...(allocation ? { allocation } : {}), reservedFor };
      const draft: Draft = { ...claim, status };
      const written = await client.update(resourceClaims, draft, { subresource: "status" });
      world.log.debug({ pod: `${namespace}/${name}`, claim: claimText(claim) }, "reserved a claim");
      devices.written(written);
      return written;
    } catch (error) {
      if (!isStatus(error, "Conflict") || tries >= triesMax) {
        const what = allocation ? "add allocation and reservation" : "add reservation";
        throw new Error(`${what} to claim ${claimText(claim)}: ${messageOf(error)}`);
      }
      claim = await client.get(resourceClaims, claim.metadata);
      if (claim.metadata.uid !== seen.metadata.uid)
        throw new Error(`claim ${claimText(claim)} got deleted in the meantime`);
    }
  }
}

async function withFinalizer(claim: Claim, client: BindHost["client"]): Promise<Claim> {
  const { finalizers = [] } = claim.metadata;
  if (finalizers.includes(claimFinalizer)) return claim;
  const metadata = { ...claim.metadata, finalizers: [...finalizers, claimFinalizer] };
  return client.update(resourceClaims, { ...claim, metadata });
}

/** Devices may name conditions that must hold before a pod may use them. */
async function untilAttached(claims: readonly Claim[], host: BindHost): Promise<void> {
  const { world, devices, signal } = host;
  const { clock } = world;
  const waiting = claims.filter(hasConditions);
  const endMs = clock.monotonic() + bindingTimeoutMs;
  for (const claim of waiting) {
    const { namespace = "", name } = claim.metadata;
    for (let now: Claim | undefined = claim; now; now = devices.claim(namespace, name)) {
      const verdict = attachment(now);
      if (verdict === "attached") break;
      if (verdict === "failed") {
        await deallocate(now, host);
        throw new Error(`claim ${claimText(claim)} binding failed`);
      }
      if (clock.monotonic() >= endMs) {
        await deallocate(now, host);
        throw new Error(`device binding timeout: claim ${claimText(claim)}`);
      }
      signal.throwIfAborted();
      await clock.sleep(lookAgainMs, signal);
    }
  }
}

function resultsOf({ status }: Claim) {
  return status?.allocation?.devices?.results ?? [];
}

function hasConditions(claim: Claim): boolean {
  return resultsOf(claim).some(({ bindingConditions = [] }) => bindingConditions.length > 0);
}

function attachment(claim: Claim): "attached" | "failed" | "waiting" {
  let all = true;
  for (const result of resultsOf(claim)) {
    const { driver, pool, device, bindingConditions = [], bindingFailureConditions = [] } = result;
    const told = claim.status?.devices?.find(
      (each) => each.driver === driver && each.pool === pool && each.device === device,
    );
    const holds = (type: string) =>
      told?.conditions?.some((each) => each.type === type && each.status === "True") ?? false;
    if (bindingFailureConditions.some(holds)) return "failed";
    if (!bindingConditions.every(holds)) all = false;
  }
  return all ? "attached" : "waiting";
}

/** Its devices are free for others again. */
export async function deallocate(claim: Claim, { client, devices, world }: BindHost): Promise<void> {
  const { allocation: _taken, reservedFor: _users, devices: _told, ...status } = claim.status ?? {};
  try {
    const draft: Draft = { ...claim, status };
    devices.written(await client.update(resourceClaims, draft, { subresource: "status" }));
  } catch (error) {
    world.log.debug({ claim: claimText(claim), error: messageOf(error) }, "the claim stays allocated");
  }
}

/** The pod was not bound: it uses none of its claims, and what was being given to them is free. */
export async function unreserve(pod: Pod, claims: readonly Claim[], host: BindHost): Promise<void> {
  const { client, devices, world } = host;
  for (const claim of claims) {
    devices.forget(claim);
    if (!isReservedFor(pod, claim)) continue;
    const reservedFor = [{ $patch: "delete", uid: pod.metadata.uid }];
    const patch = { metadata: { uid: claim.metadata.uid }, status: { reservedFor } };
    try {
      await client.patch(resourceClaims, claim.metadata, "strategic", patch, { subresource: "status" });
    } catch (error) {
      world.log.debug({ claim: claimText(claim), error: messageOf(error) }, "the reservation stays");
    }
  }
}
