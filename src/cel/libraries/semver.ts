/** Semantic versions. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-semver-library */
import type { Environment } from "@marcbachmann/cel-js";
import { CelError } from "../engine-error.ts";

const pattern =
  /^(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})\.(0|[1-9]\d{0,15})(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?$/;

class CelSemver {
  readonly numbers: readonly [bigint, bigint, bigint];
  readonly pre: readonly string[];

  constructor(text: string) {
    const match = text.length <= 256 ? pattern.exec(text) : null;
    if (!match)
      throw new CelError(`parse error: invalid semantic version ${JSON.stringify(text.slice(0, 100))}`);
    this.numbers = [BigInt(match[1]!), BigInt(match[2]!), BigInt(match[3]!)];
    this.pre = match[4]?.split(".") ?? [];
  }

  compare(other: CelSemver): bigint {
    for (const [i, number] of this.numbers.entries())
      if (number !== other.numbers[i]) return number < other.numbers[i]! ? -1n : 1n;
    if (this.pre.length === 0 || other.pre.length === 0)
      return BigInt(Math.sign(other.pre.length - this.pre.length));
    for (const [i, part] of this.pre.entries()) {
      const before = comparePart(part, other.pre[i]);
      if (before !== 0n) return before;
    }
    return this.pre.length < other.pre.length ? -1n : 0n;
  }

  equals(other: unknown): boolean {
    return other instanceof CelSemver && this.compare(other) === 0n;
  }
}

/** Numbers before texts, both in their own order; what has more parts comes later. */
function comparePart(a: string, b: string | undefined): bigint {
  if (a === b) return 0n;
  if (b === undefined) return 1n;
  const [left, right] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (left !== right) return left ? -1n : 1n;
  return (left ? BigInt(a) < BigInt(b) : a < b) ? -1n : 1n;
}

/** `v1.2` as `1.2.0`. */
function normalized(text: string): string {
  const [, numbers = "", rest = ""] = /^v?([\d.]*)(.*)$/.exec(text) ?? [];
  const parts = numbers.split(".").map((part) => part.replace(/^0+(?=\d)/, ""));
  while (parts.length < 3) parts.push("0");
  return parts.join(".") + rest;
}

export function parseCelSemver(text: string, normalize = false): CelSemver {
  return new CelSemver(normalize ? normalized(text) : text);
}

export function registerSemver(environment: Environment): void {
  const type = "kubernetes.Semver";
  const is = (text: string, normalize = false) => {
    try {
      return Boolean(parseCelSemver(text, normalize));
    } catch {
      return false;
    }
  };
  environment
    .registerType(type, CelSemver)
    .registerOperator(`${type} == ${type}`, (a: CelSemver, b: CelSemver) => a.compare(b) === 0n)
    .registerFunction(`semver(string): ${type}`, parseCelSemver)
    .registerFunction(`semver(string, bool): ${type}`, parseCelSemver)
    .registerFunction("isSemver(string): bool", is)
    .registerFunction("isSemver(string, bool): bool", is)
    .registerFunction(`${type}.major(): int`, ({ numbers }: CelSemver) => numbers[0])
    .registerFunction(`${type}.minor(): int`, ({ numbers }: CelSemver) => numbers[1])
    .registerFunction(`${type}.patch(): int`, ({ numbers }: CelSemver) => numbers[2])
    .registerFunction(`${type}.compareTo(${type}): int`, (a: CelSemver, b: CelSemver) => a.compare(b))
    .registerFunction(`${type}.isLessThan(${type}): bool`, (a: CelSemver, b: CelSemver) => a.compare(b) < 0n)
    .registerFunction(
      `${type}.isGreaterThan(${type}): bool`,
      (a: CelSemver, b: CelSemver) => a.compare(b) > 0n,
    );
}
