/** Ranges of service addresses, of both families. */
import { cidrRange, formatAddress, parseAddress } from "#api";
import { UserError } from "#base";

export type IpFamily = "IPv4" | "IPv6";

export interface AddressRange {
  readonly cidr: string;
  readonly family: IpFamily;
  /** The first address that may be given away: the network's own is not. */
  readonly first: bigint;
  readonly size: number;
  /** What belongs to the block, but to nobody: the network's own address and, with IPv4, the one for all. */
  contains(address: string): boolean;
}

/** No more of a block is given out, however large it is. */
const sizeMax = 2 ** 32;

/** Undefined when the block is none, or too small to give anything. */
export function rangeOf(cidr: string): AddressRange | undefined {
  const block = cidrRange(cidr);
  if (!block) return undefined;
  const { bits } = block;
  // IPv6 has no broadcast address.
  const last = bits === 32 ? block.last - 1n : block.last;
  const count = last - block.first;
  if (count < 1n) return undefined;
  return {
    cidr,
    family: bits === 32 ? "IPv4" : "IPv6",
    first: block.first + 1n,
    size: count > BigInt(sizeMax) ? sizeMax : Number(count),
    contains(address) {
      const parsed = parseAddress(address);
      return parsed?.bits === bits && parsed.value >= block.first && parsed.value <= block.last;
    },
  };
}

/** The block that a cluster is started with. */
export function parseRange(cidr: string): AddressRange {
  const range = rangeOf(cidr);
  if (range && range.size >= 2 && !(range.family === "IPv4" && Number(cidr.split("/")[1]) < 8)) return range;
  throw new UserError(
    `${cidr} is no range for services`,
    "use a range such as 10.96.0.0/16 (IPv4, between /8 and /30) or fd00:10:96::/112",
  );
}

export function addressAt(range: AddressRange, index: number): string {
  return formatAddress(range.first + BigInt(index), range.family === "IPv4" ? 32 : 128);
}

/** As it is written everywhere; undefined when it is none. */
export function canonicalAddress(text: string): string | undefined {
  return parseAddress(text)?.canonical;
}

/** Whether it may be given away. */
export function isAssignable(range: AddressRange, address: string): boolean {
  const parsed = parseAddress(address);
  if (!parsed || !range.contains(address)) return false;
  return parsed.value >= range.first && parsed.value < range.first + BigInt(range.size);
}
