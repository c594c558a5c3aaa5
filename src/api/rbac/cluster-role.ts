/** ClusterRole. https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/cluster-role-v1/ */
import type { rbacv1 } from "../generated/types/index.ts";
import { createdAtColumn, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, required } from "../meta/field-error.ts";
import { validateLabelSelector } from "../meta/label-selector.ts";
import { rbacGroup, validatePolicyRule, validateRbacName } from "./rules.ts";

function validateAggregation({ aggregationRule }: Readonly<rbacv1.ClusterRole>): FieldError[] {
  if (!aggregationRule) return [];
  const path = "aggregationRule.clusterRoleSelectors";
  const selectors = aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0) {
    const detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
    return [required(path, detail)];
  }
  return selectors.flatMap((selector, i) => validateLabelSelector(selector, `${path}[${i}]`));
}

export const clusterRoles = defineResource<rbacv1.ClusterRole>({
  group: rbacGroup,
  version: "v1",
  resource: "clusterroles",
  kind: "ClusterRole",
  typeName: "io.k8s.api.rbac.v1.ClusterRole",
  namespaced: false,
  validateName: validateRbacName,
  validate: (role) => [
    ...(role.rules ?? []).flatMap((rule, i) => validatePolicyRule(rule, false, `rules[${i}]`)),
    ...validateAggregation(role),
  ],
  columns: [nameColumn(), createdAtColumn()],
});
