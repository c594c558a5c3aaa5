/**
 * What of service addresses and node ports is taken, by the key of the service that has it. What a request under way has
 * taken is reserved until it is over.
 */
import type { Random } from "#base";
import { type AddressRange, addressAt, canonicalAddress } from "./address-range.ts";

/** One owner each. */
class Owned<T> {
  readonly #owners = new Map<T, string>();
  readonly #reserved = new Map<T, string>();

  get size(): number {
    return this.#owners.size + this.#reserved.size;
  }

  isFree(value: T, key: string): boolean {
    const owner = this.#owners.get(value) ?? this.#reserved.get(value);
    return owner === undefined || owner === key;
  }

  has(value: T): boolean {
    return this.#owners.has(value) || this.#reserved.has(value);
  }

  reserve(value: T, key: string): void {
    this.#reserved.set(value, key);
  }

  replace(before: readonly T[], after: readonly T[], key: string): void {
    for (const value of before) if (this.#owners.get(value) === key) this.#owners.delete(value);
    for (const value of after) this.#owners.set(value, key);
  }

  release(key: string): void {
    for (const [value, owner] of this.#reserved) if (owner === key) this.#reserved.delete(value);
  }
}

export class PortPool {
  readonly owned = new Owned<number>();
  readonly #first: number;
  readonly #size: number;

  constructor({ from, to }: Readonly<{ from: number; to: number }>) {
    this.#first = from;
    this.#size = to - from + 1;
  }

  /** A free number from a random place on; undefined when there is none. */
  draw(random: Random, key: string): number | undefined {
    const start = random.int(this.#size);
    for (let i = 0; i < this.#size; i++) {
      const value = this.#first + ((start + i) % this.#size);
      if (this.owned.has(value)) continue;
      this.owned.reserve(value, key);
      return value;
    }
    return undefined;
  }
}

export class AddressPool {
  readonly #owned = new Owned<string>();

  isFree(address: string, key: string): boolean {
    return this.#owned.isFree(canonicalAddress(address) ?? "", key);
  }

  reserve(address: string, key: string): void {
    this.#owned.reserve(canonicalAddress(address) ?? "", key);
  }

  replace(before: readonly string[], after: readonly string[], key: string): void {
    const canonical = (all: readonly string[]) => all.flatMap((each) => canonicalAddress(each) ?? []);
    this.#owned.replace(canonical(before), canonical(after), key);
  }

  release(key: string): void {
    this.#owned.release(key);
  }

  /** A free address of the first range that has one; undefined when there is none. */
  draw(ranges: readonly AddressRange[], random: Random, key: string): string | undefined {
    for (const range of ranges) {
      const address = this.#drawFrom(range, random);
      if (address === undefined) continue;
      this.#owned.reserve(address, key);
      return address;
    }
    return undefined;
  }

  #drawFrom(range: AddressRange, random: Random): string | undefined {
    const { size } = range;
    const kept = keptForWishes(size);
    const start = kept + random.int(size - kept);
    // Each address that is passed over is taken: there are no more of these than are known.
    for (let i = 0; i < size && i <= this.#owned.size; i++) {
      const index = start + i < size ? start + i : kept + i - (size - start);
      const address = addressAt(range, index < size ? index : index - size);
      if (!this.#owned.has(address)) return address;
    }
    for (let i = 0; i < kept; i++) {
      const address = addressAt(range, i);
      if (!this.#owned.has(address)) return address;
    }
    return undefined;
  }
}

/**
 * So many at the lower end are given to those who ask for them, as long as there are others.
 * https://kubernetes.io/docs/concepts/services-networking/cluster-ip-allocation/#avoid-ClusterIP-conflict
 */
function keptForWishes(size: number): number {
  return size <= 16 ? 0 : Math.min(256, Math.max(16, Math.floor(size / 16)));
}
