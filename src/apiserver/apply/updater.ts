/**
 * Who owns what after a write: the laws of field management, without clocks, requests or storage.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts
 */
import { type Comparison, compare } from "./compare.ts";
import {
  difference,
  emptySet,
  type FieldSet,
  intersection,
  isEmptySet,
  recursiveDifference,
  union,
} from "./field-set.ts";
import { withoutSystemFields } from "./ignored-fields.ts";
import { isSameManager, type Manager } from "./managed-fields.ts";
import type { Shape } from "./shape.ts";
import { fieldsOf, mergeTyped, removeFields, withNamedFields } from "./typed.ts";
import type { Json } from "./walk.ts";

/** Who writes. */
export type Writer = Omit<Manager, "set">;

function comparison(shape: Shape, old: Json, now: Json, ignored: FieldSet | undefined): Comparison {
  const found = compare(shape, old, now);
  const { changed, removed } = found ?? {};
  if (!ignored) return { changed, removed };
  return {
    changed: changed && nonEmpty(recursiveDifference(changed, ignored)),
    removed: removed && nonEmpty(recursiveDifference(removed, ignored)),
  };
}

function nonEmpty(set: FieldSet): FieldSet | undefined {
  return isEmptySet(set) ? undefined : set;
}

function without(set: FieldSet, { changed, removed }: Comparison): FieldSet {
  const left = changed ? difference(set, changed) : set;
  return removed ? difference(left, removed) : left;
}

/** The managers after an update: whoever changes a field owns it, alone. */
export function ownersAfterUpdate(
  shape: Shape,
  old: Json,
  now: Json,
  managers: readonly Manager[],
  writer: Writer,
  ignored: FieldSet | undefined,
): readonly Manager[] {
  const found = comparison(shape, old, now, ignored);
  if (!found.changed && !found.removed) return managers;
  const kept = managers.map((manager) => ({ ...manager, set: without(manager.set, found) }));
  const taken = found.changed && nonEmpty(withoutSystemFields(found.changed));
  if (taken) {
    const at = kept.findIndex((manager) => isSameManager(manager, writer));
    const set = at < 0 ? taken : union(kept[at]!.set, taken);
    kept.splice(at < 0 ? kept.length : at, 1, { ...writer, set });
  }
  return kept.filter(({ set }) => !isEmptySet(set));
}

export interface Conflict {
  readonly manager: Manager;
  /** What both want. */
  readonly set: FieldSet;
}

export interface Applied {
  readonly object: Json;
  readonly managers: readonly Manager[];
  /** Fields of others that the configuration wants to be different; they stay theirs unless force is used. */
  readonly conflicts: readonly Conflict[];
}

/** `config` laid over `live`: the writer owns exactly what it names, and what it gave up and nobody owns goes. */
export function applyConfig(
  shape: Shape,
  live: Json,
  config: Json,
  managers: readonly Manager[],
  writer: Writer,
  ignored: FieldSet | undefined,
): Applied {
  const named = fieldsOf(shape, config);
  const set = ignored ? recursiveDifference(named, ignored) : named;
  const last = managers.find((manager) => isSameManager(manager, writer));
  const others = managers.filter((manager) => manager !== last);
  const merged = mergeTyped(shape, live, config) as Json;
  const object = last ? prune(shape, merged, last.set, [...others.map((other) => other.set), set]) : merged;
  const found = comparison(shape, live, object, ignored);
  const conflicts = found.changed ? conflictsOf(others, found.changed) : [];
  const own: Manager = { ...writer, set: withoutSystemFields(set) };
  const kept = others.map((manager) => ({ ...manager, set: without(manager.set, found) }));
  return { object, managers: [...kept, own].filter((manager) => !isEmptySet(manager.set)), conflicts };
}

function conflictsOf(others: readonly Manager[], changed: FieldSet): Conflict[] {
  return others
    .map((manager) => ({ manager, set: intersection(manager.set, changed) }))
    .filter(({ set }) => !isEmptySet(set));
}

/** What the writer named last time and names no more goes, unless somebody owns it or what lies below it. */
function prune(shape: Shape, merged: Json, last: FieldSet, owned: readonly FieldSet[]): Json {
  if (isEmptySet(last)) return merged;
  const named = (set: FieldSet) => withNamedFields(shape, set);
  const lastSet = named(last);
  const all = named(fieldsOf(shape, merged));
  const leftWithoutLast = named(fieldsOf(shape, removeFields(shape, merged, lastSet) ?? {}));
  const stays = union(leftWithoutLast, named(owned.reduce(union, emptySet)));
  const withOwned = removeFields(shape, merged, difference(all, stays)) ?? {};
  // Elements that nobody owns are not this writer's to remove either.
  const dangling = difference(all, named(fieldsOf(shape, withOwned)));
  return (removeFields(shape, merged, intersection(dangling, lastSet)) ?? {}) as Json;
}
