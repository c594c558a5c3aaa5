/** Blocks of addresses with holes, as ranges that do not overlap. Pure. */
import { cidrRange } from "#api";
import type { Family, Range } from "./model.ts";

/** Sorted and joined where they touch. */
export function joinRanges(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const joined: Range[] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (!last || range.first > last.last + 1n) joined.push(range);
    else if (range.last > last.last) joined[joined.length - 1] = { first: last.first, last: range.last };
  }
  return joined;
}

function without(range: Range, hole: Range): Range[] {
  if (hole.last < range.first || hole.first > range.last) return [range];
  const left: Range[] = [];
  if (hole.first > range.first) left.push({ first: range.first, last: hole.first - 1n });
  if (hole.last < range.last) left.push({ first: hole.last + 1n, last: range.last });
  return left;
}

/** The addresses of a block of the family; a block that cannot be read has none. */
export function blockRanges(
  { cidr, except = [] }: Readonly<{ cidr: string; except?: readonly string[] }>,
  family: Family,
): Range[] {
  const bits = family === "ip6" ? 128 : 32;
  const block = cidrRange(cidr);
  if (block?.bits !== bits) return [];
  let left: Range[] = [{ first: block.first, last: block.last }];
  for (const text of except) {
    const hole = cidrRange(text);
    if (hole?.bits === bits) left = left.flatMap((range) => without(range, hole));
  }
  return joinRanges(left);
}
