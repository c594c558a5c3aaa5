/**
 * Sets of field paths, in the very form in which `metadata.managedFields` stores them: a set read from an object is used
 * as it is, and what a set operation does not touch is shared with its operands. Sets are never changed.
 * https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/#System
 *
 * A node `{}` is a member without children, `{"f:a": …}` has children, `{".": {}, "f:a": …}` is a member with children.
 * The root is no path: `{}` there is the empty set.
 */
import { isObject } from "#api";
import { canonicalElement, compareElements, describeElement } from "./path-element.ts";

export interface FieldSet {
  readonly [element: string]: FieldSet;
}

export const emptySet: FieldSet = Object.freeze({});
export const self = ".";

export function isEmptySet(set: FieldSet): boolean {
  for (const _ in set) return false;
  return true;
}

/** Of a node below the root: the path that leads to it is in the set. */
export function isMember(node: FieldSet | undefined): boolean {
  return node !== undefined && (node[self] !== undefined || isEmptySet(node));
}

/** A node, or undefined where neither it nor anything below is in the set. `children` are in order. */
export function nodeOf(member: boolean, children: FieldSet | undefined): FieldSet | undefined {
  if (children === undefined || isEmptySet(children)) return member ? emptySet : undefined;
  return member ? Object.assign({ [self]: emptySet }, children) : children;
}

/** The children in order; undefined if there are none. */
export function sortedNode(entries: [string, FieldSet][]): FieldSet | undefined {
  if (entries.length === 0) return undefined;
  if (!areSorted(entries)) entries.sort(([a], [b]) => compareElements(a, b));
  const node: Record<string, FieldSet> = {};
  for (const [element, child] of entries) node[element] = child;
  return node;
}

function areSorted(entries: readonly [string, FieldSet][]): boolean {
  for (let i = 1; i < entries.length; i++) {
    if (compareElements(entries[i - 1]![0], entries[i]![0]) > 0) return false;
  }
  return true;
}

function childrenOf(node: FieldSet): [string, FieldSet][] {
  const entries = Object.entries(node);
  return entries[0]?.[0] === self ? entries.slice(1) : entries;
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  return nodeUnion(a, b, true) ?? emptySet;
}

function nodeUnion(a: FieldSet, b: FieldSet, isRoot: boolean): FieldSet | undefined {
  if (isEmptySet(b) && (isRoot || isMember(a))) return a;
  const member = !isRoot && (isMember(a) || isMember(b));
  const added: [string, FieldSet][] = [];
  let changed: Record<string, FieldSet> | undefined;
  for (const [element, child] of childrenOf(b)) {
    const own = a[element];
    const both = own === undefined ? child : nodeUnion(own, child, false)!;
    if (own === undefined) added.push([element, both]);
    else if (both !== own) {
      changed ??= { ...a };
      changed[element] = both;
    }
  }
  const node = changed ?? a;
  if (added.length > 0) return nodeOf(member, sortedNode([...childrenOf(node), ...added]));
  return member === (a[self] !== undefined) ? node : withSelf(member, node);
}

/** The node with exactly this membership, whatever it said itself. */
function withSelf(member: boolean, node: FieldSet): FieldSet | undefined {
  const { [self]: was, ...children } = node;
  return nodeOf(member, was === undefined ? node : children);
}

/** How membership and subtrees of `a` fare where `b` says something. Answers undefined where nothing is left. */
type Rule = (a: FieldSet, b: FieldSet, isRoot: boolean) => FieldSet | undefined;

function without(a: FieldSet, b: FieldSet, isRoot: boolean, rule: Rule): FieldSet | undefined {
  let changed: Record<string, FieldSet | undefined> | undefined;
  for (const element in b) {
    const own = element === self ? undefined : a[element];
    if (own === undefined) continue;
    const left = rule(own, b[element]!, false);
    if (left === own) continue;
    changed ??= { ...a };
    changed[element] = left;
  }
  const member = !isRoot && isMember(a);
  if (changed === undefined) {
    return !isRoot && member && isMember(b) ? withSelf(false, a) : a;
  }
  return withSelf(member && !isMember(b), withoutGaps(changed));
}

/** A new object: one that a field is deleted from takes twice the time to serialize, and so does all around it. */
function withoutGaps(node: Readonly<Record<string, FieldSet | undefined>>): FieldSet {
  const filled: Record<string, FieldSet> = {};
  for (const element in node) {
    const child = node[element];
    if (child !== undefined) filled[element] = child;
  }
  return filled;
}

const exactly: Rule = (a, b, isRoot) => without(a, b, isRoot, exactly);
/** A member of `b` takes all below it along. */
const recursively: Rule = (a, b, isRoot) => (!isRoot && isMember(b) ? undefined : withoutBelow(a, b, isRoot));

function withoutBelow(a: FieldSet, b: FieldSet, isRoot: boolean): FieldSet | undefined {
  return without(a, b, isRoot, recursively);
}

/** The paths of `a` that are not in `b`, each for itself; `a` itself if that is all of them. */
export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return exactly(a, b, true) ?? emptySet;
}

/** The paths of `a` that neither are in `b` nor lie below one that is. */
export function recursiveDifference(a: FieldSet, b: FieldSet): FieldSet {
  return recursively(a, b, true) ?? emptySet;
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  return nodeIntersection(a, b, false) ?? emptySet;
}

function nodeIntersection(a: FieldSet, b: FieldSet, member: boolean): FieldSet | undefined {
  const children: Record<string, FieldSet> = {};
  for (const [element, child] of childrenOf(a)) {
    const other = b[element];
    if (other === undefined) continue;
    const both = nodeIntersection(child, other, isMember(child) && isMember(other));
    if (both) children[element] = both;
  }
  return nodeOf(member, children);
}

/** The set of one path. */
export function setOfPath(...elements: readonly string[]): FieldSet {
  return elements.reduceRight<FieldSet>((node, element) => ({ [element]: node }), emptySet);
}

/** Every path of the set, as messages show it: `.spec.replicas`; a node's members before what lies below them. */
export function pathsOf(set: FieldSet, prefix = ""): string[] {
  const children = childrenOf(set).map(
    ([element, child]) => [prefix + describeElement(element), child] as const,
  );
  return [
    ...children.filter(([, child]) => isMember(child)).map(([path]) => path),
    ...children.flatMap(([path, child]) => pathsOf(child, path)),
  ];
}

/** A client's FieldsV1 as a set: in order, each element in its one form. Undefined if it is none. */
export function parseSet(value: unknown): FieldSet | undefined {
  if (!isObject(value)) return undefined;
  const { [self]: own, ...rest } = value;
  if (own !== undefined && !(isObject(own) && Object.keys(own).length === 0)) return undefined;
  const entries: [string, FieldSet][] = [];
  for (const [text, child] of Object.entries(rest)) {
    const element = canonicalElement(text);
    const node = parseSet(child);
    if (element === undefined || node === undefined) return undefined;
    entries.push([element, node]);
  }
  return nodeOf(own !== undefined, sortedNode(entries)) ?? emptySet;
}
