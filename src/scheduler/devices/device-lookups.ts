/** What plugins ask of devices, and tell. */
import type { resourcev1 } from "#api";
import type { Pod } from "../pod-info.ts";
import type { Claim } from "./claims.ts";
import type { DeviceClass } from "./requests.ts";
import type { DeviceWorld } from "./search.ts";

type Allocation = Readonly<resourcev1.AllocationResult>;

export interface DeviceLookups extends DeviceWorld {
  claim(namespace: string, name: string): Claim | undefined;
  /** What is being written into the claim at this moment. */
  pending(claim: Claim): Allocation | undefined;
  /** From now on its devices are taken. */
  assume(claim: Claim, allocation: Allocation): void;
  /** It was not written after all. */
  forget(claim: Claim): void;
  /** It was: so the claim is now. */
  written(claim: Claim): void;
  /** The class whose devices stand for an extended resource. */
  classFor(resource: string): DeviceClass | undefined;
  /** Another one whenever `classFor` may answer otherwise. */
  readonly classesVersion: number;
  /** The claim that was written for a pod's extended resources. */
  extendedClaim(pod: Pod): Claim | undefined;
  /** The promise that stood for a claim is kept: what it was given counts by the claim itself. */
  keep(claim: Claim): void;
}
