/** API types as the schemas of OpenAPI v2 and v3. */
import {
  type Descriptions,
  type FieldSchema,
  type ResourceDefinition,
  schemaOf,
  type TypeSchema,
} from "#api";
import { deleteOptionsType, patchType, statusType } from "./operations.ts";

export type Schema = Record<string, unknown>;
export type Dialect = "v2" | "v3";

const kindDescriptions: Record<string, string> = {
  apiVersion:
    "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized schemas to the latest internal value, and may reject unrecognized values. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources",
  kind: "Kind is a string value representing the REST resource this object represents. Servers may infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds",
};

const conventions = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md";

/** What the documentation's source leaves out: fields whose type is an object of its own. */
const commonFields: Record<string, string> = {
  metadata: `Standard object's metadata. More info: ${conventions}#metadata`,
  spec: `Specification of the desired behavior. More info: ${conventions}#spec-and-status`,
  status: `Most recently observed status. It may not be up to date. Populated by the system. Read-only. More info: ${conventions}#spec-and-status`,
  template: "Describes the pods that will be created.",
  selector: "A label query over the objects that belong to this one.",
  strategy: "How existing pods are replaced with new ones.",
  resources:
    "Compute resources required. More info: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
  securityContext:
    "Security options. More info: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/",
  livenessProbe:
    "Periodic probe of container liveness. The container will be restarted if it fails. More info: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle#container-probes",
  readinessProbe:
    "Periodic probe of container service readiness. The container will be removed from service endpoints if it fails. More info: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle#container-probes",
  startupProbe:
    "Tells that the container has started: no other probe runs before it succeeds. More info: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle#container-probes",
  lifecycle: "Actions to take in response to container lifecycle events.",
  affinity: "The pod's scheduling constraints.",
};

/** The schemas of all types that `roots` lead to, by name. */
export function schemasOf(
  roots: Iterable<string>,
  dialect: Dialect,
  descriptions: Descriptions,
  custom: ReadonlyMap<string, Schema>,
): Record<string, Schema> {
  const schemas = new Map(custom);
  const metadata = custom.size > 0 ? [objectMetaType, listMetaType] : [];
  const pending = [...new Set([...roots, ...metadata, deleteOptionsType, statusType])];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (schemas.has(name)) continue;
    const type = schemaOf(name);
    schemas.set(name, typeSchema(type, dialect, descriptions));
    if (type.special) continue;
    for (const field of type.fields.values()) if (field.kind === "message") pending.push(field.type().name);
  }
  schemas.set(patchType, {
    description: "Patch is provided to give a concrete name and type to the Kubernetes PATCH request body.",
    type: "object",
  });
  return Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
}

const metaTypes = "io.k8s.apimachinery.pkg.apis.meta.v1";
export const objectMetaType = `${metaTypes}.ObjectMeta`;
const listMetaType = `${metaTypes}.ListMeta`;

/** What says of which kind an object is, in a schema's `properties`. */
export const kindSchemas: Readonly<Record<string, Schema>> = Object.fromEntries(
  Object.entries(kindDescriptions).map(([name, description]) => [name, { description, type: "string" }]),
);

/** The list of a custom resource. */
export function listSchema(
  { typeName, kind, group, version, listKind = `${kind}List` }: ResourceDefinition,
  dialect: Dialect,
): Schema {
  const reference = (name: string): Schema => {
    const $ref = referenceTo(name, dialect);
    return dialect === "v2" ? { $ref } : { allOf: [{ $ref }] };
  };
  return {
    description: `${listKind} is a list of ${kind}`,
    type: "object",
    required: ["items"],
    properties: {
      ...kindSchemas,
      items: {
        description: `List of ${typeName.split(".").at(-1)?.toLowerCase()}s.`,
        type: "array",
        items: reference(typeName),
      },
      metadata: {
        description: `Standard list metadata. More info: ${conventions}#types-kinds`,
        ...reference(listMetaType),
      },
    },
    "x-kubernetes-group-version-kind": [{ group, kind: listKind, version }],
  };
}

function described(description: string | undefined): Schema {
  return description ? { description } : {};
}

