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

/**
 * The value as its JSON reads: without fields that are undefined. Itself, where there are none. Parts that stand in
 * `clean`, which was read before, are not looked at. A part without such a field is a new object: one that a field was
 * deleted from takes twice the time to serialize, and so does all around it.
 */
export function asRead<T>(value: T, clean?: unknown): T {
  if (typeof value !== "object" || value === null || value === clean) return value;
  if (Array.isArray(value)) return listAsRead(value, Array.isArray(clean) ? clean : []) as T;
  const known = (typeof clean === "object" ? clean : undefined) as Record<string, unknown> | null | undefined;
  let copy: Record<string, unknown> | undefined;
  for (const key in value) {
    const part: unknown = value[key];
    const read = key === ownersFields ? part : asRead(part, known?.[key]);
    if (copy === undefined && read === part && part !== undefined) continue;
    copy ??= fieldsBefore(value, key);
    if (part !== undefined) set(copy, key, read);
  }
  return (copy ?? value) as T;
}

function fieldsBefore(object: object, end: string): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const key in object) {
    if (key === end) break;
    set(fields, key, (object as Record<string, unknown>)[key]);
  }
  return fields;
}

function listAsRead(list: readonly unknown[], clean: readonly unknown[]): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let i = 0; i < list.length; i++) {
    const read = asRead(list[i], clean[i]);
    if (read === list[i]) continue;
    copy ??= [...list];
    copy[i] = read;
  }
  return copy ?? list;
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
