/** Role. https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/role-v1/ */
import type { rbacv1 } from "../generated/types/index.ts";
import { createdAtColumn, defineResource, nameColumn } from "../meta/define-resource.ts";
import { rbacGroup, validatePolicyRule, validateRbacName } from "./rules.ts";

export const roles = defineResource<rbacv1.Role>({
  group: rbacGroup,
  version: "v1",
  resource: "roles",
  kind: "Role",
  typeName: "io.k8s.api.rbac.v1.Role",
  namespaced: true,
  validateName: validateRbacName,
  validate: (role) => (role.rules ?? []).flatMap((rule, i) => validatePolicyRule(rule, true, `rules[${i}]`)),
  columns: [nameColumn(), createdAtColumn()],
});
