/** Binding: gives a pod its node. Only created, never stored. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/binding-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { defineResource } from "../meta/define-resource.ts";
import { type FieldError, notSupported, required } from "../meta/field-error.ts";

function validateBinding({ target }: Readonly<corev1.Binding>): FieldError[] {
  const errors: FieldError[] = [];
  const kind = target?.kind ?? "";
  if (kind !== "" && kind !== "Node") errors.push(notSupported("target.kind", kind, ["Node", "<empty>"]));
  if (!target?.name) errors.push(required("target.name"));
  return errors;
}

export const bindings = defineResource<corev1.Binding>({
  group: "",
  version: "v1",
  resource: "bindings",
  kind: "Binding",
  typeName: "io.k8s.api.core.v1.Binding",
  namespaced: true,
  verbs: ["create"],
  validate: validateBinding,
});
