/**
 * `defineResource`: everything that is special about one resource. Storage, generation, patch, watch, tables and
 * OpenAPI are generic and read this definition.
 */
import type { FieldError } from "./field-error.ts";
import type { KubernetesObject, ResourceType } from "./resource-type.ts";

/** A column of `kubectl get`; priority 0 is always shown, 1 only with `-o wide`. */
export interface Column<T> {
  name: string;
  type: "string" | "integer" | "number" | "boolean" | "date";
  format?: string;
  description: string;
  priority: 0 | 1;
  /** The cell; `nowMs` makes ages. */
  cell(object: Readonly<T>, nowMs: number): unknown;
}

/** How the verbs of discovery are served. */
export type Verb = "create" | "delete" | "deletecollection" | "get" | "list" | "patch" | "update" | "watch";

/** Who asks: some kinds keep it. */
export interface Requester {
  readonly username: string;
  readonly groups: readonly string[];
  readonly uid?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

/** What a strategy may ask of the world while it prepares an object. */
export interface StrategyContext {
  nowMs: number;
  user?: Requester;
}

/** `status` writes only the status; `scale` maps to a Scale; the others are handled by name in the API server. */
export interface SubresourceDefinition {
  kind: string;
  /** Group and version of that kind where they are not the resource's own. */
  group?: string;
  version?: string;
  verbs: readonly string[];
}

/** Reads one selectable field. A method's type, so that definitions of one kind fit where any kind is asked for. */
export type FieldGetter<T> = { get(object: Readonly<T>): string }["get"];

/** How objects of a further version stand in the storage of another definition. */
export interface StoredAs<T extends KubernetesObject = KubernetesObject> {
  readonly definition: ResourceDefinition;
  /** Both take an object of the caller's own, and may change it or answer another. */
  toStored(object: T): KubernetesObject;
  fromStored(object: KubernetesObject): T;
  /** Selectable fields of this version and their names in the stored one. */
  readonly fieldLabels: Readonly<Record<string, string>>;
  /** What this version demands beyond `validate` and `validateUpdate`, said of the stored shape. */
  validateRequest?(
    object: Readonly<KubernetesObject>,
    old: Readonly<KubernetesObject> | undefined,
  ): FieldError[];
}

export interface ResourceDefinition<T extends KubernetesObject = KubernetesObject> extends ResourceType<T> {
  /** Key of the object's type in the schema tables: `io.k8s.api.core.v1.Pod`. */
  readonly typeName: string;
  /** Of the list, where it is not the kind with `List` behind it. */
  readonly listKind?: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly Verb[];
  readonly subresources: Readonly<Record<string, SubresourceDefinition>>;
  /** The kind has `metadata.generation`: it is 1 at creation and grows with every change of the spec. */
  readonly hasGeneration: boolean;
  /** Seconds a deletion waits for somebody else to finish it (pods); undefined: deleted at once. */
  gracePeriodSeconds?(object: Readonly<T>): number;
  /** Errors of `metadata.name`; shared validators stand in `validation/names.ts`. */
  validateName(name: string, prefix: boolean): string[];
  /** Finalizers need no domain: custom resources and their definitions. */
  readonly plainFinalizers?: boolean;
  /** Fills in what the documentation promises when a field is absent. In place. */
  defaults(object: T): void;
  /** Resets what a client may not set at creation (status…). In place. */
  onCreate(object: T, context: StrategyContext): void;
  /** Keeps what a client may not change through the main endpoint (status…). In place. */
  onUpdate(object: T, old: Readonly<T>, context: StrategyContext): void;
  /** As `onUpdate`, for the `status` subresource: usually keeps everything but the status. */
  onStatusUpdate(object: T, old: Readonly<T>, context: StrategyContext): void;
  /** What a deletion adds before anything is removed: finalizers, conditions. In place. */
  onDelete?(object: T, context: StrategyContext): void;
  /** All errors of a new object, metadata aside (the registry validates that). */
  validate(object: Readonly<T>): FieldError[];
  /** All errors of a change, those of `validate` included. */
  validateUpdate(object: Readonly<T>, old: Readonly<T>): FieldError[];
  validateStatusUpdate(object: Readonly<T>, old: Readonly<T>): FieldError[];
  /** What a client should be told though its write is good; `old` is undefined for a creation. */
  warnings?(object: Readonly<T>, old: Readonly<T> | undefined): string[];
  /** Told with every answer of this version: since when there is something better. */
  readonly deprecation?: string;
  /** Field selectors beside `metadata.name` and `metadata.namespace`. */
  readonly selectableFields: Readonly<Record<string, FieldGetter<T>>>;
  readonly columns: readonly Column<T>[];
  /** Absent: objects are stored in this very shape. Made by `defineVersion`. */
  readonly storedAs?: StoredAs<T>;
}
