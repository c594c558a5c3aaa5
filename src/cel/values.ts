/** Values as expressions see them: whole numbers are bigints, objects are maps that know their type. */
import { isObject } from "#api";

/** Object types extend it: nothing but what was put in is ever found in one. */
export class CelObject extends Map<string, unknown> {}

/** A value without a schema. */
export function untypedValue(value: unknown): unknown {
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(untypedValue);
  if (!isObject(value)) return value;
  return new Map(Object.entries(value).map(([name, each]) => [name, untypedValue(each)]));
}

/** Equality as the language has it: by content, and across the kinds of numbers. */
export function equalValues(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== typeof b) return isNumber(a) && isNumber(b) && Number(a) === Number(b);
  if (typeof a !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((each, i) => equalValues(each, b[i]));
  if (a instanceof Map && b instanceof Map) {
    if (a.size !== b.size) return false;
    for (const [name, each] of a) if (!b.has(name) || !equalValues(each, b.get(name))) return false;
    return true;
  }
  if ("equals" in a && typeof a.equals === "function") return a.equals(b) === true;
  if (a.constructor !== b?.constructor) return false;
  const [left, right] = [a.valueOf(), (b as object).valueOf()];
  return typeof left !== "object" && left === right;
}

function isNumber(value: unknown): value is number | bigint {
  return typeof value === "number" || typeof value === "bigint";
}
