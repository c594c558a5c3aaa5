/**
 * Strategic merge patch: a merge patch that knows from the schema which lists are sets or maps by a key.
 * https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
 *
 * Directives: `$patch: replace | delete | merge` in a map or a list's element, `$retainKeys` beside the fields of a
 * union, `$setElementOrder/FIELD` and `$deleteFromPrimitiveList/FIELD` beside a list.
 * Pure: what the patch does not touch is shared with the result.
 */
import {
  badRequest,
  type FieldSchema,
  isObject,
  StatusError,
  sameJson,
  schemaOf,
  type TypeSchema,
} from "#api";
import { define } from "./json-patch.ts";
import { withoutNulls } from "./merge-patch.ts";

type Json = Record<string, unknown>;

const directive = "$patch";
const retainKeys = "$retainKeys";
const orderPrefix = "$setElementOrder/";
const deletePrefix = "$deleteFromPrimitiveList/";

function unprocessable(message: string): StatusError {
  return StatusError.of(422, "Invalid", message);
}

/** Throws a 400 for a patch that is none, a 422 for one that does not fit the document. */
export function strategicMergePatch(typeName: string, document: Json, patch: unknown): Json {
  if (!isObject(patch)) {
    throw badRequest("json: cannot unmarshal value into Go value of type map[string]interface {}");
  }
  return mergeMap(schemaOf(typeName), document, patch);
}

function mergeMap(type: TypeSchema | undefined, original: Json, patch: Json): Json {
  const how = patch[directive];
  if (how === "replace") return withoutDirectives(type, patch);
  if (how === "delete") return {};
  if (how !== undefined && how !== "merge") {
    throw unprocessable(`unknown patch type: ${JSON.stringify(how)} in map`);
  }
  const result = retained(original, patch);
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (key === directive || key === retainKeys || key.startsWith(orderPrefix)) continue;
    if (key.startsWith(deletePrefix)) deleteFromList(result, key.slice(deletePrefix.length), value);
    else if (value !== null) {
      const current = Object.hasOwn(result, key) ? result[key] : undefined;
      define(result, key, mergeField(type?.fields.get(key), key, current, value, patch[orderPrefix + key]));
    }
  }
  orderUntouchedLists(type, result, patch);
  return result;
}

/** The directive alone still orders a list. */
function orderUntouchedLists(type: TypeSchema | undefined, result: Json, patch: Json): void {
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(orderPrefix)) continue;
    const order = patch[key];
    const field = key.slice(orderPrefix.length);
    const list = result[field];
    if (Object.hasOwn(patch, field) || !Array.isArray(list)) continue;
    const schema = type?.fields.get(field);
    result[field] = inOrder(list, orderList(order), list, schema?.patchMergeKey ?? "");
  }
}

/** `$retainKeys` names all fields that may stay; the patch may set no others. */
function retained(original: Json, patch: Json): Json {
  const keep = patch[retainKeys];
  if (keep === undefined) return withoutNulls(original, patch);
  if (!Array.isArray(keep) || keep.some((k) => typeof k !== "string")) {
    throw badRequest("invalid patch format of retain keys");
  }
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith("$") && value !== null && !keep.includes(key))
      throw badRequest("invalid patch format of retain keys");
  }
  const kept = Object.fromEntries(Object.entries(original).filter(([key]) => keep.includes(key)));
  return withoutNulls(kept, patch);
}

function deleteFromList(result: Json, field: string, values: unknown): void {
  if (!Array.isArray(values)) throw badRequest("invalid patch format of primitive list");
  const list = result[field];
  if (Array.isArray(list)) result[field] = list.filter((v) => !values.includes(v));
}

function mergeField(
  field: FieldSchema | undefined,
  key: string,
  current: unknown,
  value: unknown,
  order: unknown,
): unknown {
  if (isObject(value)) {
    const isRaw = field?.kind === "message" && field.container === "" && field.type().special !== undefined;
    if (field?.patchStrategy.includes("replace") || isRaw) return value;
    const type = field?.kind === "message" && field.container === "" ? field.type() : undefined;
    if (field?.container === "map" && field.kind === "message") return mergeMapOf(field, current, value);
    return mergeMap(type, isObject(current) ? current : {}, value);
  }
  if (!Array.isArray(value)) return value;
  if (!field?.patchStrategy.includes("merge")) return value;
  const original = Array.isArray(current) ? current : [];
  if (field.kind !== "message") return mergePrimitives(original, value, order);
  return mergeMaps(field, key, original, value, order);
}

/** A map whose values are objects. */
function mergeMapOf(field: FieldSchema, current: unknown, patch: Json): Json {
  const result: Json =
    isObject(current) && patch[directive] !== "replace" ? withoutNulls(current, patch) : {};
  for (const [key, value] of Object.entries(patch)) {
    if (key === directive) continue;
    if (value === null) continue;
    if (isObject(value) && field.type().special === undefined) {
      define(result, key, mergeMap(field.type(), isObject(result[key]) ? result[key] : {}, value));
    } else define(result, key, value);
  }
  return result;
}

