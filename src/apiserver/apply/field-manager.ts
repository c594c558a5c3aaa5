/**
 * Field management of one write: `metadata.managedFields` after an update, and the object after an apply.
 * https://kubernetes.io/docs/reference/using-api/server-side-apply/
 */
import {
  apiVersionOf,
  badRequest,
  formatTime,
  hasType,
  isObject,
  type JsonSchema,
  type KubernetesObject,
  type metav1,
  type ResourceDefinition,
  StatusError,
  sameJson,
} from "#api";
import { conflictError } from "./conflicts.ts";
import { shapeOfCustom } from "./custom-shape.ts";
import { difference, isEmptySet } from "./field-set.ts";
import { resetFields } from "./ignored-fields.ts";
import { fieldsOfClientSideApply, kubectl, withLastApplied } from "./last-applied.ts";
import {
  capManagers,
  encodeManagers,
  isReset,
  type Manager,
  parseManagers,
  storedManagers,
} from "./managed-fields.ts";
import { type MapShape, type Shape, shapeOfType } from "./shape.ts";
import { mergeTyped, validateTyped } from "./typed.ts";
import { type Applied, applyConfig, type Conflict, ownersAfterUpdate, type Writer } from "./updater.ts";
import { emptyObject, type Json } from "./walk.ts";

/** What field management has to know of a resource. */
export type ManagedKind = Pick<
  ResourceDefinition,
  "group" | "version" | "kind" | "typeName" | "subresources"
> & {
  /** Of a custom resource. */
  readonly schema?: Readonly<JsonSchema>;
};

/** One write, as field management sees it. */
export interface ManagedWrite {
  readonly definition: ManagedKind;
  /** The version that owners are told in, where it is another one: that of the object behind a Scale. */
  readonly ownersVersion?: string;
  readonly subresource: string;
  /** Who writes, as the request says. */
  readonly manager: string;
  readonly nowMs: number;
}

function shapeOf({ typeName, schema }: ManagedKind): MapShape {
  return hasType(typeName) ? shapeOfType(typeName) : shapeOfCustom(schema);
}

/** A configuration laid over an object as an apply does, without any owners. Throws what is wrong with it. */
export function layOver(kind: ManagedKind, live: unknown, config: unknown): unknown {
  const shape = shapeOf(kind);
  const errors = validateTyped(shape, config);
  if (errors.length > 0) throw new Error(errors.join("; "));
  return mergeTyped(shape, live, config);
}

function writerOf(write: ManagedWrite, operation: Manager["operation"]): Writer {
  return {
    name: write.manager,
    operation,
    apiVersion: write.ownersVersion ?? apiVersionOf(write.definition),
    subresource: write.subresource,
    time: formatTime(write.nowMs),
  };
}

