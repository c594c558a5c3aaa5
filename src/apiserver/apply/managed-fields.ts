/**
 * `metadata.managedFields`: who owns which fields of an object.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
 */
import type { metav1 } from "#api";
import { type FieldSet, isEmptySet, parseSet, union } from "./field-set.ts";

type Entry = metav1.ManagedFieldsEntry;

/** One owner and what it owns; never changed. */
export interface Manager {
  readonly name: string;
  readonly operation: "Apply" | "Update";
  readonly apiVersion: string;
  readonly subresource: string;
  readonly time: string | undefined;
  readonly set: FieldSet;
}

/** Two entries are of one owner; whoever applies stays the same over all versions. */
export function isSameManager(a: Omit<Manager, "set" | "time">, b: Omit<Manager, "set" | "time">): boolean {
  return (
    a.name === b.name &&
    a.operation === b.operation &&
    a.subresource === b.subresource &&
    (a.operation === "Apply" || a.apiVersion === b.apiVersion)
  );
}

/** What this server has stored: its own form needs no checks. */
export function storedManagers(entries: readonly Entry[] | undefined): Manager[] {
  return (entries ?? []).map((entry) => managerOf(entry, (entry.fieldsV1 ?? {}) as FieldSet));
}

/** What a client sends; undefined if an entry of it means nothing. */
export function parseManagers(entries: readonly Entry[]): Manager[] | undefined {
  const managers: Manager[] = [];
  for (const entry of entries) {
    if (entry.operation !== "Apply" && entry.operation !== "Update") return undefined;
    if (!entry.apiVersion || entry.fieldsType !== "FieldsV1") return undefined;
    const set = parseSet(entry.fieldsV1 ?? {});
    if (set === undefined) return undefined;
    const manager = managerOf(entry, set);
    const at = managers.findIndex((other) => isSameManager(other, manager));
    // Of entries of one owner the last one counts.
    if (at < 0) managers.push(manager);
    else managers[at] = manager;
  }
  return managers;
}

function managerOf(entry: Entry, set: FieldSet): Manager {
  return {
    name: entry.manager ?? "",
    operation: entry.operation === "Apply" ? "Apply" : "Update",
    apiVersion: entry.apiVersion ?? "",
    subresource: entry.subresource ?? "",
    time: entry.time,
    set,
  };
}

/** Sorted as upstream sorts them; owners of nothing are left out. Undefined if nobody is left. */
export function encodeManagers(managers: readonly Manager[]): Entry[] | undefined {
  const entries = managers.filter(({ set }) => !isEmptySet(set)).sort(compareManagers);
  if (entries.length === 0) return undefined;
  return entries.map(({ name, operation, apiVersion, subresource, time, set }) => ({
    ...(name ? { manager: name } : {}),
    operation,
    apiVersion,
    ...(time ? { time } : {}),
    fieldsType: "FieldsV1",
    fieldsV1: set,
    ...(subresource ? { subresource } : {}),
  })) as Entry[];
}

function compareManagers(a: Manager, b: Manager): number {
  return (
    compareTexts(a.operation, b.operation) ||
    compareTexts(a.time ?? "", b.time ?? "") ||
    compareTexts(a.name, b.name) ||
    compareTexts(a.apiVersion, b.apiVersion) ||
    compareTexts(a.subresource, b.subresource)
  );
}

function compareTexts(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

/** So many owners by update are told apart; older ones than these become one. */
const updateManagersMax = 10;
const ancientChanges = "ancient-changes";

/** The oldest updaters of one version are merged into a bucket until few enough are left. */
export function capManagers(managers: readonly Manager[]): Manager[] {
  const capped = [...managers];
  const updaters = capped.filter(({ operation }) => operation === "Update");
  let tooMany = updaters.length - updateManagersMax;
  if (tooMany <= 0) return capped;
  updaters.sort((a, b) => compareTexts(a.time ?? "", b.time ?? "") || compareTexts(a.name, b.name));
  const firstOfVersion = new Map<string, Manager>();
  for (const manager of updaters) {
    if (tooMany <= 0) break;
    const first = firstOfVersion.get(manager.apiVersion);
    if (!first) {
      firstOfVersion.set(manager.apiVersion, manager);
      continue;
    }
    const identity = { ...manager, name: ancientChanges, subresource: "" };
    const existing = capped.find((other) => other !== manager && isSameManager(other, identity));
    const base = existing ?? first;
    const bucket: Manager = { ...identity, set: union(base.set, manager.set) };
    capped.splice(capped.indexOf(base), 1, bucket);
    capped.splice(capped.indexOf(manager), 1);
    if (base === first) firstOfVersion.set(manager.apiVersion, bucket);
    tooMany--;
  }
  return capped;
}

/** `[]` and `[{}]`: the client wants nobody to own anything. */
export function isReset(entries: readonly Entry[] | undefined): boolean {
  if (entries === undefined) return false;
  return entries.length === 0 || (entries.length === 1 && Object.keys(entries[0]!).length === 0);
}
