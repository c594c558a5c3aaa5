/** RoleBinding. https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/role-binding-v1/ */
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

const validate = (binding: Readonly<rbacv1.RoleBinding>) =>
  validateBinding(binding, ["Role", "ClusterRole"], true);

export const roleBindings = defineResource<rbacv1.RoleBinding>({
  group: rbacGroup,
  version: "v1",
  resource: "rolebindings",
  kind: "RoleBinding",
  typeName: "io.k8s.api.rbac.v1.RoleBinding",
  namespaced: true,
  validateName: validateRbacName,
  defaults: defaultBinding,
  validate,
  validateUpdate: (binding, old) => [...validate(binding), ...roleRefUnchanged(binding, old)],
  columns: bindingColumns("roleBinding"),
});
