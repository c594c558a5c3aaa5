/** What a claim asks for, made even: each request is a list of alternatives, most often of one. */
import type { resourcev1 } from "#api";
import { AllocationError, type Candidate, isSelected } from "./candidates.ts";
import { consumptionOf } from "./capacity.ts";
import { type Claim, claimText } from "./claims.ts";
import type { NodePool } from "./pools.ts";

export type DeviceClass = Readonly<resourcev1.DeviceClass>;
type ClassLookup = (name: string) => DeviceClass | undefined;

/** A claim is given no more devices than this. */
export const devicesMax = 32;

/** One way to satisfy a request. */
export interface Alternative {
  /** `request`, or `request/subrequest`: as the result tells it. */
  readonly name: string;
  /** The same, and the request alone: what constraints may call it. */
  readonly names: readonly string[];
  readonly wanted: Readonly<resourcev1.DeviceSubRequest & resourcev1.ExactDeviceRequest>;
  readonly deviceClass: DeviceClass;
  readonly count: number;
  /** Where all that match are asked for, these are they. */
  readonly all: readonly Candidate[] | undefined;
  /** Whose selectors they are, for messages. */
  readonly claim: string;
}

export interface Ask {
  readonly claim: Claim;
  /** By request. */
  readonly requests: readonly (readonly Alternative[])[];
}

/** Throws `AllocationError` where no device could ever be given. */
export function askOf(
  claim: Claim,
  classes: ClassLookup,
  pools: readonly NodePool[],
  candidates: readonly Candidate[],
): Ask {
  const requests = (claim.spec.devices?.requests ?? []).map(({ name, exactly, firstAvailable = [] }) => {
    const make = (label: string, wanted: Alternative["wanted"] | undefined) =>
      alternativeOf(claim, name, label, wanted, classes, pools, candidates);
    if (firstAvailable.length === 0) return [make(name, exactly as Alternative["wanted"])];
    return firstAvailable.map((each) => make(`${name}/${each.name}`, each));
  });
  const least = requests.reduce((sum, ways) => sum + Math.min(...ways.map(({ count }) => count)), 0);
  if (least > devicesMax) {
    const limit = `number of requested devices ${least} exceeds the claim limit of ${devicesMax}`;
    throw new AllocationError(`claim ${claimText(claim)}: ${limit}`);
  }
  return { claim, requests };
}

function alternativeOf(
  claim: Claim,
  request: string,
  name: string,
  wanted: Alternative["wanted"] | undefined,
  classes: ClassLookup,
  pools: readonly NodePool[],
  candidates: readonly Candidate[],
): Alternative {
  const where = `claim ${claimText(claim)}, request ${wanted?.name ?? name}`;
  const className = wanted?.deviceClassName ?? "";
  if (!wanted || className === "")
    throw new AllocationError(`${where}: missing device class name (unsupported request type?)`);
  const deviceClass = classes(className);
  if (!deviceClass) {
    const why = `deviceclass.resource.k8s.io "${className}" not found`;
    throw new AllocationError(`${where}: could not retrieve device class ${className}: ${why}`);
  }
  const { allocationMode = "ExactCount", count = 1 } = wanted;
  const names = name === request ? [name] : [request, name];
  const alternative = { name, names, wanted, deviceClass, claim: claimText(claim) };
  if (allocationMode === "ExactCount") return { ...alternative, count, all: undefined };
  if (allocationMode !== "All")
    throw new AllocationError(`${where}: unsupported count mode ${allocationMode}`);
  for (const { pool } of pools) {
    const asks = `${where}: asks for all devices, but resource pool ${pool.id} is currently`;
    if (pool.isIncomplete) throw new AllocationError(`${asks} being updated`);
    if (pool.isInvalid) throw new AllocationError(`${asks} invalid`);
  }
  const all = candidates.filter((candidate) => suits(candidate, alternative));
  return { ...alternative, count: all.length, all };
}

/** Selected by class and request, and able to give what is asked of its capacity. */
export function suits(
  candidate: Candidate,
  { deviceClass, wanted, claim }: Pick<Alternative, "deviceClass" | "wanted" | "claim">,
): boolean {
  if (!isSelected(candidate, deviceClass.spec.selectors, `class ${deviceClass.metadata.name}`)) return false;
  if (!isSelected(candidate, wanted.selectors, `claim ${claim}`)) return false;
  return consumptionOf(wanted.capacity?.requests, candidate.device) !== undefined;
}
