/**
 * Objects that are held by the hundred thousand are mostly equal: pods of one template differ in their names, their
 * nodes and their status. Equal parts are held once: less memory, and far less for the garbage collector to walk.
 */

/**
 * The object with every part that equals the same part of `like` replaced by it; `like` itself if all of it is equal.
 * Both are JSON. `object` is changed, but for what is frozen of it: that stays as it is.
 */
export function shareParts<T>(object: T, like: unknown): T {
  return isCompound(object) && isCompound(like) ? (shared(object, like) as T) : object;
}

type Compound = Record<string, unknown> | unknown[];

function isCompound(value: unknown): value is Compound {
  return typeof value === "object" && value !== null;
}

function shared(object: Compound, like: Readonly<Compound>): Compound {
  if (Array.isArray(object)) return Array.isArray(like) ? sharedList(object, like) : object;
  return Array.isArray(like) ? object : sharedMap(object, like as Readonly<Record<string, unknown>>);
}

function sharedList(list: unknown[], like: readonly unknown[]): Compound {
  let isSame = list.length === like.length;
  for (let i = 0; i < list.length && i < like.length; i++) {
    const part = list[i];
    const known = like[i];
    if (part === known) continue;
    if (!isCompound(part) || !isCompound(known) || shared(part, known) !== known) isSame = false;
    else if (!Object.isFrozen(list)) list[i] = known;
  }
  return isSame ? (like as unknown[]) : list;
}

/** Keys are walked, not listed: their lists would cost more than all the rest. */
function sharedMap(map: Record<string, unknown>, like: Readonly<Record<string, unknown>>): Compound {
  let isSame = true;
  let surplus = 0;
  for (const key in map) {
    surplus++;
    const part = map[key];
    const known = like[key];
    if (part === known) continue;
    // What every map inherits is nobody's part.
    if (key === "__proto__" || !isCompound(part) || !isCompound(known) || shared(part, known) !== known)
      isSame = false;
    else if (!Object.isFrozen(map)) map[key] = known;
  }
  if (!isSame) return map;
  for (const _ in like) surplus--;
  return surplus === 0 ? (like as Record<string, unknown>) : map;
}
