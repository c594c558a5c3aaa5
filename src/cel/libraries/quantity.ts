/** Quantities. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-quantity-library */
import type { Environment } from "@marcbachmann/cel-js";
import { parseQuantity } from "#api";
import { CelError } from "../engine-error.ts";

const nano = 1_000_000_000n;

class CelQuantity {
  readonly nanos: bigint;

  constructor(nanos: bigint) {
    this.nanos = nanos;
  }

  equals(other: unknown): boolean {
    return other instanceof CelQuantity && other.nanos === this.nanos;
  }

  get isWhole(): boolean {
    return this.nanos % nano === 0n && BigInt.asIntN(64, this.nanos / nano) === this.nanos / nano;
  }
}

type Q = CelQuantity;

export function registerQuantity(environment: Environment): void {
  const type = "kubernetes.Quantity";
  environment
    .registerType(type, CelQuantity)
    .registerOperator(`${type} == ${type}`, (a: Q, b: Q) => a.nanos === b.nanos)
    .registerFunction(`quantity(string): ${type}`, parseCelQuantity)
    .registerFunction("isQuantity(string): bool", (text: string) => parseQuantity(text) !== undefined)
    .registerFunction(`${type}.sign(): int`, (q: Q) => (q.nanos > 0n ? 1n : q.nanos < 0n ? -1n : 0n))
    .registerFunction(`${type}.isInteger(): bool`, (q: Q) => q.isWhole)
    .registerFunction(`${type}.asInteger(): int`, asInteger)
    .registerFunction(`${type}.asApproximateFloat(): double`, (q: Q) => Number(q.nanos) / Number(nano))
    .registerFunction(`${type}.isLessThan(${type}): bool`, (a: Q, b: Q) => a.nanos < b.nanos)
    .registerFunction(`${type}.isGreaterThan(${type}): bool`, (a: Q, b: Q) => a.nanos > b.nanos)
    .registerFunction(`${type}.compareTo(${type}): int`, (a: Q, b: Q) =>
      a.nanos < b.nanos ? -1n : a.nanos > b.nanos ? 1n : 0n,
    )
    .registerFunction(`${type}.add(${type}): ${type}`, (a: Q, b: Q) => new CelQuantity(a.nanos + b.nanos))
    .registerFunction(`${type}.add(int): ${type}`, (a: Q, b: bigint) => new CelQuantity(a.nanos + b * nano))
    .registerFunction(`${type}.sub(${type}): ${type}`, (a: Q, b: Q) => new CelQuantity(a.nanos - b.nanos))
    .registerFunction(`${type}.sub(int): ${type}`, (a: Q, b: bigint) => new CelQuantity(a.nanos - b * nano));
}

export function parseCelQuantity(text: string): CelQuantity {
  const quantity = parseQuantity(text);
  if (!quantity)
    throw new CelError(
      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    );
  return new CelQuantity(quantity.nanos);
}

function asInteger(quantity: CelQuantity): bigint {
  if (!quantity.isWhole) throw new CelError("cannot convert value to integer");
  return quantity.nanos / nano;
}
