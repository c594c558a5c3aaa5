/**
 * An applied configuration against its shape: what it says wrongly, which fields it names, it laid over an object, and
 * fields taken out of an object. None of these changes what it is given.
 * https://github.com/kubernetes-sigs/structured-merge-diff
 */
import { isObject } from "#api";
import { emptySet, type FieldSet, isEmptySet, isMember, nodeOf, sortedNode } from "./field-set.ts";
import { describeElement } from "./path-element.ts";
import type { ListShape, MapShape, ScalarShape, Shape } from "./shape.ts";
import { branchOf, deducedMap, elementOf, elementsOf, type Json } from "./walk.ts";

/** More errors than anybody reads are not gathered. */
const errorsMax = 100;

/** What is wrong with a configuration, each with its path. */
export function validateTyped(shape: Shape, value: unknown): string[] {
  const errors: string[] = [];
  check(shape, value, "", errors);
  return errors;
}

function report(errors: string[], path: string, message: string): void {
  if (errors.length < errorsMax) errors.push(path === "" ? message : `${path}: ${message}`);
}

function check(shape: Shape, value: unknown, path: string, errors: string[]): void {
  if (value === null || value === undefined || shape.kind === "deduced") return;
  if (shape.kind === "scalar") checkScalar(shape, value, path, errors);
  else if (shape.kind === "map") checkEntries(shape, value, path, errors);
  else if (Array.isArray(value)) checkElements(shape, value, path, errors);
  else report(errors, path, `expected list, got ${goText(value)}`);
}

function checkEntries(shape: MapShape, value: unknown, path: string, errors: string[]): void {
  if (!isObject(value)) {
    report(errors, path, `expected map, got ${goText(value)}`);
    return;
  }
  for (const [name, inner] of Object.entries(value)) {
    const entry = shape.entry(name);
    if (entry) check(entry, inner, `${path}.${name}`, errors);
    else report(errors, `${path}.${name}`, "field not declared in schema");
  }
}

function checkElements(shape: ListShape, list: readonly unknown[], path: string, errors: string[]): void {
  const seen = new Set<string>();
  for (const [i, item] of list.entries()) {
    const element = shape.relation === "atomic" ? `i:${i}` : elementOf(shape, item);
    if (typeof element !== "string") {
      report(errors, path, `element ${i}: ${element.message}`);
      continue;
    }
    if (seen.has(element)) report(errors, path, `duplicate entries for key ${describeElement(element)}`);
    seen.add(element);
    check(shape.element, item, path + describeElement(element), errors);
  }
}

function checkScalar({ type }: ScalarShape, value: unknown, path: string, errors: string[]): void {
  if (type === "numeric" && typeof value !== "number") {
    report(errors, path, `expected numeric (int or float), got ${goType(value)}`);
  } else if (type === "string" && typeof value !== "string") {
    report(errors, path, `expected string, got &value.valueUnstructured{Value:${goText(value)}}`);
  } else if (type === "boolean" && typeof value !== "boolean") {
    report(errors, path, `expected boolean, got &{${goText(value)}}`);
  } else if (type === "untyped" && typeof value === "object") {
    report(errors, path, `expected any scalar, got &{${goText(value)}}`);
  }
}

function goType(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (isObject(value)) return "map[string]interface {}";
  return typeof value === "boolean" ? "bool" : typeof value;
}

/** A value as a message shows it: short, whatever a client sends. */
function goText(value: unknown): string {
  return JSON.stringify(value).slice(0, 200);
}

/** The paths that a configuration names: its owner's fields. */
export function fieldsOf(shape: Shape, value: unknown): FieldSet {
  return fieldNode(shape, value, false) ?? emptySet;
}

function fieldNode(shape: Shape, value: unknown, member: boolean): FieldSet | undefined {
  if (shape.kind === "deduced") {
    return isObject(value) ? nodeOf(member, entryFields(deducedMap, value)) : emptySet;
  }
  if (shape.kind === "scalar") return emptySet;
  if (shape.kind === "map") {
    if (shape.atomic) return emptySet;
    return nodeOf(member, isObject(value) ? entryFields(shape, value) : undefined);
  }
  if (shape.relation === "atomic") return emptySet;
  return nodeOf(member, elementFields(shape, value));
}

function entryFields(shape: MapShape, map: Json): FieldSet | undefined {
  const entries: [string, FieldSet][] = [];
  for (const [name, value] of Object.entries(map)) {
    const entry = shape.entry(name);
    if (!entry) continue;
    const isNothing = value === null || (isObject(value) && isEmptySet(value as FieldSet));
    const node = fieldNode(entry, value, isNothing || !shape.isDeclared(name));
    if (node) entries.push([`f:${name}`, node]);
  }
  return sortedNode(entries);
}

