/** What all walks over an object and its shape share: values as maps and lists, and the names of list elements. */
import { isObject } from "#api";
import { keyElement } from "./path-element.ts";
import { deducedShape, type ListShape, type MapShape, type Shape } from "./shape.ts";

export type Json = Record<string, unknown>;

const nothing: Json = Object.freeze({});

/** Whatever has keys, where nothing says which: each is an entry with an owner. */
export const deducedMap: MapShape = {
  kind: "map",
  atomic: false,
  entry: () => deducedShape,
  isDeclared: () => false,
  alwaysThere: [],
  required: [],
};

/** The shape under which two values can be walked side by side; undefined: they are one leaf. */
export function branchOf(shape: Shape, a: unknown, b: unknown): MapShape | ListShape | undefined {
  switch (shape.kind) {
    case "scalar":
      return undefined;
    case "deduced":
      return isMapOrNothing(a) && isMapOrNothing(b) && (isFilledMap(a) || isFilledMap(b))
        ? deducedMap
        : undefined;
    case "map":
      return !shape.atomic && (isFilledMap(a) || isFilledMap(b)) && isMapOrNothing(a) && isMapOrNothing(b)
        ? shape
        : undefined;
    default:
      return shape.relation !== "atomic" &&
        (isFilledList(a) || isFilledList(b)) &&
        isListOrNothing(a) &&
        isListOrNothing(b)
        ? shape
        : undefined;
  }
}

function isFilledMap(value: unknown): boolean {
  if (!isObject(value)) return false;
  for (const _ in value) return true;
  return false;
}

const isFilledList = (value: unknown) => Array.isArray(value) && value.length > 0;
const isMapOrNothing = (value: unknown) => value === undefined || value === null || isObject(value);
const isListOrNothing = (value: unknown) => value === undefined || value === null || Array.isArray(value);

/** The entry of a map; where Go always holds a struct, an empty one stands for what JSON leaves out. */
export function entryOf(shape: MapShape, map: unknown, name: string): unknown {
  if (!isObject(map)) return undefined;
  if (Object.hasOwn(map, name)) return map[name];
  return shape.alwaysThere.includes(name) ? nothing : undefined;
}

/** An object of a kind before anybody has said anything about it. */
export function emptyObject(shape: MapShape): Json {
  const object: Json = {};
  for (const name of shape.required) object[name] = null;
  for (const name of shape.alwaysThere) {
    const inner = shape.entry(name);
    object[name] = inner?.kind === "map" ? emptyObject(inner) : {};
  }
  return object;
}

/** The name of a list's element, as a path element; or why it has none. */
export function elementOf(shape: ListShape, item: unknown): string | Error {
  return shape.relation === "map" ? keyedElementOf(shape, item) : valueElementOf(item);
}

function keyedElementOf({ keys, keyDefaults }: ListShape, item: unknown): string | Error {
  if (item === null || item === undefined) {
    return new Error("associative list with keys may not have a null element");
  }
  if (!isObject(item)) return new Error("associative list with keys may not have non-map elements");
  const names: string[] = [];
  const values: unknown[] = [];
  for (const key of keys) {
    const value = Object.hasOwn(item, key) ? item[key] : keyDefaults[key];
    if (value === undefined) continue;
    names.push(key);
    values.push(value);
  }
  if (names.length > 0) return keyElement(names, values);
  const wanted = keys.map((key) => JSON.stringify(key)).join(" ");
  return new Error(
    `associative list with keys has an element that omits all key fields [${wanted}] (and doesn't have default values for any key fields)`,
  );
}

function valueElementOf(item: unknown): string | Error {
  if (isObject(item)) return new Error("associative list without keys has an element that's a map type");
  if (Array.isArray(item)) return new Error("not supported: associative list with lists as elements");
  if (item === null || item === undefined) {
    return new Error("associative list without keys has an element that's an explicit null");
  }
  return `v:${JSON.stringify(item)}`;
}

/** The elements of a list by name, in their order; those with one name together, those without one left out. */
export function elementsOf(shape: ListShape, list: unknown): Map<string, unknown[]> {
  const elements = new Map<string, unknown[]>();
  if (!Array.isArray(list)) return elements;
  for (const item of list) {
    const element = elementOf(shape, item);
    if (typeof element !== "string") continue;
    const same = elements.get(element);
    if (same) same.push(item);
    else elements.set(element, [item]);
  }
  return elements;
}
