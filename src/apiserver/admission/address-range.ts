/** IPv4 ranges as numbers: enough for service addresses. */
import { UserError } from "#base";

export interface AddressRange {
  readonly cidr: string;
  /** The first address that may be given away: the network's own is not. */
  readonly first: number;
  readonly size: number;
}

export function parseRange(cidr: string): AddressRange {
  const match = /^(\d{1,3}(?:\.\d{1,3}){3})\/(\d{1,2})$/.exec(cidr);
  const address = match && parseAddress(match[1]!);
  const bits = Number(match?.[2]);
  if (address === undefined || address === null || bits < 8 || bits > 30) {
    throw new UserError(
      `${cidr} is no range for services`,
      "use an IPv4 range such as 10.96.0.0/16, between /8 and /30",
    );
  }
  const count = 2 ** (32 - bits);
  const network = Math.floor(address / count) * count;
  // Neither the network's own address nor the broadcast address.
  return { cidr, first: network + 1, size: count - 2 };
}

export function parseAddress(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((p) => /^(0|[1-9]\d{0,2})$/.test(p) && Number(p) < 256))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");
}

export function contains(range: AddressRange, address: number): boolean {
  return address >= range.first && address < range.first + range.size;
}
