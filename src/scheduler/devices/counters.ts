/**
 * Devices that are parts of one thing consume counters of their pool: together no more than there is.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/4815-dra-partitionable-devices
 */
import { parseQuantity } from "#api";
import { type Device, deviceId, type Pool } from "./pools.ts";
import type { TakenDevices } from "./taken-devices.ts";

/** Counters left in the pools that a search looks at. */
export class Counters {
  readonly #taken: TakenDevices;
  /** By pool, set and counter, in nanos. */
  readonly #left = new Map<string, Map<string, Map<string, bigint>>>();

  constructor(taken: TakenDevices) {
    this.#taken = taken;
  }

  /** False, and nothing is consumed: there is not enough. */
  consume(pool: Pool, device: Device): boolean {
    const left = this.#leftIn(pool);
    const enough = consumptions(device).every(
      ([set, name, nanos]) => nanos <= (left.get(set)?.get(name) ?? 0n),
    );
    if (enough) add(left, device, -1n);
    return enough;
  }

  giveBack(pool: Pool, device: Device): void {
    add(this.#leftIn(pool), device, 1n);
  }

  #leftIn(pool: Pool): Map<string, Map<string, bigint>> {
    let left = this.#left.get(pool.id);
    if (left) return left;
    left = new Map([...pool.counters].map(([set, counters]) => [set, new Map(counters)]));
    for (const { spec } of pool.slices) {
      for (const device of spec.devices ?? []) {
        const id = deviceId(pool.driver, pool.name, device.name);
        if (this.#taken.isTaken(id) || this.#taken.isShared(id)) add(left, device, -1n);
      }
    }
    this.#left.set(pool.id, left);
    return left;
  }
}

function consumptions({ consumesCounters = [] }: Device): (readonly [string, string, bigint])[] {
  return consumesCounters.flatMap(({ counterSet, counters }) =>
    Object.entries(counters).map(
      ([name, { value }]) => [counterSet, name, parseQuantity(value)?.nanos ?? 0n] as const,
    ),
  );
}

function add(left: Map<string, Map<string, bigint>>, device: Device, sign: bigint): void {
  for (const [set, name, nanos] of consumptions(device)) {
    const counters = left.get(set);
    const before = counters?.get(name);
    if (before !== undefined) counters?.set(name, before + sign * nanos);
  }
}
