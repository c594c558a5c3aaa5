/** What can be called, version of OpenAPI aside: derived from the resource definitions. */
import {
  type GroupVersionKind,
  pathOf,
  type ResourceDefinition,
  type SubresourceDefinition,
  schemaOf,
  typeOfKind,
} from "#api";

import { customOf } from "../customresources/custom-definition.ts";

interface QueryParameter {
  name: string;
  type: "string" | "boolean" | "integer";
  description: string;
}

export interface Operation {
  path: string;
  method: "get" | "post" | "put" | "patch" | "delete";
  /** `list`, `post`, `watch`, `connect`… as `x-kubernetes-action`. */
  action: string;
  id: string;
  description: string;
  tag: string;
  gvk: GroupVersionKind;
  /** Type names; `patch` is any of the patch types. */
  body: string | "patch" | undefined;
  response: string | undefined;
  /** Of a custom resource: no protobuf, no strategic merge patch. */
  isCustom: boolean;
  query: readonly QueryParameter[];
}

const meta = "io.k8s.apimachinery.pkg.apis.meta.v1";
export const deleteOptionsType = `${meta}.DeleteOptions`;
export const statusType = `${meta}.Status`;
export const patchType = `${meta}.Patch`;

const text = (name: string, description: string): QueryParameter => ({ name, type: "string", description });
const flag = (name: string, description: string): QueryParameter => ({ name, type: "boolean", description });
const count = (name: string, description: string): QueryParameter => ({ name, type: "integer", description });

const pretty = text(
  "pretty",
  "If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a browser or command-line HTTP tool (curl and wget).",
);
const dryRun = text(
  "dryRun",
  "When present, indicates that modifications should not be persisted. An invalid or unrecognized dryRun directive will result in an error response and no further processing of the request. Valid values are: - All: all dry run stages will be processed",
);
const fieldManager = text(
  "fieldManager",
  "fieldManager is a name associated with the actor or entity that is making these changes. The value must be less than or 128 characters long, and only contain printable characters, as defined by https://golang.org/pkg/unicode/#IsPrint.",
);
const fieldValidation = text(
  "fieldValidation",
  "fieldValidation instructs the server on how to handle objects in the request (POST/PUT/PATCH) containing unknown or duplicate fields. Valid values are: - Ignore: This will ignore any unknown fields that are silently dropped from the object, and will ignore all but the last duplicate field that the decoder encounters. - Warn: This will send a warning via the standard warning response header for each unknown field that is dropped from the object, and for each duplicate field that is encountered. - Strict: This will fail the request with a BadRequest error if any unknown fields would be dropped from the object, or if any duplicate fields are present.",
);
const force = flag(
  "force",
  'Force is going to "force" Apply requests. It means user will re-acquire conflicting fields owned by other people. Force flag must be unset for non-apply patch requests.',
);

const listQuery: readonly QueryParameter[] = [
  pretty,
  flag(
    "allowWatchBookmarks",
    'allowWatchBookmarks requests watch events with type "BOOKMARK". Servers that do not implement bookmarks may ignore this flag and bookmarks are sent at the server\'s discretion.',
  ),
  text("continue", "The continue option should be set when retrieving more results from the server."),
  text(
    "fieldSelector",
    "A selector to restrict the list of returned objects by their fields. Defaults to everything.",
  ),
  text(
    "labelSelector",
    "A selector to restrict the list of returned objects by their labels. Defaults to everything.",
  ),
  count(
    "limit",
    "limit is a maximum number of responses to return for a list call. If more items exist, the server will set the `continue` field on the list metadata to a value that can be used with the same initial query to retrieve the next set of results.",
  ),
  text(
    "resourceVersion",
    "resourceVersion sets a constraint on what resource versions a request may be served from. See https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions for details. Defaults to unset",
  ),
  text(
    "resourceVersionMatch",
    "resourceVersionMatch determines how resourceVersion is applied to list calls. It is highly recommended that resourceVersionMatch be set for list calls where resourceVersion is set See https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions for details. Defaults to unset",
  ),
  flag(
    "sendInitialEvents",
    "`sendInitialEvents=true` may be set together with `watch=true`. In that case, the watch stream will begin with synthetic events to produce the current state of objects in the collection.",
  ),
  count(
    "timeoutSeconds",
    "Timeout for the list/watch call. This limits the duration of the call, regardless of any activity or inactivity.",
  ),
  flag(
    "watch",
    "Watch for changes to the described resources and return them as a stream of add, update, and remove notifications. Specify resourceVersion.",
  ),
];
const writeQuery = [pretty, dryRun, fieldManager, fieldValidation];
const deleteQuery: readonly QueryParameter[] = [
  pretty,
  dryRun,
  count(
    "gracePeriodSeconds",
    "The duration in seconds before the object should be deleted. Value must be non-negative integer. The value zero indicates delete immediately.",
  ),
  flag(
    "orphanDependents",
    "Deprecated: please use the PropagationPolicy, this field will be deprecated in 1.7. Should the dependent objects be orphaned.",
  ),
  text(
    "propagationPolicy",
    "Whether and how garbage collection will be performed. Acceptable values are: 'Orphan', 'Background' and 'Foreground'.",
  ),
];

function pascal(text: string): string {
  return text
    .split(/[^A-Za-z0-9]/)
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join("");
}

/** `core_v1`, `apps_v1`. */
function tagOf(d: { group: string; version: string }): string {
  return `${d.group.split(".")[0] || "core"}_${d.version}`;
}

type Partially = Omit<Operation, "tag" | "gvk" | "isCustom">;

