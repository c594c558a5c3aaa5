/** Node. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatus,
  nameColumn,
  proxyVerbs,
} from "../meta/define-resource.ts";
import { validateNode, validateNodeUpdate } from "./node-validation.ts";

const rolePrefix = "node-role.kubernetes.io/";

function statusOf(node: Readonly<corev1.Node>): string {
  const ready = (node.status?.conditions ?? []).find((c) => c.type === "Ready");
  const text = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable ? `${text},SchedulingDisabled` : text;
}

function rolesOf(node: Readonly<corev1.Node>): string {
  const roles = new Set<string>();
  for (const [key, value] of Object.entries(node.metadata.labels ?? {})) {
    if (key.startsWith(rolePrefix) && key.length > rolePrefix.length) roles.add(key.slice(rolePrefix.length));
    else if (key === "kubernetes.io/role" && value) roles.add(value);
  }
  return [...roles].sort().join(",") || "<none>";
}

function address(node: Readonly<corev1.Node>, type: string): string {
  return (node.status?.addresses ?? []).find((a) => a.type === type)?.address ?? "<none>";
}

function nodeWarnings({ spec }: Readonly<corev1.Node>): string[] {
  const warnings: string[] = [];
  if (spec?.configSource) warnings.push("spec.configSource: the feature is removed");
  if (spec?.externalID)
    warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes");
  return warnings;
}

export const nodes = defineResource<corev1.Node>({
  group: "",
  version: "v1",
  resource: "nodes",
  kind: "Node",
  typeName: "io.k8s.api.core.v1.Node",
  namespaced: false,
  shortNames: ["no"],
  subresources: {
    proxy: { kind: "NodeProxyOptions", verbs: proxyVerbs },
    status: { kind: "Node", verbs: ["get", "patch", "update"] },
  },
  defaults(node) {
    node.spec ??= {};
    node.status ??= {};
    if (node.status.capacity && !node.status.allocatable)
      node.status.allocatable = { ...node.status.capacity };
  },
  // A node registers itself together with its status: it is kept.
  onCreate() {},
  onUpdate(node, old) {
    node.status = old.status;
  },
  onStatusUpdate: keepAllButStatus,
  validate: validateNode,
  warnings: nodeWarnings,
  validateUpdate: validateNodeUpdate,
  selectableFields: { "spec.unschedulable": (node) => String(node.spec?.unschedulable ?? false) },
  columns: [
    nameColumn(),
    column("Status", "string", "The status of the node", statusOf),
    column("Roles", "string", "The roles of the node", rolesOf),
    ageColumn(),
    column(
      "Version",
      "string",
      "Kubelet Version reported by the node.",
      (n) => n.status?.nodeInfo?.kubeletVersion ?? "",
    ),
    column(
      "Internal-IP",
      "string",
      "The node's address inside the cluster.",
      (n) => address(n, "InternalIP"),
      1,
    ),
    column(
      "External-IP",
      "string",
      "The node's address outside the cluster.",
      (n) => address(n, "ExternalIP"),
      1,
    ),
    column(
      "OS-Image",
      "string",
      "OS Image reported by the node.",
      (n) => n.status?.nodeInfo?.osImage || "<unknown>",
      1,
    ),
    column(
      "Kernel-Version",
      "string",
      "Kernel Version reported by the node.",
      (n) => n.status?.nodeInfo?.kernelVersion || "<unknown>",
      1,
    ),
    column(
      "Container-Runtime",
      "string",
      "ContainerRuntime Version reported by the node.",
      (n) => n.status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
      1,
    ),
  ],
});
