/**
 * The resource metrics API as an OpenAPI v3 document, for `kubectl explain`.
 * https://github.com/kubernetes/metrics/blob/master/pkg/apis/metrics/v1beta1/types.go
 */

const group = "metrics.k8s.io";
const version = "v1beta1";
const prefix = `/apis/${group}/${version}`;
const documentPath = `/openapi/v3${prefix}`;

type Json = Record<string, unknown>;

const metaName = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const nameOf = (kind: string) => `io.k8s.metrics.pkg.apis.metrics.${version}.${kind}`;
const referenceTo = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const kindOf = (kind: string) => ({ group, version, kind });
const text = (description: string): Json => ({ description, type: "string" });

const typeMeta: Json = {
  apiVersion: text("The version of this representation of the object."),
  kind: text("The kind of the object."),
};

const measuring: Json = {
  timestamp: { ...text("When the usage was measured last."), format: "date-time" },
  window: text("The time over which it was measured, up to the timestamp."),
};

const usage: Json = {
  description: "The memory used is the working set.",
  type: "object",
  additionalProperties: { type: "string" },
};

const metadata: Json = { description: "Metadata of the measured object.", allOf: [referenceTo(metaName)] };

const listMetadata: Json = { description: "Metadata of the list.", type: "object" };

function schema(description: string, properties: Json, required: string[], kind?: string): Json {
  const gvk = kind ? { "x-kubernetes-group-version-kind": [kindOf(kind)] } : {};
  return { description, type: "object", properties, required, ...gvk };
}

function listSchema(kind: string): Json {
  const items = { type: "array", description: "What was measured.", items: referenceTo(nameOf(kind)) };
  const properties = { ...typeMeta, metadata: listMetadata, items };
  return schema(`A list of ${kind}.`, properties, ["items"], `${kind}List`);
}

const schemas: Json = {
  [nameOf("NodeMetrics")]: schema(
    "What a node uses.",
    { ...typeMeta, metadata, ...measuring, usage },
    ["timestamp", "window", "usage"],
    "NodeMetrics",
  ),
  [nameOf("NodeMetricsList")]: listSchema("NodeMetrics"),
  [nameOf("PodMetrics")]: schema(
    "What a pod uses.",
    {
      ...typeMeta,
      metadata,
      ...measuring,
      containers: {
        description: "What its containers use, all of the same time.",
        type: "array",
        items: referenceTo(nameOf("ContainerMetrics")),
      },
    },
    ["timestamp", "window", "containers"],
    "PodMetrics",
  ),
  [nameOf("PodMetricsList")]: listSchema("PodMetrics"),
  [nameOf("ContainerMetrics")]: schema(
    "What a container uses.",
    { name: text("The container's name in its pod."), usage },
    ["name", "usage"],
  ),
  [metaName]: schema(
    "Metadata that all objects have.",
    {
      name: text("The name, unique in its namespace."),
      namespace: text("The namespace."),
      creationTimestamp: { ...text("When this was made."), format: "date-time" },
      labels: {
        description: "Labels of the measured object.",
        type: "object",
        additionalProperties: { type: "string" },
      },
    },
    [],
  ),
};

function operation(action: "get" | "list", kind: string): Json {
  const answer = referenceTo(nameOf(action === "list" ? `${kind}List` : kind));
  return {
    get: {
      description: action === "list" ? `list objects of kind ${kind}` : `read the specified ${kind}`,
      responses: { 200: { description: "OK", content: { "application/json": { schema: answer } } } },
      "x-kubernetes-action": action,
      "x-kubernetes-group-version-kind": kindOf(kind),
    },
  };
}

const document: Json = {
  openapi: "3.0.0",
  info: { title: "Kubernetes metrics", version },
  paths: {
    [`${prefix}/nodes`]: operation("list", "NodeMetrics"),
    [`${prefix}/nodes/{name}`]: operation("get", "NodeMetrics"),
    [`${prefix}/pods`]: operation("list", "PodMetrics"),
    [`${prefix}/namespaces/{namespace}/pods`]: operation("list", "PodMetrics"),
    [`${prefix}/namespaces/{namespace}/pods/{name}`]: operation("get", "PodMetrics"),
  },
  components: { schemas },
};

/** Undefined for a path that is no document. */
export function documentAt(path: string): object | undefined {
  if (path === documentPath) return document;
  if (path !== "/openapi/v3") return undefined;
  return { paths: { [prefix.slice(1)]: { serverRelativeURL: documentPath } } };
}
