/**
 * The `Warning` header: what kubectl shows beside a success. Bounded, for it may speak of every field of a body.
 * https://kubernetes.io/blog/2020/09/03/warnings/
 */

/** Upstream's bounds: all as they are up to this; beyond it each is cut short, and what does not fit is left out. */
const totalMaxLength = 4096;
const itemMaxLength = 256;

export function warningHeader(warnings: readonly string[]): string {
  return bounded([...new Set(warnings)])
    .map((warning) => `299 - ${JSON.stringify(warning)}`)
    .join(", ");
}

function bounded(warnings: readonly string[]): readonly string[] {
  const lengthOf = (list: readonly string[]) => list.reduce((sum, each) => sum + each.length, 0);
  if (lengthOf(warnings) <= totalMaxLength) return warnings;
  const fitting: string[] = [];
  let left = totalMaxLength;
  for (const warning of warnings) {
    const short = warning.slice(0, itemMaxLength);
    if (short.length > left) break;
    left -= short.length;
    fitting.push(short);
  }
  return fitting;
}
