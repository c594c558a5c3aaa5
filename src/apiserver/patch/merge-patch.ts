/**
 * JSON Merge Patch, RFC 7386. Pure: what the patch does not touch is shared with the result.
 * https://www.rfc-editor.org/rfc/rfc7386
 */
import { isObject } from "#api";
import { define } from "./json-patch.ts";

export function mergePatch(document: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result = isObject(document) ? withoutNulls(document, patch) : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value !== null)
      define(result, key, mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}

type Json = Record<string, unknown>;

/** A copy without what the patch takes away. Nothing is deleted from it: see `asRead`. */
export function withoutNulls(map: Readonly<Json>, patch: Readonly<Json>): Json {
  const isTaken = (key: string) => Object.hasOwn(patch, key) && patch[key] === null;
  const keys = Object.keys(map);
  if (!keys.some(isTaken)) return { ...map };
  const left: Json = {};
  for (const key of keys) if (!isTaken(key)) define(left, key, map[key]);
  return left;
}
