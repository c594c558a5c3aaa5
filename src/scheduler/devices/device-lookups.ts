/** What plugins ask of devices, and tell. */
import type { resourcev1 } from "#api";
import type { Claim } from "./claims.ts";
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
}