function withoutManagedFields(object: Readonly<KubernetesObject>): Json {
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

// Pure functions of constant shapes.
const emptyObjects = new WeakMap<MapShape, Json>();

function emptyOf(shape: MapShape): Json {
  let empty = emptyObjects.get(shape);
  if (!empty) {
    empty = emptyObject(shape);
    emptyObjects.set(shape, empty);
  }
  return empty;
}

/** Sets `metadata.managedFields` of an object about to be written; `old` is undefined for a creation. */
export function trackUpdate(
  write: ManagedWrite,
  old: Readonly<KubernetesObject> | undefined,
  object: KubernetesObject,
): void {
  const { metadata } = object;
  const managers = managersBefore(write, old, metadata.managedFields);
  // Not deleted yet: see `asRead`.
  if (metadata.managedFields) Object.assign(metadata, { managedFields: undefined });
  const entries = entriesAfter(write, old, object, managers);
  if (entries) metadata.managedFields = entries;
  else delete metadata.managedFields;
}

function entriesAfter(
  write: ManagedWrite,
  old: Readonly<KubernetesObject> | undefined,
  object: KubernetesObject,
  managers: readonly Manager[],
): metav1.ManagedFieldsEntry[] | undefined {
  // Whose owners were wiped out stays without until somebody applies.
  if (old && managers.length === 0) return undefined;
  const shape = shapeOf(write.definition);
  const before = old ? withoutManagedFields(old) : emptyOf(shape);
  const after = ownersAfterUpdate(
    shape,
    before,
    object as unknown as Json,
    managers,
    writerOf(write, "Update"),
    resetFields(write.definition, write.subresource),
  );
  return encodeManagers(capManagers(after));
}

/**
 * A client may write owners itself: with the object, not through a subresource. What means nothing is ignored in favour
 * of what is stored, so that clients that know nothing of owners do not lose them.
 */
function managersBefore(
  write: ManagedWrite,
  old: Readonly<KubernetesObject> | undefined,
  requested: readonly metav1.ManagedFieldsEntry[] | undefined,
): readonly Manager[] {
  const stored = old?.metadata.managedFields;
  if (write.subresource !== "" || requested === undefined || sameJson(requested, stored)) {
    return storedManagers(stored);
  }
  if (isReset(requested)) return [];
  const parsed = parseManagers(requested);
  return parsed && parsed.length > 0 ? parsed : storedManagers(stored);
}

/** What somebody else has written, in the one form that is stored; undefined if it means nothing. */
export function canonicalOwners(
  entries: readonly metav1.ManagedFieldsEntry[],
): metav1.ManagedFieldsEntry[] | undefined {
  const managers = entries.every((entry) => isObject(entry)) ? parseManagers(entries) : undefined;
  return managers && encodeManagers(managers);
}

/** The object that an applied configuration makes of the live one, owners included. Throws a 400 or the 409. */
export function applyTo(
  write: ManagedWrite & { readonly force: boolean },
  live: Readonly<KubernetesObject> | undefined,
  config: Json,
): Json {
  const { definition } = write;
  const shape = shapeOf(definition);
  checkConfig(definition, shape, config);
  const before = live ? withoutManagedFields(live) : emptyOf(shape);
  const managers = live ? managersForApply(write, shape, live, before) : [];
  const writer = writerOf(write, "Apply");
  const ignored = resetFields(definition, write.subresource);
  const applied = applyConfig(shape, before, config, managers, writer, ignored);
  if (!write.force) refuseConflicts(write, shape, before, applied);
  const object = write.manager === kubectl ? withLastApplied(applied.object, config) : applied.object;
  const entries = encodeManagers(applied.managers);
  const metadata = { ...(object.metadata as Json), ...(entries ? { managedFields: entries } : {}) };
  return { ...object, metadata };
}

/** Who owned what before anybody applied, if that was never told. */
const beforeFirstApply = "before-first-apply";

function managersForApply(
  write: ManagedWrite,
  shape: MapShape,
  live: Readonly<KubernetesObject>,
  before: Json,
): readonly Manager[] {
  const stored = storedManagers(live.metadata.managedFields);
  if (stored.length > 0) return stored;
  const writer = writerOf({ ...write, manager: beforeFirstApply }, "Update");
  const ignored = resetFields(write.definition, write.subresource);
  return ownersAfterUpdate(shape, emptyOf(shape), before, [], writer, ignored);
}

function refuseConflicts(write: ManagedWrite, shape: Shape, live: Json, { conflicts }: Applied): void {
  if (conflicts.length === 0) return;
  const apiVersion = apiVersionOf(write.definition);
  const allowed = write.manager === kubectl ? fieldsOfClientSideApply(shape, live, apiVersion) : undefined;
  const left: Conflict[] = allowed
    ? conflicts
        .map(({ manager, set }) => ({ manager, set: difference(set, allowed) }))
        .filter(({ set }) => !isEmptySet(set))
    : [...conflicts];
  if (left.length > 0) throw conflictError(left);
}

function checkConfig(definition: ManagedKind, shape: Shape, config: Json): void {
  const { apiVersion, kind, metadata } = config;
  const { group, version } = definition;
  if (apiVersion !== apiVersionOf(definition) || kind !== definition.kind) {
    throw badRequest(`invalid object type: ${kindText(apiVersion, kind)}`);
  }
  const { managedFields, name, namespace } = (metadata ?? {}) as Json;
  if (managedFields !== undefined && managedFields !== null) {
    throw badRequest("metadata.managedFields must be nil");
  }
  const errors = validateTyped(shape, config);
  if (errors.length === 0) return;
  const all = errors.length === 1 ? errors[0] : ["errors:", ...errors.map((e) => `  ${e}`)].join("\n");
  const where = `${namespace ?? ""}/${name ?? ""}; ${group}/${version}, Kind=${definition.kind}`;
  throw StatusError.of(400, "BadRequest", `failed to create typed patch object (${where}): ${all}`);
}

/** `apps/v1, Kind=Deployment`, as Go prints a kind. */
function kindText(apiVersion: unknown, kind: unknown): string {
  const given = typeof apiVersion === "string" ? apiVersion.slice(0, 200) : "";
  const groupVersion = given.includes("/") ? given : `/${given}`;
  return `${groupVersion}, Kind=${typeof kind === "string" ? kind.slice(0, 200) : ""}`;
}
