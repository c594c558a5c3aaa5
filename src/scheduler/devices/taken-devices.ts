/** Which devices are taken, and how much of those that several may share. */
import { parseQuantity, type resourcev1 } from "#api";
import { deviceId } from "./pools.ts";

type Allocation = Readonly<resourcev1.AllocationResult>;

export class TakenDevices {
  /** How many claims have each device for themselves: more than one only after a fault. */
  readonly #whole = new Map<string, number>();
  /** Of shared devices, what is consumed of each capacity in nanos; how many shares there are. */
  readonly #shared = new Map<string, { shares: number; consumed: Map<string, bigint> }>();

  isTaken(id: string): boolean {
    return this.#whole.has(id);
  }

  isShared(id: string): boolean {
    return this.#shared.has(id);
  }

  consumed(id: string, capacity: string): bigint {
    return this.#shared.get(id)?.consumed.get(capacity) ?? 0n;
  }

  /** `sign` -1 gives back. Access for administrators takes nothing. */
  count(allocation: Allocation, sign: 1 | -1): void {
    for (const result of allocation.devices?.results ?? []) {
      if (result.adminAccess) continue;
      const id = deviceId(result.driver, result.pool, result.device);
      if (result.shareID !== undefined) this.#countShare(id, result.consumedCapacity ?? {}, sign);
      else {
        const count = (this.#whole.get(id) ?? 0) + sign;
        if (count > 0) this.#whole.set(id, count);
        else this.#whole.delete(id);
      }
    }
  }

  #countShare(id: string, consumed: Readonly<Record<string, string | number>>, sign: 1 | -1): void {
    const known = this.#shared.get(id) ?? { shares: 0, consumed: new Map<string, bigint>() };
    known.shares += sign;
    for (const [name, quantity] of Object.entries(consumed)) {
      const nanos = parseQuantity(quantity)?.nanos ?? 0n;
      known.consumed.set(name, (known.consumed.get(name) ?? 0n) + BigInt(sign) * nanos);
    }
    if (known.shares > 0) this.#shared.set(id, known);
    else this.#shared.delete(id);
  }
}
