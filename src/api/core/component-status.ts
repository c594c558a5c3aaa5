/** ComponentStatus: how the parts of the control plane are. Deprecated, answered, never stored. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/component-status-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { column, defineResource, nameColumn } from "../meta/define-resource.ts";

type Component = Readonly<corev1.ComponentStatus>;

function healthy(component: Component): corev1.ComponentCondition | undefined {
  return component.conditions?.find((condition) => condition.type === "Healthy");
}

function statusText(component: Component): string {
  const condition = healthy(component);
  if (!condition) return "Unknown";
  return condition.status === "True" ? "Healthy" : "Unhealthy";
}

export const componentStatuses = defineResource<corev1.ComponentStatus>({
  group: "",
  version: "v1",
  resource: "componentstatuses",
  kind: "ComponentStatus",
  typeName: "io.k8s.api.core.v1.ComponentStatus",
  namespaced: false,
  shortNames: ["cs"],
  verbs: ["get", "list"],
  deprecation: "v1 ComponentStatus is deprecated in v1.19+",
  columns: [
    nameColumn(),
    column("Status", "string", "Status of the component conditions", statusText),
    column("Message", "string", "Message of the component conditions", (c) => healthy(c)?.message ?? ""),
    column("Error", "string", "Error of the component conditions", (c) => healthy(c)?.error ?? ""),
  ],
});
