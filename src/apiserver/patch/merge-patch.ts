/**
 * JSON Merge Patch, RFC 7386. Pure: what the patch does not touch is shared with the result.
 * https://www.rfc-editor.org/rfc/rfc7386
 */
import { isObject } from "#api";
import { define } from "./json-patch.ts";

export function mergePatch(document: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result = isObject(document) ? { ...document } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else define(result, key, mergePatch(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}
