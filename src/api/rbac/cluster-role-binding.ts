/** ClusterRoleBinding. https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/cluster-role-binding-v1/ */
import type { rbacv1 } from "../generated/types/index.ts";
import { defineResource } from "../meta/define-resource.ts";
import {
  bindingColumns,
  defaultBinding,
  rbacGroup,
  roleRefUnchanged,
  validateBinding,
  validateRbacName,
} from "./rules.ts";

const validate = (binding: Readonly<rbacv1.ClusterRoleBinding>) =>
  validateBinding(binding, ["ClusterRole"], false);

export const clusterRoleBindings = defineResource<rbacv1.ClusterRoleBinding>({
  group: rbacGroup,
  version: "v1",
  resource: "clusterrolebindings",
  kind: "ClusterRoleBinding",
  typeName: "io.k8s.api.rbac.v1.ClusterRoleBinding",
  namespaced: false,
  validateName: validateRbacName,
  defaults: defaultBinding,
  validate,
  validateUpdate: (binding, old) => [...validate(binding), ...roleRefUnchanged(binding, old)],
  columns: bindingColumns("clusterRoleBinding"),
});