function typeSchema(type: TypeSchema, dialect: Dialect, descriptions: Descriptions): Schema {
  const texts = descriptions[type.name] ?? {};
  const about = described(texts[""]);
  if (type.special) return { ...about, ...specialSchema(type, dialect) };
  const properties: Record<string, Schema> = {};
  if (type.gvk) {
    Object.assign(properties, structuredClone(kindSchemas));
  }
  const required: string[] = [];
  for (const [name, field] of [...type.fields].sort(([a], [b]) => (a < b ? -1 : 1))) {
    properties[name] = fieldSchema(field, texts[name], dialect, descriptions);
    if (field.required) required.push(name);
  }
  return {
    ...about,
    type: "object",
    ...(required.length > 0 ? { required } : {}),
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
    ...(type.gvk ? { "x-kubernetes-group-version-kind": [{ ...type.gvk }] } : {}),
    ...(type.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
  };
}

function specialSchema(type: TypeSchema, dialect: Dialect): Schema {
  switch (type.special) {
    case "time":
    case "microTime":
      return { type: "string", format: "date-time" };
    case "quantity":
      return dialect === "v2" ? { type: "string" } : { oneOf: [{ type: "string" }, { type: "number" }] };
    case "intOrString":
      if (dialect === "v2") return { type: "string", format: "int-or-string" };
      return { format: "int-or-string", oneOf: [{ type: "integer" }, { type: "string" }] };
    case "duration":
      return { type: "string" };
    case "strings":
      return { type: "array", items: { type: "string" } };
    case "raw":
    case "fields":
      return type.shortName === "JSON" ? {} : { type: "object" };
    default:
      return {};
  }
}

const scalars: Record<string, Schema> = {
  string: { type: "string" },
  bool: { type: "boolean" },
  bytes: { type: "string", format: "byte" },
  int32: { type: "integer", format: "int32" },
  int64: { type: "integer", format: "int64" },
  double: { type: "number", format: "double" },
};

export function referenceTo(typeName: string, dialect: Dialect): string {
  return `${dialect === "v2" ? "#/definitions/" : "#/components/schemas/"}${typeName}`;
}

function fieldSchema(
  field: FieldSchema,
  text: string | undefined,
  dialect: Dialect,
  descriptions: Descriptions,
): Schema {
  const inner = field.kind === "message" ? descriptions[field.type().name]?.[""] : undefined;
  const isObject = field.kind === "message" && field.container === "";
  const about = described(text ?? (isObject ? (commonFields[field.name] ?? inner) : undefined));
  const extensions = {
    ...(field.listType ? { "x-kubernetes-list-type": field.listType } : {}),
    ...(field.listMapKeys.length > 0 ? { "x-kubernetes-list-map-keys": field.listMapKeys } : {}),
    ...(field.atomic ? { "x-kubernetes-map-type": "atomic" } : {}),
    ...(field.patchMergeKey ? { "x-kubernetes-patch-merge-key": field.patchMergeKey } : {}),
    ...(field.patchStrategy.length > 0
      ? { "x-kubernetes-patch-strategy": field.patchStrategy.join(",") }
      : {}),
  };
  const initial = field.default === undefined ? {} : { default: field.default };
  if (field.container === "list")
    return { ...about, type: "array", items: elementSchema(field, dialect), ...extensions };
  if (field.container === "map") {
    return { ...about, type: "object", additionalProperties: elementSchema(field, dialect), ...extensions };
  }
  if (field.kind === "message") {
    const $ref = referenceTo(field.type().name, dialect);
    // A reference allows nothing beside it in v3.
    return dialect === "v2"
      ? { ...about, $ref, ...extensions }
      : { ...about, allOf: [{ $ref }], ...extensions };
  }
  const values = dialect === "v3" && field.enum.length > 0 ? { enum: [...field.enum].sort() } : {};
  return { ...about, ...scalars[field.kind], ...initial, ...values, ...extensions };
}

function elementSchema(field: FieldSchema, dialect: Dialect): Schema {
  if (field.kind !== "message") return { ...scalars[field.kind] };
  const $ref = referenceTo(field.type().name, dialect);
  return dialect === "v2" ? { $ref } : { allOf: [{ $ref }] };
}
