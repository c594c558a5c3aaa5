/**
 * Objects that are held by the hundred thousand are mostly equal: pods of one template differ in their names, their
 * nodes and their status. Equal parts are held once: less memory, and far less for the garbage collector to walk.
 */

/**
 * The object with every part that equals the same part of `like` replaced by it; `like` itself if all of it is equal.
 * Both are JSON. `object` is changed, unless it is frozen: then it is answered as it is.
 */
export function shareParts<T>(object: T, like: unknown): T {
  if (object === like) return like as T;
  if (typeof object !== "object" || object === null || typeof like !== "object" || like === null)
    return object;
  if (Array.isArray(object) !== Array.isArray(like) || Object.isFrozen(object)) return object;
  const own = object as Record<string, unknown>;
  const known = like as Readonly<Record<string, unknown>>;
  let isSame = true;
  let parts = 0;
  for (const key in own) {
    const part = own[key];
    const shared = Object.hasOwn(known, key) ? shareParts(part, known[key]) : part;
    // Also where they are equal strings: those are two in memory, until one takes the other's place.
    own[key] = shared;
    isSame &&= shared === known[key];
    parts++;
  }
  for (const _ in known) parts--;
  return isSame && parts === 0 ? (like as T) : object;
}
