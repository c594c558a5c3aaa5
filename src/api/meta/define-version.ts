/**
 * `defineVersion`: a further version of a kind. Its objects live in the storage and the watch cache of the stored
 * version, in that one's shape; requests are decoded and answered in their own.
 * https://kubernetes.io/docs/reference/using-api/#api-versioning
 */
import type { Column, FieldGetter, ResourceDefinition, StoredAs } from "./definition.ts";
import type { FieldError } from "./field-error.ts";
import { apiVersionOf, type KubernetesObject } from "./resource-type.ts";

/** What differs from the stored version; conversions may work in place, `apiVersion` and `kind` are not theirs to set. */
interface Given<T extends KubernetesObject, S extends KubernetesObject>
  extends Partial<
    Pick<
      ResourceDefinition<T>,
      | "group"
      | "resource"
      | "singular"
      | "shortNames"
      | "categories"
      | "verbs"
      | "subresources"
      | "columns"
      | "deprecation"
    >
  > {
  readonly version: string;
  readonly typeName: string;
  toStored?(object: T): S;
  fromStored?(object: S): T;
  /** Fills in what this version promises, before its objects become stored ones; those get their own defaults too. */
  defaults?(object: T): void;
  /** Names of selectable fields in this version, and what the stored one calls them; absent: the same. */
  readonly fieldLabels?: Readonly<Record<string, string>>;
  /** What only this version demands, said of the stored shape; `old` is undefined for a creation. */
  validateRequest?(object: Readonly<S>, old: Readonly<S> | undefined): FieldError[];
}

export function defineVersion<T extends KubernetesObject, S extends KubernetesObject>(
  stored: ResourceDefinition<S>,
  given: Given<T, S>,
): ResourceDefinition<T> {
  const {
    toStored,
    fromStored,
    validateRequest,
    fieldLabels = sameLabels(stored),
    defaults = () => {},
    ...rest
  } = given;
  const group = given.group ?? stored.group;
  const storedAs: StoredAs<T> = {
    definition: stored as unknown as ResourceDefinition,
    toStored: (object) =>
      named(toStored ? toStored(object) : (object as unknown as S), apiVersionOf(stored), stored.kind),
    fromStored: (object) =>
      named(
        fromStored ? fromStored(object as unknown as S) : (object as unknown as T),
        apiVersionOf({ group, version: given.version }),
        stored.kind,
      ),
    fieldLabels,
    ...(validateRequest ? { validateRequest: validateRequest as StoredAs<T>["validateRequest"] } : {}),
  };
  return {
    ...(stored as unknown as ResourceDefinition<T>),
    group,
    columns: convertedColumns(stored, storedAs),
    ...rest,
    ...strategyOf(stored, storedAs),
    defaults,
    storedAs,
  };
}

/** The definition whose storage holds the objects: itself, or the stored version. */
export function storedOf(definition: ResourceDefinition): ResourceDefinition {
  return definition.storedAs?.definition ?? definition;
}

function named<T extends KubernetesObject>(object: T, apiVersion: string, kind: string): T {
  object.apiVersion = apiVersion;
  object.kind = kind;
  return object;
}

function sameLabels(stored: Pick<ResourceDefinition, "selectableFields">): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.keys(stored.selectableFields).map((name) => [name, name]));
}

/** The definition's own functions take objects of its version: they work on the stored shape and take over what it became. */
function strategyOf<T extends KubernetesObject, S extends KubernetesObject>(
  stored: ResourceDefinition<S>,
  { toStored, fromStored, fieldLabels, validateRequest }: StoredAs<T>,
): Pick<
  ResourceDefinition<T>,
  | "gracePeriodSeconds"
  | "onCreate"
  | "onUpdate"
  | "onStatusUpdate"
  | "validate"
  | "validateUpdate"
  | "validateStatusUpdate"
  | "selectableFields"
> {
  const shape = (object: Readonly<T>) => {
    const inner = toStored(structuredClone(object) as T) as unknown as S;
    stored.defaults(inner);
    return inner;
  };
  const apply = (object: T, work: (inner: S) => void) => {
    const inner = shape(object);
    work(inner);
    const result = fromStored(inner as unknown as KubernetesObject);
    for (const key of Object.keys(object)) delete (object as unknown as Record<string, unknown>)[key];
    Object.assign(object, result);
  };
  const own = (object: S, old?: S) => validateRequest?.(object as never, old as never) ?? [];
  const selectableFields: Record<string, FieldGetter<T>> = {};
  for (const [name, storedName] of Object.entries(fieldLabels)) {
    selectableFields[name] = (object) => stored.selectableFields[storedName]?.(shape(object)) ?? "";
  }
  return {
    ...(stored.gracePeriodSeconds
      ? { gracePeriodSeconds: (object: Readonly<T>) => stored.gracePeriodSeconds!(shape(object)) }
      : {}),
    onCreate: (object, context) => apply(object, (inner) => stored.onCreate(inner, context)),
    onUpdate: (object, old, context) => apply(object, (inner) => stored.onUpdate(inner, shape(old), context)),
    onStatusUpdate: (object, old, context) =>
      apply(object, (inner) => stored.onStatusUpdate(inner, shape(old), context)),
    validate: (object) => [...stored.validate(shape(object)), ...own(shape(object))],
    validateUpdate: (object, old) => [
      ...stored.validateUpdate(shape(object), shape(old)),
      ...own(shape(object), shape(old)),
    ],
    validateStatusUpdate: (object, old) => stored.validateStatusUpdate(shape(object), shape(old)),
    selectableFields,
  };
}

/** The stored version's columns; an object is converted once for all its cells. */
function convertedColumns<T extends KubernetesObject, S extends KubernetesObject>(
  stored: ResourceDefinition<S>,
  { toStored }: StoredAs<T>,
): Column<T>[] {
  let last: { object: Readonly<T>; inner: S } | undefined;
  const shape = (object: Readonly<T>) => {
    if (last?.object !== object) {
      last = { object, inner: toStored(structuredClone(object) as T) as unknown as S };
    }
    return last.inner;
  };
  return stored.columns.map((column) => ({
    ...column,
    cell: (object, nowMs) => column.cell(shape(object), nowMs),
  }));
}
