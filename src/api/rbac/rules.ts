/** What the four kinds of RBAC share. https://kubernetes.io/docs/reference/access-authn-authz/rbac/ */
import { sameJson } from "../core/pod-spec/template.ts";
import type { rbacv1 } from "../generated/types/index.ts";
import { ageColumn, column, nameColumn } from "../meta/define-resource.ts";
import type { Column } from "../meta/definition.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import type { KubernetesObject } from "../meta/resource-type.ts";
import { invalidEach } from "../validation/checks.ts";
import { dnsSubdomainErrors, pathSegmentErrors } from "../validation/names.ts";

export const rbacGroup = "rbac.authorization.k8s.io";

/** Names stand in paths and may be anything else: `system:node-proxier`. */
export const validateRbacName = (name: string): string[] => pathSegmentErrors(name);

export function validatePolicyRule(
  rule: Readonly<rbacv1.PolicyRule>,
  isNamespaced: boolean,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [] } = rule;
  if (!rule.verbs?.length) errors.push(required(`${at}.verbs`, "verbs must contain at least one value"));
  if (nonResourceURLs.length > 0) {
    const field = `${at}.nonResourceURLs`;
    if (isNamespaced)
      errors.push(invalid(field, nonResourceURLs, "namespaced rules cannot apply to non-resource URLs"));
    if (apiGroups.length > 0 || resources.length > 0 || resourceNames.length > 0) {
      const detail = "rules cannot apply to both regular resources and non-resource URLs";
      errors.push(invalid(field, nonResourceURLs, detail));
    }
    return errors;
  }
  if (apiGroups.length === 0)
    errors.push(required(`${at}.apiGroups`, "resource rules must supply at least one api group"));
  if (resources.length === 0)
    errors.push(required(`${at}.resources`, "resource rules must supply at least one resource"));
  return errors;
}

interface Binding extends KubernetesObject {
  roleRef: rbacv1.RoleRef;
  subjects?: rbacv1.Subject[];
}

export function defaultBinding(binding: Binding): void {
  if (binding.roleRef) binding.roleRef.apiGroup ||= rbacGroup;
  for (const subject of binding.subjects ?? []) {
    if (subject.kind === "User" || subject.kind === "Group") subject.apiGroup ||= rbacGroup;
  }
}

export function validateBinding(
  binding: Readonly<Binding>,
  roleKinds: readonly string[],
  isNamespaced: boolean,
): FieldError[] {
  const { apiGroup = "", kind = "", name = "" } = binding.roleRef ?? {};
  return [
    ...(apiGroup === rbacGroup ? [] : [notSupported("roleRef.apiGroup", apiGroup, [rbacGroup])]),
    ...(roleKinds.includes(kind) ? [] : [notSupported("roleRef.kind", kind, roleKinds)]),
    ...(name ? invalidEach("roleRef.name", name, pathSegmentErrors(name)) : [required("roleRef.name")]),
    ...(binding.subjects ?? []).flatMap((s, i) => validateSubject(s, isNamespaced, `subjects[${i}]`)),
  ];
}

function validateSubject(subject: Readonly<rbacv1.Subject>, isNamespaced: boolean, at: string): FieldError[] {
  const { kind = "", name = "", namespace = "", apiGroup = "" } = subject;
  const errors: FieldError[] = name ? [] : [required(`${at}.name`)];
  switch (kind) {
    case "ServiceAccount":
      if (name) errors.push(...invalidEach(`${at}.name`, name, dnsSubdomainErrors(name)));
      if (apiGroup) errors.push(notSupported(`${at}.apiGroup`, apiGroup, [""]));
      if (!isNamespaced && !namespace) errors.push(required(`${at}.namespace`));
      return errors;
    case "User":
    case "Group":
      if (apiGroup !== rbacGroup) errors.push(notSupported(`${at}.apiGroup`, apiGroup, [rbacGroup]));
      return errors;
    default:
      return [...errors, notSupported(`${at}.kind`, kind, ["ServiceAccount", "User", "Group"])];
  }
}

/** A binding to another role is another binding: who may bind has been checked for this one. */
export function roleRefUnchanged(binding: Readonly<Binding>, old: Readonly<Binding>): FieldError[] {
  const [now, before] = [binding.roleRef, old.roleRef];
  return sameJson(now, before) ? [] : [invalid("roleRef", now, "cannot change roleRef")];
}

function subjectNames(binding: Readonly<Binding>, kind: string): string {
  return (binding.subjects ?? [])
    .filter((subject) => subject.kind === kind)
    .map((s) => (kind === "ServiceAccount" ? `${s.namespace ?? ""}/${s.name}` : s.name))
    .join(", ");
}

export function bindingColumns<T extends Binding>(kind: string): Column<T>[] {
  const subjects = (title: string, subjectKind: string) =>
    column<T>(title, "string", `${title} in the ${kind}`, (b) => subjectNames(b, subjectKind), 1);
  return [
    nameColumn(),
    column(
      "Role",
      "string",
      "The role whose rules are granted.",
      ({ roleRef }) => `${roleRef?.kind ?? ""}/${roleRef?.name ?? ""}`,
    ),
    ageColumn(),
    subjects("Users", "User"),
    subjects("Groups", "Group"),
    subjects("ServiceAccounts", "ServiceAccount"),
  ];
}
