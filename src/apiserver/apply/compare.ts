/**
 * What became of an object's fields between two states of it, as sets of paths. Every write pays for this walk: what is
 * the same costs a comparison and nothing else.
 */
import { isObject, sameJson } from "#api";
import { emptySet, type FieldSet, nodeOf, sortedNode } from "./field-set.ts";
import type { ListShape, MapShape, Shape } from "./shape.ts";
import { branchOf, elementsOf, entryOf, type Json } from "./walk.ts";

/** Each is absent where it would be empty. */
export interface Comparison {
  /** Fields that are new or hold something else. */
  readonly changed: FieldSet | undefined;
  readonly removed: FieldSet | undefined;
}

const leafChanged: Comparison = { changed: emptySet, removed: undefined };

/** Undefined where nothing differs. */
export function compare(shape: Shape, old: unknown, now: unknown): Comparison | undefined {
  if (old === now) return undefined;
  if (old === undefined) return { changed: wholeOf(shape, now), removed: undefined };
  if (now === undefined) return { changed: undefined, removed: wholeOf(shape, old) };
  const branch = branchOf(shape, old, now);
  if (!branch) return sameJson(old, now) ? undefined : leafChanged;
  const gathered: Gathered = { changed: [], removed: [] };
  if (branch.kind === "map") compareEntries(branch, old, now, gathered);
  else compareElements(branch, old, now, gathered);
  const changed = sortedNode(gathered.changed);
  const removed = sortedNode(gathered.removed);
  return changed || removed ? { changed, removed } : undefined;
}

/** The subtrees below one node. */
interface Gathered {
  readonly changed: [string, FieldSet][];
  readonly removed: [string, FieldSet][];
}

function add(gathered: Gathered, element: string, { changed, removed }: Comparison): void {
  if (changed) gathered.changed.push([element, changed]);
  if (removed) gathered.removed.push([element, removed]);
}

const nothing: Json = Object.freeze({});

function compareEntries(shape: MapShape, old: unknown, now: unknown, gathered: Gathered): void {
  const left = isObject(old) ? old : nothing;
  const right = isObject(now) ? now : nothing;
  for (const name in right) {
    // Equal scalars; what is inherited is no scalar.
    if (left[name] === right[name]) continue;
    compareEntry(shape, name, entryOf(shape, left, name), right[name], gathered);
  }
  for (const name in left) {
    if (!Object.hasOwn(right, name)) {
      compareEntry(shape, name, left[name], entryOf(shape, right, name), gathered);
    }
  }
}

function compareEntry(shape: MapShape, name: string, old: unknown, now: unknown, gathered: Gathered): void {
  const entry = shape.entry(name);
  const found = entry && compare(entry, old, now);
  if (found) add(gathered, `f:${name}`, found);
}

function compareElements(shape: ListShape, old: unknown, now: unknown, gathered: Gathered): void {
  if (sameJson(old, now)) return;
  const before = elementsOf(shape, old);
  const after = elementsOf(shape, now);
  for (const [element, is] of after) {
    const found = compareSame(shape, before.get(element) ?? [], is);
    if (found) add(gathered, element, found);
  }
  for (const [element, was] of before) {
    const found = after.has(element) ? undefined : compareSame(shape, was, []);
    if (found) add(gathered, element, found);
  }
}

/** Elements of one name; more than one of them, which only older objects have, count as one leaf. */
function compareSame(
  { element }: ListShape,
  was: readonly unknown[],
  is: readonly unknown[],
): Comparison | undefined {
  if (was.length <= 1 && is.length <= 1) return compare(element, was[0], is[0]);
  if (was.length > 1 && is.length > 1) return sameJson(was, is) ? undefined : leafChanged;
  if (was.length > 1) {
    return { changed: is.length === 0 ? undefined : wholeOf(element, is[0]), removed: emptySet };
  }
  return { changed: emptySet, removed: was.length === 0 ? undefined : wholeOf(element, was[0]) };
}

/** Every path of a value that has come or gone as a whole, its own included. */
function wholeOf(shape: Shape, value: unknown): FieldSet {
  const branch = branchOf(shape, value, undefined);
  if (!branch) return emptySet;
  const entries: [string, FieldSet][] = [];
  if (branch.kind === "map") {
    const map = value as Json;
    for (const name in map) {
      const entry = branch.entry(name);
      if (entry) entries.push([`f:${name}`, wholeOf(entry, map[name])]);
    }
    for (const name of branch.alwaysThere) {
      if (!Object.hasOwn(map, name)) entries.push([`f:${name}`, emptySet]);
    }
  } else {
    for (const [element, items] of elementsOf(branch, value)) {
      entries.push([element, items.length > 1 ? emptySet : wholeOf(branch.element, items[0])]);
    }
  }
  return nodeOf(true, sortedNode(entries))!;
}
