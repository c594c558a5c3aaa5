/**
 * The runtime schema of every API type: generated text, one line for each type, expanded when the type is first asked
 * for, so that starting costs one split. The line's format stands in `scripts/generate/schema.ts`.
 */
import { assert } from "#base";
import { schemaText } from "../generated/schema.ts";

export type ScalarKind = "string" | "bool" | "bytes" | "int32" | "int64" | "double";

/** Types whose JSON is not the object of their fields. */
export type SpecialKind =
  | "time"
  | "microTime"
  | "quantity"
  | "intOrString"
  | "raw"
  | "fields"
  | "duration"
  | "schemaOrBool"
  | "schemaOrArray"
  | "schemaOrStrings"
  | "strings";

export interface FieldSchema {
  readonly name: string;
  /** A scalar, or `message`: then `type()` gives its schema. */
  readonly kind: ScalarKind | "message";
  readonly container: "" | "list" | "map";
  /** The schema of a message, expanded on first use. */
  type(): TypeSchema;
  readonly tag: number;
  readonly required: boolean;
  /** The JSON of an inlined message stands among the fields of its parent. */
  readonly inline: boolean;
  /** An atomic map or struct for server-side apply. */
  readonly atomic: boolean;
  /** Go leaves the field out when it is empty: not a pointer, not required. */
  readonly omitZero: boolean;
  readonly default: unknown;
  readonly enum: readonly string[];
  readonly listType: string;
  readonly listMapKeys: readonly string[];
  /** `merge`, `retainKeys`, `replace`. */
  readonly patchStrategy: readonly string[];
  readonly patchMergeKey: string;
}

export interface GroupVersionKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface TypeSchema {
  /** `io.k8s.api.core.v1.Pod`. */
  readonly name: string;
  /** As Go's messages name it: `v1.Pod`. */
  readonly goName: string;
  /** `Pod`. */
  readonly shortName: string;
  readonly special: SpecialKind | undefined;
  /** The type is a kind: `apiVersion` and `kind` stand in its JSON. */
  readonly gvk: GroupVersionKind | undefined;
  /** Served by Kubernetes' own OpenAPI. */
  readonly inOpenapi: boolean;
  readonly atomic: boolean;
  /** By name in JSON, inlined ones included. */
  readonly fields: ReadonlyMap<string, FieldSchema>;
  /** Required scalars, lists and maps: never absent in what was decoded, as they are no pointers in Go. */
  readonly alwaysPresent: readonly FieldSchema[];
  /** As the protobuf message has them: inlined messages are one field. */
  readonly ownFields: readonly FieldSchema[];
}

const scalarKinds: Record<string, ScalarKind> = {
  s: "string",
  b: "bool",
  y: "bytes",
  i: "int32",
  l: "int64",
  d: "double",
};

const lines = schemaText.split("\n");
const lineOfName = new Map<string, number>();
for (const [i, line] of lines.entries()) lineOfName.set(line.slice(0, line.indexOf("\t")), i);
// A cache of what is a pure function of a constant: the same for every cluster in the process.
const expanded: (TypeSchema | undefined)[] = new Array(lines.length);

/** Every type name, sorted. */
export function typeNames(): string[] {
  return [...lineOfName.keys()];
}

export function hasType(typeName: string): boolean {
  return lineOfName.has(typeName);
}

/** The schema of a type that must exist. */
export function schemaOf(typeName: string): TypeSchema {
  const index = lineOfName.get(typeName);
  assert(index !== undefined, `no such API type: ${typeName}`);
  return typeAt(index);
}

let byKind: Map<string, string> | undefined;

/** The type that a group, version and kind name; kinds that every group serves (`DeleteOptions`) are found in all. */
export function typeOfKind(gvk: GroupVersionKind): TypeSchema | undefined {
  byKind ??= indexKinds();
  const name = byKind.get(`${gvk.group}/${gvk.version}/${gvk.kind}`) ?? byKind.get(`*/v1/${gvk.kind}`);
  return name === undefined ? undefined : schemaOf(name);
}

function indexKinds(): Map<string, string> {
  const index = new Map<string, string>();
  for (const line of lines) {
    const [name, , , kinds] = line.split("\t", 4);
    for (const kind of kinds!.split(",")) if (kind) index.set(kind, name!);
  }
  // Options that clients send as bodies or queries: kinds of the meta group, served under every group version.
  for (const kind of [
    "CreateOptions",
    "UpdateOptions",
    "PatchOptions",
    "GetOptions",
    "ListOptions",
    "ApplyOptions",
  ])
    index.set(`*/v1/${kind}`, `io.k8s.apimachinery.pkg.apis.meta.v1.${kind}`);
  for (const kind of kindsBesideOpenapi) index.set(`/v1/${kind}`, `io.k8s.api.core.v1.${kind}`);
  return index;
}

/** Kinds of the core group that stand in no OpenAPI document. */
const kindsBesideOpenapi = [
  "List",
  "NodeProxyOptions",
  "PodAttachOptions",
  "PodExecOptions",
  "PodLogOptions",
  "PodPortForwardOptions",
  "PodProxyOptions",
  "PodStatusResult",
  "RangeAllocation",
  "SerializedReference",
  "ServiceProxyOptions",
];

function typeAt(index: number): TypeSchema {
  const done = expanded[index];
  if (done) return done;
  const [name, flags, special, kinds, fieldTexts] = lines[index]!.split("\t");
  const parts = name!.split(".");
  const ownFields = fieldTexts ? fieldTexts.split(";").map(parseField) : [];
  const fields = new Map<string, FieldSchema>();
  const alwaysPresent: FieldSchema[] = [];
  const type: TypeSchema = {
    name: name!,
    goName: parts.slice(-2).join("."),
    shortName: parts.at(-1)!,
    special: special ? (special as SpecialKind) : undefined,
    gvk: kinds ? parseKind(kinds) : undefined,
    inOpenapi: flags!.includes("o"),
    atomic: flags!.includes("a"),
    fields,
    alwaysPresent,
    ownFields,
  };
  expanded[index] = type;
  for (const field of ownFields) {
    if (!field.inline) fields.set(field.name, field);
    else for (const inner of field.type().fields.values()) fields.set(inner.name, inner);
  }
  for (const field of fields.values()) {
    if (field.required && (field.container !== "" || field.kind !== "message")) alwaysPresent.push(field);
  }
  return type;
}

function parseKind(text: string): GroupVersionKind {
  const [group, version, kind] = text.split(",", 1)[0]!.split("/");
  return { group: group === "*" ? "" : group!, version: version!, kind: kind! };
}

function words(text: string | undefined): string[] {
  return text ? text.split("|") : [];
}

function parseField(text: string): FieldSchema {
  const [name, code, tag, flags = "", literal, enums, listType = "", keys, strategy, mergeKey = ""] =
    text.split(",");
  const container = code!.startsWith("[") ? "list" : code!.startsWith("{") ? "map" : "";
  const element = container ? code!.slice(1) : code!;
  const scalar = scalarKinds[element];
  return {
    name: name!,
    kind: scalar ?? "message",
    container,
    type: () => typeAt(Number(element)),
    tag: Number(tag),
    required: flags.includes("r"),
    inline: flags.includes("n"),
    atomic: flags.includes("a"),
    omitZero: flags.includes("z"),
    default: literal ? JSON.parse(literal) : undefined,
    enum: words(enums),
    listType,
    listMapKeys: words(keys),
    patchStrategy: words(strategy),
    patchMergeKey: mergeKey,
  };
}
