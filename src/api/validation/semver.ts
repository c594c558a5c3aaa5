/** Versions as https://semver.org has them. */

export interface Version {
  readonly numbers: readonly bigint[];
  readonly prerelease: readonly string[];
}

export const zeroVersion: Version = { numbers: [0n, 0n, 0n], prerelease: [] };

const maxLength = 256;
const number = "(0|[1-9]\\d*)";
const identifier = "(?:0|[1-9]\\d*|\\d*[a-zA-Z-][0-9a-zA-Z-]*)";
const pattern = new RegExp(
  `^${number}\\.${number}\\.${number}(?:-(${identifier}(?:\\.${identifier})*))?(?:\\+[0-9a-zA-Z-]+(?:\\.[0-9a-zA-Z-]+)*)?$`,
);

/** Undefined when it is none. */
export function parseSemver(text: string): Version | undefined {
  const match = text.length <= maxLength ? pattern.exec(text) : null;
  if (!match) return undefined;
  const [, major, minor, patch, prerelease] = match;
  return {
    numbers: [major!, minor!, patch!].map(BigInt),
    prerelease: prerelease === undefined ? [] : prerelease.split("."),
  };
}

/** By precedence: what comes before a release is less than it. */
export function compareVersions(a: Version, b: Version): number {
  for (let i = 0; i < 3; i++) {
    const difference = a.numbers[i]! - b.numbers[i]!;
    if (difference !== 0n) return difference < 0n ? -1 : 1;
  }
  if (a.prerelease.length === 0 || b.prerelease.length === 0)
    return Math.sign(b.prerelease.length - a.prerelease.length);
  for (const [i, left] of a.prerelease.entries()) {
    const right = b.prerelease[i];
    if (right === undefined) return 1;
    const order = compareIdentifiers(left, right);
    if (order !== 0) return order;
  }
  return a.prerelease.length < b.prerelease.length ? -1 : 0;
}

/** Numbers before texts, each among their like. */
function compareIdentifiers(a: string, b: string): number {
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (left !== right) return left ? -1 : 1;
  if (!left) return a < b ? -1 : a > b ? 1 : 0;
  const difference = BigInt(a) - BigInt(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
