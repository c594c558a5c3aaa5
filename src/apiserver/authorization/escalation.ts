/**
 * Nobody may hand out rights they do not have: what a role grants and what a binding binds is checked against the
 * writer's own. https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
 */
import {
  clusterRoleBindings,
  clusterRoles,
  forbidden,
  type KubernetesObject,
  notFound,
  type ResourceDefinition,
  type rbacv1,
  roleBindings,
  roles,
  sameJson,
} from "#api";
import type { AdmissionStep, Attributes } from "../admission/admission.ts";
import type { Authorizer } from "./authorizer.ts";
import type { RbacAuthorizer } from "./rbac.ts";
import { compacted, describeRule, type Rule, uncovered } from "./rules.ts";

type Role = KubernetesObject & rbacv1.ClusterRole;
type Binding = KubernetesObject & rbacv1.RoleBinding;

const roleDefinitions = new Set<ResourceDefinition>([roles, clusterRoles] as ResourceDefinition[]);
const bindingDefinitions = new Set<ResourceDefinition>([
  roleBindings,
  clusterRoleBindings,
] as ResourceDefinition[]);

export function privilegeEscalation(rbac: RbacAuthorizer, authorizer: Authorizer): AdmissionStep {
  return {
    name: "RBACPrivilegeEscalation",
    validate(attributes) {
      if (!attributes.object) return;
      if (roleDefinitions.has(attributes.definition)) checkRole(authorizer, attributes);
      if (bindingDefinitions.has(attributes.definition)) checkBinding(rbac, authorizer, attributes);
    },
  };
}

function may(
  authorizer: Authorizer,
  attributes: Attributes,
  verb: string,
  what: ResourceDefinition,
  name: string,
) {
  const { group, version, resource } = what;
  const namespace = attributes.namespace ?? "";
  const asked = { group, version, resource, subresource: "", namespace, name };
  return authorizer.authorize({ user: attributes.user, verb, path: "", resource: asked }).allowed;
}

function checkRole(authorizer: Authorizer, attributes: Attributes): void {
  const { definition, name } = attributes;
  const role = attributes.object as Role;
  const old = attributes.old as Role | undefined;
  if (old && sameJson(old.rules, role.rules) && sameJson(old.aggregationRule, role.aggregationRule)) return;
  if (may(authorizer, attributes, "escalate", definition, name)) return;
  // Whoever selects roles by labels could select any.
  const wanted: Rule[] = role.aggregationRule
    ? [
        { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
        { verbs: ["*"], nonResourceURLs: ["*"] },
      ]
    : (role.rules ?? []);
  refuseUncovered(authorizer, attributes, wanted);
}

function checkBinding(rbac: RbacAuthorizer, authorizer: Authorizer, attributes: Attributes): void {
  const binding = attributes.object as Binding;
  const old = attributes.old as Binding | undefined;
  if (old && sameJson(old.roleRef, binding.roleRef) && sameJson(old.subjects, binding.subjects)) return;
  const { roleRef } = binding;
  const role = (roleRef.kind === "ClusterRole" ? clusterRoles : roles) as ResourceDefinition;
  if (may(authorizer, attributes, "bind", role, roleRef.name)) return;
  const rules = rbac.rulesOf(roleRef, attributes.namespace ?? "");
  if (!rules) throw notFound(role, roleRef.name);
  refuseUncovered(authorizer, attributes, rules);
}

function refuseUncovered(authorizer: Authorizer, attributes: Attributes, wanted: readonly Rule[]): void {
  const { user, namespace, definition, name } = attributes;
  const missing = uncovered(authorizer.rulesFor(user, namespace ?? "").rules, wanted);
  if (missing.length === 0) return;
  const groups = user.groups.map((group) => JSON.stringify(group)).join(" ");
  const described = compacted(missing).map(describeRule).join("\n");
  const why = `user ${JSON.stringify(user.username)} (groups=[${groups}]) is attempting to grant RBAC permissions not currently held:\n${described}`;
  throw forbidden(definition, name, why);
}