/** Every operation of one resource, its subresources included. */
export function operationsOf(d: ResourceDefinition): Operation[] {
  const tag = tagOf(d);
  const isCustom = customOf(d) !== undefined;
  const gvk = { group: d.group, version: d.version, kind: d.kind };
  const idTail = `${pascal(tag)}${d.namespaced ? "Namespaced" : ""}${d.kind}`;
  const collection = pathOf(d, { namespace: "NAMESPACE" }).replace("NAMESPACE", "{namespace}");
  const item = `${collection}/{name}`;
  const verbs = new Set<string>(d.verbs);
  const own = [...collectionOperations(d, collection, idTail), ...itemOperations(d, item, idTail)]
    .filter((o) => verbs.has(verbOf[o.action] ?? o.action))
    .map((o) => ({ ...o, tag, gvk, isCustom }));
  const subresources = Object.entries(d.subresources);
  const parts = subresources.flatMap(([name, s]) =>
    name === "proxy" ? [[name, s] as const, ["proxy/{path}", s] as const] : [[name, s] as const],
  );
  return [...own, ...parts.flatMap(([name, s]) => subresourceOperations(d, name, s, item, idTail))];
}

/** The verb of discovery behind an action. */
const verbOf: Record<string, string> = { post: "create", put: "update" };

function collectionOperations(d: ResourceDefinition, path: string, idTail: string): Partially[] {
  const list = {
    method: "get",
    action: "list",
    description: `list or watch objects of kind ${d.kind}`,
    body: undefined,
    response: listTypeOf(d),
    query: listQuery,
  } as const;
  const everywhere: Partially = {
    ...list,
    path: pathOf(d, {}),
    id: `list${pascal(tagOf(d))}${d.kind}ForAllNamespaces`,
  };
  return [
    { ...list, path, id: `list${idTail}` },
    ...(d.namespaced ? [everywhere] : []),
    {
      path,
      method: "post",
      action: "post",
      id: `create${idTail}`,
      description: `create ${article(d.kind)}`,
      body: d.typeName,
      response: d.typeName,
      query: writeQuery,
    },
    {
      path,
      method: "delete",
      action: "deletecollection",
      id: `deleteCollection${idTail}`,
      description: `delete collection of ${d.kind}`,
      body: deleteOptionsType,
      response: statusType,
      query: [...deleteQuery, ...listQuery.filter((q) => q !== pretty)],
    },
  ];
}

function itemOperations(d: ResourceDefinition, path: string, idTail: string): Partially[] {
  const operation = (
    method: Operation["method"],
    action: string,
    verb: string,
    rest: Pick<Operation, "body" | "query"> & { response?: string },
  ): Partially => ({
    path,
    method,
    action,
    id: `${verb}${idTail}`,
    description: `${verb} the specified ${d.kind}`,
    response: d.typeName,
    ...rest,
  });
  return [
    operation("get", "get", "read", { body: undefined, query: [pretty] }),
    operation("put", "put", "replace", { body: d.typeName, query: writeQuery }),
    operation("patch", "patch", "patch", { body: "patch", query: [...writeQuery, force] }),
    operation("delete", "delete", "delete", {
      body: deleteOptionsType,
      response: statusType,
      query: deleteQuery,
    }),
  ];
}

function article(kind: string): string {
  return `${/^[AEIOU]/.test(kind) ? "an" : "a"} ${kind}`;
}

function listTypeOf(d: { typeName: string }): string {
  return `${d.typeName}List`;
}

const connectKinds = new Set([
  "PodAttachOptions",
  "PodExecOptions",
  "PodPortForwardOptions",
  "PodProxyOptions",
  "ServiceProxyOptions",
  "NodeProxyOptions",
]);
const methods: Record<string, Operation["method"]> = {
  get: "get",
  create: "post",
  update: "put",
  patch: "patch",
  delete: "delete",
};
const idVerbs: Record<string, string> = { get: "read", create: "create", update: "replace", patch: "patch" };

function subresourceOperations(
  d: ResourceDefinition,
  name: string,
  s: SubresourceDefinition,
  item: string,
  idTail: string,
): Operation[] {
  const gvk = { group: s.group ?? d.group, version: s.version ?? d.version, kind: s.kind };
  const isConnect = connectKinds.has(s.kind);
  const isText = isConnect || name === "log";
  const type = s.kind === d.kind ? d.typeName : typeOfKind(gvk)?.name;
  return s.verbs.map((verb) => {
    const method = methods[verb]!;
    const isWrite = verb !== "get" && !isConnect;
    return {
      path: `${item}/${name}`,
      method,
      action: isConnect ? "connect" : verb === "update" ? "put" : verb === "create" ? "post" : verb,
      id: `${isConnect ? `connect${pascal(method)}` : idVerbs[verb]}${idTail}${pascal(name.replace("/{path}", "WithPath"))}`,
      description: isConnect
        ? `connect ${method.toUpperCase()} requests to ${name} of ${d.kind}`
        : `${idVerbs[verb]} ${name} of the specified ${d.kind}`,
      tag: tagOf(d),
      isCustom: customOf(d) !== undefined,
      gvk,
      body: isWrite ? (verb === "patch" ? "patch" : type) : undefined,
      response: isText ? undefined : type,
      query: isConnect
        ? connectQuery(s.kind)
        : name === "log"
          ? connectQuery("PodLogOptions")
          : isWrite
            ? writeQuery
            : [pretty],
    };
  });
}

/** The options of exec and its like stand in the query. */
function connectQuery(kind: string): QueryParameter[] {
  const type = typeOfKind({ group: "", version: "v1", kind });
  const fields = type ? [...schemaOf(type.name).fields.values()] : [];
  return fields
    .filter((f) => f.kind !== "message")
    .map((f) => ({
      name: f.name,
      description: "",
      type: f.kind === "bool" ? "boolean" : f.kind === "string" ? "string" : "integer",
    }));
}
