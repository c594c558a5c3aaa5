/** Lists and sets. https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library */
import type { Environment } from "@marcbachmann/cel-js";
import { CelError } from "../engine-error.ts";
import { equalValues } from "../values.ts";

type Comparable = string | number | bigint | boolean | Date;

export function registerLists(environment: Environment): void {
  environment
    .registerFunction("list<dyn>.isSorted(): bool", isSorted)
    .registerFunction("list<A>.min(): A", (list: Comparable[]) => pick(list, "min", (a, b) => a < b))
    .registerFunction("list<A>.max(): A", (list: Comparable[]) => pick(list, "max", (a, b) => a > b))
    .registerFunction("list<A>.sum(): A", sum)
    .registerFunction("list<dyn>.indexOf(dyn): int", indexOf)
    .registerFunction("list<dyn>.lastIndexOf(dyn): int", lastIndexOf)
    .registerFunction("list<A>.distinct(): list<A>", distinct)
    .registerFunction("list<A>.reverse(): list<A>", (list: unknown[]) => [...list].reverse())
    .registerFunction("list<A>.sort(): list<A>", (list: Comparable[]) => [...list].sort(compare))
    .registerFunction("list<A>.slice(int, int): list<A>", slice)
    .registerFunction("list<dyn>.flatten(): list<dyn>", (list: unknown[]) => list.flat())
    .registerType("SetsNamespace", SetsNamespace)
    .registerConstant("sets", "SetsNamespace", new SetsNamespace())
    .registerFunction(
      "SetsNamespace.contains(list<dyn>, list<dyn>): bool",
      (_: unknown, a: unknown[], b: unknown[]) => contains(a, b),
    )
    .registerFunction(
      "SetsNamespace.equivalent(list<dyn>, list<dyn>): bool",
      (_: unknown, a: unknown[], b: unknown[]) => contains(a, b) && contains(b, a),
    )
    .registerFunction(
      "SetsNamespace.intersects(list<dyn>, list<dyn>): bool",
      (_: unknown, a: unknown[], b: unknown[]) => a.some((each) => has(b, each)),
    );
}

class SetsNamespace {}

/** Comparing everything with everything costs the square of the length. */
const pairsMax = 1_000_000;

function bounded(a: readonly unknown[], b: readonly unknown[]): void {
  if (a.length * b.length > pairsMax) throw new CelError("operation cancelled: actual cost limit exceeded");
}

function has(list: readonly unknown[], value: unknown): boolean {
  return list.some((each) => equalValues(each, value));
}

function contains(list: readonly unknown[], sub: readonly unknown[]): boolean {
  bounded(list, sub);
  return sub.every((each) => has(list, each));
}

function compare(a: Comparable, b: Comparable): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function isSorted(list: readonly Comparable[]): boolean {
  return list.every((each, i) => i === 0 || list[i - 1]! <= each);
}

function pick(
  list: readonly Comparable[],
  name: string,
  isBetter: (a: Comparable, b: Comparable) => boolean,
): Comparable {
  if (list.length === 0) throw new CelError(`${name} called on empty list`);
  return list.reduce((best, each) => (isBetter(each, best) ? each : best));
}

function sum(list: readonly (number | bigint)[]): number | bigint {
  if (list.every((each) => typeof each === "bigint")) return list.reduce((total, each) => total + each, 0n);
  return list.reduce<number>((total, each) => total + Number(each), 0);
}

function indexOf(list: readonly unknown[], value: unknown): bigint {
  return BigInt(list.findIndex((each) => equalValues(each, value)));
}

function lastIndexOf(list: readonly unknown[], value: unknown): bigint {
  return BigInt(list.findLastIndex((each) => equalValues(each, value)));
}

function distinct(list: readonly unknown[]): unknown[] {
  bounded(list, list);
  return list.filter((each, i) => list.findIndex((other) => equalValues(each, other)) === i);
}

function slice(list: readonly unknown[], from: bigint, to: bigint): unknown[] {
  if (from < 0n || to < from || to > list.length)
    throw new CelError(`cannot slice(${from}, ${to}), list is length ${list.length}`);
  return list.slice(Number(from), Number(to));
}
