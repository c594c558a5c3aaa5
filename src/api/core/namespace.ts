/** Namespace. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid } from "../meta/field-error.ts";
import { nameIsDnsLabel, qualifiedNameErrors } from "../validation/names.ts";

const nameLabel = "kubernetes.io/metadata.name";

function validateFinalizers(namespace: Readonly<corev1.Namespace>): FieldError[] {
  return (namespace.spec?.finalizers ?? []).flatMap((finalizer, i) => {
    const field = `spec.finalizers[${i}]`;
    const errors = qualifiedNameErrors(finalizer).map((e) => invalid(field, finalizer, e));
    if (errors.length === 0 && finalizer !== "kubernetes" && !finalizer.includes("/")) {
      errors.push(
        invalid(field, finalizer, "name is neither a standard finalizer name nor is it fully qualified"),
      );
    }
    return errors;
  });
}

export const namespaces = defineResource<corev1.Namespace>({
  group: "",
  version: "v1",
  resource: "namespaces",
  kind: "Namespace",
  typeName: "io.k8s.api.core.v1.Namespace",
  namespaced: false,
  shortNames: ["ns"],
  // Deleting is a process of its own: there is no `deletecollection`.
  verbs: ["create", "delete", "get", "list", "patch", "update", "watch"],
  subresources: {
    finalize: { kind: "Namespace", verbs: ["update"] },
    status: { kind: "Namespace", verbs: ["get", "patch", "update"] },
  },
  validateName: nameIsDnsLabel,
  defaults(namespace) {
    namespace.spec ??= {};
    if (!namespace.metadata.name) return;
    // The label always names the namespace, so that selectors can.
    namespace.metadata.labels = { ...namespace.metadata.labels, [nameLabel]: namespace.metadata.name };
  },
  onCreate(namespace) {
    namespace.metadata.labels = { ...namespace.metadata.labels, [nameLabel]: namespace.metadata.name };
    namespace.status = { phase: "Active" };
    const finalizers = namespace.spec.finalizers ?? [];
    if (!finalizers.includes("kubernetes")) namespace.spec.finalizers = [...finalizers, "kubernetes"];
  },
  onUpdate(namespace, old) {
    if (old.spec?.finalizers) namespace.spec.finalizers = old.spec.finalizers;
    else delete namespace.spec.finalizers;
    namespace.status = old.status;
  },
  validate: validateFinalizers,
  validateStatusUpdate(namespace) {
    const phase = namespace.status?.phase;
    const isDeleted = namespace.metadata.deletionTimestamp !== undefined;
    if (isDeleted && phase !== "Terminating") {
      return [
        invalid("status.Phase", phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"),
      ];
    }
    if (!isDeleted && phase !== "Active") {
      return [invalid("status.Phase", phase, "may only be 'Active' if `deletionTimestamp` is empty")];
    }
    return [];
  },
  selectableFields: { "status.phase": (namespace) => namespace.status?.phase ?? "" },
  columns: [
    nameColumn(),
    column("Status", "string", "The status of the namespace", (n) => n.status?.phase ?? ""),
    ageColumn(),
  ],
});