function mergePrimitives(original: readonly unknown[], patch: readonly unknown[], order: unknown): unknown[] {
  if (patch.some(Array.isArray)) throw unprocessable("lists of lists are not supported");
  const merged = [...original];
  for (const value of patch) if (!merged.includes(value)) merged.push(value);
  const ordered = inOrder(merged, patch, original, "");
  if (order === undefined) return ordered;
  checkOrder(patch, orderList(order), "");
  return inOrder(ordered, orderList(order), original, "");
}

function mergeMaps(
  field: FieldSchema,
  key: string,
  original: readonly unknown[],
  patch: readonly unknown[],
  order: unknown,
): unknown[] {
  const mergeKey = field.patchMergeKey;
  const elements = patch.map((element) => {
    if (Array.isArray(element)) throw unprocessable("lists of lists are not supported");
    if (!isObject(element)) throw unprocessable(`expected a list of maps in ${key}`);
    return element;
  });
  // One element `$patch: replace` says that the others are the whole list.
  if (elements.some((e) => e[directive] === "replace" && !Object.hasOwn(e, mergeKey))) {
    return elements
      .filter((e) => !(e[directive] === "replace"))
      .map((e) => withoutDirectives(field.type(), e));
  }
  const merged = mergeElements(field, original, elements);
  const present = elements.filter((e) => e[directive] !== "delete");
  const ordered = inOrder(merged, present, original, mergeKey);
  if (order === undefined) return ordered;
  checkOrder(present, orderList(order), mergeKey);
  return inOrder(ordered, orderList(order), original, mergeKey);
}

function mergeElements(
  field: FieldSchema,
  original: readonly unknown[],
  elements: readonly Json[],
): unknown[] {
  const mergeKey = field.patchMergeKey;
  const type = field.type();
  const merged: unknown[] = [...original];
  for (const element of elements) {
    const identity = Object.hasOwn(element, mergeKey) ? element[mergeKey] : undefined;
    if (identity === undefined || identity === null) {
      throw unprocessable(`map: ${JSON.stringify(element)} does not contain declared merge key: ${mergeKey}`);
    }
    const at = merged.findIndex((m) => isObject(m) && sameJson(m[mergeKey], identity));
    if (element[directive] === "delete") {
      if (at >= 0) merged.splice(at, 1);
    } else if (element[directive] === "replace") {
      merged[at < 0 ? merged.length : at] = withoutDirectives(type, element);
    } else if (at >= 0) merged[at] = mergeMap(type, merged[at] as Json, element);
    else merged.push(mergeMap(type, {}, element));
  }
  return merged;
}

function withoutDirectives(type: TypeSchema | undefined, patch: Json): Json {
  const { [directive]: _, ...rest } = patch;
  return mergeMap(type, {}, rest);
}

function orderList(order: unknown): unknown[] {
  if (!Array.isArray(order)) throw badRequest("invalid patch format of setElementOrder list");
  return order;
}

function identityOf(item: unknown, mergeKey: string): unknown {
  return mergeKey !== "" && isObject(item) ? item[mergeKey] : item;
}

/** The elements of the patch must stand in the order list, in its order; two may have one identity. */
function checkOrder(patch: readonly unknown[], order: readonly unknown[], mergeKey: string): void {
  const identities = order.map((item) => identityOf(item, mergeKey));
  let last = -1;
  for (const item of patch) {
    const at = identities.indexOf(identityOf(item, mergeKey), last + 1);
    if (at < 0) {
      const [have, want] = [JSON.stringify(patch), JSON.stringify(order)];
      throw unprocessable(
        `The order in patch list:\n${have}\n doesn't match setElementOrder list:\n${want}\n`,
      );
    }
    last = at;
  }
}

/**
 * Items the order names follow it; the others keep their place among those that were on the server, and stand before
 * items that are new.
 */
function inOrder(
  merged: readonly unknown[],
  order: readonly unknown[],
  server: readonly unknown[],
  mergeKey: string,
): unknown[] {
  const wanted = new Map(order.map((item, i) => [identityOf(item, mergeKey), i]));
  const known = new Map(server.map((item, i) => [identityOf(item, mergeKey), i]));
  const position = (item: unknown) => wanted.get(identityOf(item, mergeKey));
  const named = merged
    .filter((item) => position(item) !== undefined)
    .sort((a, b) => position(a)! - position(b)!);
  const others = merged.filter((item) => position(item) === undefined);
  const result: unknown[] = [];
  let next = 0;
  for (const item of named) {
    const place = known.get(identityOf(item, mergeKey));
    while (next < others.length) {
      const other = known.get(identityOf(others[next], mergeKey));
      if (place !== undefined && other !== undefined && place < other) break;
      result.push(others[next++]);
    }
    result.push(item);
  }
  return [...result, ...others.slice(next)];
}