function elementFields(shape: ListShape, list: unknown): FieldSet | undefined {
  const entries: [string, FieldSet][] = [];
  for (const [element, items] of elementsOf(shape, list)) {
    const node = items.length > 1 ? emptySet : fieldNode(shape.element, items[0], true);
    if (node) entries.push([element, node]);
  }
  return sortedNode(entries);
}

/** `config` laid over `live`: what it names wins, lists with names merge, everything else stays. */
export function mergeTyped(shape: Shape, live: unknown, config: unknown): unknown {
  if (config === undefined) return live;
  const branch = branchOf(shape, live, config);
  if (!branch) return config;
  return branch.kind === "map" ? mergeEntries(branch, live, config) : mergeElements(branch, live, config);
}

function mergeEntries(shape: MapShape, live: unknown, config: unknown): Json {
  const merged: Json = isObject(live) ? { ...live } : {};
  if (!isObject(config)) return merged;
  for (const [name, value] of Object.entries(config)) {
    const entry = shape.entry(name);
    const before = Object.hasOwn(merged, name) ? merged[name] : undefined;
    define(merged, name, entry ? mergeTyped(entry, before, value) : value);
  }
  return merged;
}

/** Plain assignment would change the prototype where the key is `__proto__`. */
function define(object: Json, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

/**
 * Elements of the configuration keep its order. One that only the live list has stays behind its predecessor there, and
 * before whatever of the configuration is new.
 */
function mergeElements(shape: ListShape, live: unknown, config: unknown): unknown[] {
  const before = elementsOf(shape, live);
  const wanted = elementsOf(shape, config);
  const liveItems: readonly unknown[] = Array.isArray(live) ? live : [];
  const shared = [...wanted.keys()].filter((element) => before.has(element));
  const merged: unknown[] = [];
  let [nextLive, nextShared] = [0, 0];
  const takeLive = () => {
    for (; nextLive < liveItems.length; nextLive++) {
      const element = nameIn(shape, liveItems[nextLive]);
      if (!wanted.has(element)) merged.push(liveItems[nextLive]);
      else if (element === shared[nextShared]) return;
    }
  };
  for (const [element, items] of wanted) {
    takeLive();
    const same = before.get(element);
    merged.push(mergeTyped(shape.element, same?.length === 1 ? same[0] : undefined, items[0]));
    if (element === shared[nextShared]) nextShared++;
  }
  takeLive();
  return merged;
}

/** The element's name; empty if it has none. */
function nameIn(shape: ListShape, item: unknown): string {
  const element = elementOf(shape, item);
  return typeof element === "string" ? element : "";
}

/** The value without the fields of the set; undefined if nothing is left of it. */
export function removeFields(shape: Shape, value: unknown, set: FieldSet): unknown {
  if (isEmptySet(set)) return value;
  const branch = branchOf(shape, value, undefined);
  if (!branch) return value;
  return branch.kind === "map"
    ? removeEntries(branch, value as Json, set)
    : removeElements(branch, value as unknown[], set);
}

function removeEntries(shape: MapShape, map: Json, set: FieldSet): Json | undefined {
  const left: Json = {};
  for (const [name, value] of Object.entries(map)) {
    const node = set[`f:${name}`];
    const entry = shape.entry(name);
    if (node === undefined || !entry) define(left, name, value);
    else if (!isMember(node)) {
      const inner = removeFields(entry, value, node);
      if (inner !== undefined) define(left, name, inner);
    }
  }
  return isEmptySet(left as FieldSet) ? undefined : left;
}

function removeElements(shape: ListShape, list: readonly unknown[], set: FieldSet): unknown[] | undefined {
  const left: unknown[] = [];
  for (const item of list) {
    const node = set[nameIn(shape, item)];
    if (node === undefined) left.push(item);
    else if (!isMember(node)) left.push(removeFields(shape.element, item, node) ?? null);
  }
  return left.length > 0 ? left : undefined;
}

/** The set with every declared field that has members below it: removing them leaves no empty husk in the way. */
export function withNamedFields(shape: Shape, set: FieldSet): FieldSet {
  const node: Record<string, FieldSet> = {};
  for (const element of Object.keys(set)) {
    const child = set[element]!;
    if (element === ".") {
      node[element] = child;
      continue;
    }
    const isNamed = shape.kind === "map" && element[0] === "f" && shape.isDeclared(element.slice(2));
    const inner = innerShape(shape, element);
    const below = isEmptySet(child) || !inner ? child : withNamedFields(inner, child);
    const { ".": own, ...children } = below;
    node[element] = nodeOf(isNamed || own !== undefined || isEmptySet(child), children)!;
  }
  return node;
}

function innerShape(shape: Shape, element: string): Shape | undefined {
  if (shape.kind === "map") return shape.entry(element.slice(2));
  if (shape.kind === "list") return shape.element;
  return shape.kind === "deduced" ? shape : undefined;
}
