/** What became of an object's fields between two states of it, as sets of paths. */
import { isObject, sameJson } from "#api";
import { type FieldSet, nodeOf, sortedNode } from "./field-set.ts";
import type { ListShape, MapShape, Shape } from "./shape.ts";
import { branchOf, elementsOf, entryOf } from "./walk.ts";

/** Each is absent where it would be empty. */
export interface Comparison {
  /** Fields that are new or hold something else. */
  readonly changed: FieldSet | undefined;
  readonly removed: FieldSet | undefined;
}

/** The subtrees below one node while they are gathered. */
class Gathered {
  readonly changed: [string, FieldSet][] = [];
  readonly removed: [string, FieldSet][] = [];

  add(element: string, { changed, removed }: Comparison): void {
    if (changed) this.changed.push([element, changed]);
    if (removed) this.removed.push([element, removed]);
  }
}

/** Undefined where nothing differs. */
export function compare(shape: Shape, old: unknown, now: unknown): Comparison | undefined {
  const branch = branchOf(shape, old, now);
  if (!branch) return compareLeaves(old, now);
  const gathered = new Gathered();
  if (branch.kind === "map") compareEntries(branch, old, now, gathered);
  else compareElements(branch, old, now, gathered);
  const changed = nodeOf(old === undefined, sortedNode(gathered.changed));
  const removed = nodeOf(now === undefined, sortedNode(gathered.removed));
  return changed || removed ? { changed, removed } : undefined;
}

const leaf: FieldSet = Object.freeze({});
const leafChanged: Comparison = { changed: leaf, removed: undefined };
const leafRemoved: Comparison = { changed: undefined, removed: leaf };

function compareLeaves(old: unknown, now: unknown): Comparison | undefined {
  if (old === now) return undefined;
  if (now === undefined) return leafRemoved;
  return old !== undefined && sameJson(old, now) ? undefined : leafChanged;
}

function compareEntries(shape: MapShape, old: unknown, now: unknown, gathered: Gathered): void {
  const visit = (name: string) => {
    const entry = shape.entry(name);
    if (!entry) return;
    const found = compare(entry, entryOf(shape, old, name), entryOf(shape, now, name));
    if (found) gathered.add(`f:${name}`, found);
  };
  const left = isObject(old) ? old : undefined;
  const right = isObject(now) ? now : undefined;
  if (right) for (const name of Object.keys(right)) visit(name);
  if (left) {
    for (const name of Object.keys(left)) if (!right || !Object.hasOwn(right, name)) visit(name);
  }
  if (left && right) return;
  // A struct that comes or goes takes along what it always holds.
  const whole = left ?? right ?? {};
  for (const name of shape.alwaysThere) if (!Object.hasOwn(whole, name)) visit(name);
}

function compareElements(shape: ListShape, old: unknown, now: unknown, gathered: Gathered): void {
  const before = elementsOf(shape, old);
  const after = elementsOf(shape, now);
  for (const element of new Set([...before.keys(), ...after.keys()])) {
    const [was = [], is = []] = [before.get(element), after.get(element)];
    const found = compareSame(shape, was, is);
    if (found) gathered.add(element, found);
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
    const added = is.length === 0 ? undefined : compare(element, undefined, is[0])?.changed;
    return { changed: added, removed: leaf };
  }
  const removed = was.length === 0 ? undefined : compare(element, was[0], undefined)?.removed;
  return { changed: leaf, removed };
}
