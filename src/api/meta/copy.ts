/** Copies of plain JSON: what one part of a process hands to another without making text of it. */

const ownersFields = "fieldsV1";
const plainField = { writable: true, enumerable: true, configurable: true };

/**
 * A copy of what was JSON, for less than what parsing it again costs. The fields of an owner are shared: nobody changes
 * them in place, and their names, like no others, are new in each object, which makes building them dear.
 */
export function copyOf<T>(value: T): T {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(copyOf) as T;
  const copy: Record<string, unknown> = {};
  for (const key in value) {
    set(copy, key, key === ownersFields ? value[key] : copyOf(value[key]));
  }
  return copy as T;
}

/** Plain assignment sets what is no field under this one name. */
function set(object: Record<string, unknown>, key: string, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(object, key, { value, ...plainField });
  else object[key] = value;
}

/** Deeper than anything that is sent, and the depth at which cycles are given up. */
const depthMax = 100;

/**
 * What the JSON of a value reads as, the caller's own. Undefined where only JSON itself can tell: of what is deeper than
 * objects are, goes in circles, or is more than plain objects, lists and scalars.
 */
export function asJson(value: unknown): { value: unknown } | undefined {
  const copy = plain(value, 0);
  return copy === unplain || copy === undefined ? undefined : { value: copy };
}

const unplain = Symbol("not plain");

function plain(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return value;
    case "number":
      // There is no zero below zero in JSON, and nothing that is no number.
      return Number.isFinite(value) ? value + 0 : null;
    case "object":
      if (value === null) return null;
      if (depth === depthMax) return unplain;
      return Array.isArray(value) ? plainList(value, depth + 1) : plainMap(value, depth + 1);
    default:
      return unplain;
  }
}

function plainList(list: readonly unknown[], depth: number): unknown {
  const copy: unknown[] = [];
  for (const item of list) {
    const part = plain(item, depth);
    if (part === unplain) return unplain;
    copy.push(part === undefined ? null : part);
  }
  return copy;
}

function plainMap(map: object, depth: number): unknown {
  const prototype: unknown = Object.getPrototypeOf(map);
  if (prototype !== Object.prototype && prototype !== null) return unplain;
  const copy: Record<string, unknown> = {};
  for (const key in map) {
    const part = plain((map as Record<string, unknown>)[key], depth);
    if (part === unplain) return unplain;
    if (part !== undefined) set(copy, key, part);
  }
  return copy;
}
