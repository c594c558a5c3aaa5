/** The devices that a node reaches, one after the other, and whether an expression selects them. */

import type { resourcev1 } from "#api";
import { messageOf } from "#base";
import { type CelDeviceSelector, deviceSelector } from "#cel";
import type { NodeInfo } from "../node-info.ts";
import { type Device, deviceId, type NodePool, type Pool, reaches, type Slice } from "./pools.ts";

export interface Candidate {
  readonly id: string;
  readonly driver: string;
  readonly pool: Pool;
  readonly slice: Slice;
  readonly device: Device;
}

/** Why no devices can be given to a claim, in the words that its pod is told. */
export class AllocationError extends Error {}

export function candidatesOf(pools: readonly NodePool[], node: NodeInfo): Candidate[] {
  const found: Candidate[] = [];
  for (const { pool, slices } of pools) {
    for (const slice of slices) {
      const perDevice = slice.spec.perDeviceNodeSelection ?? false;
      for (const device of slice.spec.devices ?? []) {
        if (perDevice && !reaches(device, node)) continue;
        const id = deviceId(pool.driver, pool.name, device.name);
        found.push({ id, driver: pool.driver, pool, slice, device });
      }
    }
  }
  return found;
}

/** What was found out about devices: they never change, their successors do. */
const verdicts = new WeakMap<Device, Map<string, boolean>>();

/** `whose`: of which class or claim the selectors are. Throws `AllocationError`. */
export function isSelected(
  { id, driver, device }: Candidate,
  selectors: readonly Readonly<resourcev1.DeviceSelector>[] | undefined,
  whose: string,
): boolean {
  return (selectors ?? []).every(({ cel }, i) => {
    const expression = cel?.expression ?? "";
    const known = verdicts.get(device) ?? new Map<string, boolean>();
    let verdict = known.get(expression);
    if (verdict === undefined) {
      verdict = asked(compiled(expression, `${whose}: selector #${i}`), driver, device, () => {
        return `${whose}: selector #${i} on device ${id}`;
      });
      known.set(expression, verdict);
      verdicts.set(device, known);
    }
    return verdict;
  });
}

function compiled(expression: string, where: string): CelDeviceSelector {
  try {
    return deviceSelector(expression);
  } catch (error) {
    throw new AllocationError(`${where}: CEL compile error: ${messageOf(error)}`);
  }
}

function asked(selector: CelDeviceSelector, driver: string, device: Device, where: () => string): boolean {
  try {
    return selector.matches(driver, device);
  } catch (error) {
    throw new AllocationError(`${where()}: CEL runtime error: ${messageOf(error)}`);
  }
}
