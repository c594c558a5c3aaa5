/**
 * Addresses to give out, as people write them: CIDRs and ranges, of both families. Pure.
 * https://kubernetes.io/docs/concepts/services-networking/service/#loadbalancer
 */
import { isIPv4, isIPv6 } from "node:net";

export interface AddressRange {
  readonly first: bigint;
  readonly last: bigint;
  readonly ipv6: boolean;
}

/** An address as a number; undefined for what is none. */
export function addressToNumber(text: string): bigint | undefined {
  if (isIPv4(text)) return text.split(".").reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  if (!isIPv6(text) || text.includes("%")) return undefined;
  return groupsOf(text).reduce((sum, group) => sum * 65_536n + BigInt(group), 0n);
}

/** The eight groups of an IPv6 address, however it is abbreviated. */
function groupsOf(text: string): number[] {
  const [head = "", tail] = text.split("::");
  const parse = (part: string) => (part === "" ? [] : part.split(":").flatMap(groupOf));
  const front = parse(head);
  if (tail === undefined) return front;
  const back = parse(tail);
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back];
}

/** `::ffff:192.0.2.1` ends in an IPv4 address: two groups. */
function groupOf(part: string): number[] {
  if (!part.includes(".")) return [Number.parseInt(part, 16)];
  const [a = 0, b = 0, c = 0, d = 0] = part.split(".").map(Number);
  return [a * 256 + b, c * 256 + d];
}

export function numberToAddress(value: bigint, ipv6: boolean): string {
  const parts = Array.from({ length: ipv6 ? 8 : 4 }, (_, i) => {
    const bits = ipv6 ? 16n : 8n;
    return (value >> (bits * BigInt((ipv6 ? 7 : 3) - i))) & ((1n << bits) - 1n);
  });
  if (!ipv6) return parts.join(".");
  // The longest run of zeros is left out: https://www.rfc-editor.org/rfc/rfc5952
  const text = parts.map((part) => part.toString(16)).join(":");
  const runs = [...text.matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  const [longest] = runs;
  if (!longest) return text;
  const before = text.slice(0, longest.index);
  const after = text.slice(longest.index + longest[0].length);
  return `${before}::${after.replace(/^:/, "")}`;
}

/** `192.0.2.0/28, 192.0.2.40-192.0.2.50`, parted by commas, spaces or lines; what cannot be read is told. */
export function parsePool(text: string): { ranges: AddressRange[]; errors: string[] } {
  const ranges: AddressRange[] = [];
  const errors: string[] = [];
  for (const word of text.split(/[\s,]+/).filter(Boolean)) {
    const range = parseRange(word);
    if (range) ranges.push(range);
    else errors.push(`"${word}" is neither a CIDR nor a range FIRST-LAST`);
  }
  return { ranges, errors };
}

function parseRange(word: string): AddressRange | undefined {
  const [from = "", to] = word.split(/[-/]/);
  const ipv6 = isIPv6(from);
  const first = addressToNumber(from);
  if (first === undefined) return undefined;
  if (word.includes("/")) return blockOf(first, to ?? "", ipv6);
  if (to === undefined) return { first, last: first, ipv6 };
  const last = addressToNumber(to);
  if (last === undefined || last < first || isIPv6(to) !== ipv6) return undefined;
  return { first, last, ipv6 };
}

/** All addresses of a block but, where there are more than two, its own and the one for broadcasts. */
function blockOf(address: bigint, prefix: string, ipv6: boolean): AddressRange | undefined {
  const bits = ipv6 ? 128 : 32;
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) return undefined;
  const size = 1n << BigInt(bits - Number(prefix));
  const base = (address / size) * size;
  if (size <= 2n) return { first: base, last: base + size - 1n, ipv6 };
  return { first: base + 1n, last: base + size - (ipv6 ? 1n : 2n), ipv6 };
}

export function poolHas(ranges: readonly AddressRange[], address: string): boolean {
  const value = addressToNumber(address);
  const ipv6 = isIPv6(address);
  return (
    value !== undefined &&
    ranges.some((range) => range.ipv6 === ipv6 && value >= range.first && value <= range.last)
  );
}

/** So many addresses of a range are looked at before it counts as given out. */
const looksMax = 65_536;

/** The first address of the family that nobody has. */
export function freeAddress(
  ranges: readonly AddressRange[],
  ipv6: boolean,
  isTaken: (address: string) => boolean,
): string | undefined {
  for (const range of ranges) {
    if (range.ipv6 !== ipv6) continue;
    for (let value = range.first, i = 0; value <= range.last && i < looksMax; value++, i++) {
      const address = numberToAddress(value, ipv6);
      if (!isTaken(address)) return address;
    }
  }
  return undefined;
}
