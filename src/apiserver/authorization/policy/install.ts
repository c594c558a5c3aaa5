/**
 * Brings the default roles and bindings into the cluster and adds what somebody has taken out of them, unless the object
 * says otherwise. https://kubernetes.io/docs/reference/access-authn-authz/rbac/#auto-reconciliation
 */
import {
  clusterRoleBindings,
  clusterRoles,
  isStatus,
  type KubernetesObject,
  type ResourceDefinition,
  type rbacv1,
  roleBindings,
  roles,
} from "#api";
import type { Registry, Target, WriteContext } from "../../registry/context.ts";
import { create } from "../../registry/create.ts";
import { change, mainStrategy } from "../../registry/update.ts";
import { uncovered } from "../rules.ts";
import { type DefaultBinding, defaultBindings, serviceAccountSubject } from "./bindings.ts";
import { componentRoles } from "./components.ts";
import { namespacedPolicies } from "./namespaced.ts";
import { type DefaultRole, userRoles } from "./roles.ts";

/** A component that acts as a service account of kube-system, and what it needs. */
export interface ComponentPolicy {
  name: string;
  rules: readonly rbacv1.PolicyRule[];
}

const autoUpdate = "rbac.authorization.kubernetes.io/autoupdate";
const bootstrapLabel = { "kubernetes.io/bootstrapping": "rbac-defaults" };
const apiGroup = "rbac.authorization.k8s.io";
const apiVersion = `${apiGroup}/v1`;

type Draft = Pick<KubernetesObject, "apiVersion" | "kind"> & {
  metadata: Partial<KubernetesObject["metadata"]>;
};

interface Wanted {
  definition: ResourceDefinition;
  namespace?: string;
  object: Draft & Record<string, unknown>;
  /** Puts back what is missing of it; false if nothing is. */
  mend(current: KubernetesObject): boolean;
}

export async function installPolicy(
  registry: Registry,
  context: WriteContext,
  components: readonly ComponentPolicy[],
): Promise<void> {
  const wanted = [...clusterPolicy(components), ...namespacedPolicies.flatMap(inNamespace)];
  await Promise.all(wanted.map((each) => ensure(registry, context, each)));
}

function clusterPolicy(components: readonly ComponentPolicy[]): Wanted[] {
  const controllers = components.map(({ name, rules }) => ({
    role: { name: `system:controller:${name}`, rules: [...rules] },
    binding: { name: `system:controller:${name}`, subjects: [serviceAccountSubject(name)] },
  }));
  const allRoles = [...userRoles, ...componentRoles, ...controllers.map(({ role }) => role)];
  const allBindings = [...defaultBindings, ...controllers.map(({ binding }) => binding)];
  return [...allRoles.map(wantedRole), ...allBindings.map(wantedBinding)];
}

function metadataOf(name: string, labels: Record<string, string> = {}): Draft["metadata"] {
  return { name, labels: { ...bootstrapLabel, ...labels }, annotations: { [autoUpdate]: "true" } };
}

function wantedRole({ name, labels, rules, aggregationRule }: DefaultRole): Wanted {
  return {
    definition: clusterRoles as ResourceDefinition,
    object: {
      apiVersion,
      kind: "ClusterRole",
      metadata: metadataOf(name, labels),
      rules,
      ...(aggregationRule ? { aggregationRule } : {}),
    },
    mend: (current) => mendRules(current as rbacv1.ClusterRole, rules),
  };
}

function mendRules(role: { rules?: rbacv1.PolicyRule[] }, wanted: readonly rbacv1.PolicyRule[]): boolean {
  const missing = uncovered(role.rules ?? [], wanted);
  if (missing.length === 0) return false;
  role.rules = [...(role.rules ?? []), ...missing];
  return true;
}

function wantedBinding({ name, role, subjects }: DefaultBinding): Wanted {
  return {
    definition: clusterRoleBindings as ResourceDefinition,
    object: {
      apiVersion,
      kind: "ClusterRoleBinding",
      metadata: metadataOf(name),
      roleRef: { apiGroup, kind: "ClusterRole", name: role ?? name },
      subjects,
    },
    mend: (current) => mendSubjects(current as rbacv1.ClusterRoleBinding, subjects),
  };
}

function mendSubjects(binding: { subjects?: rbacv1.Subject[] }, wanted: readonly rbacv1.Subject[]): boolean {
  const same = (a: rbacv1.Subject, b: rbacv1.Subject) =>
    a.kind === b.kind && a.name === b.name && (a.namespace ?? "") === (b.namespace ?? "");
  const missing = wanted.filter((each) => !(binding.subjects ?? []).some((known) => same(known, each)));
  if (missing.length === 0) return false;
  binding.subjects = [...(binding.subjects ?? []), ...missing];
  return true;
}

function inNamespace(policy: (typeof namespacedPolicies)[number]): Wanted[] {
  const { namespace, name, rules, subjects } = policy;
  const metadata = { ...metadataOf(name), namespace };
  const role: Wanted = {
    definition: roles as ResourceDefinition,
    namespace,
    object: { apiVersion, kind: "Role", metadata, rules },
    mend: (current) => mendRules(current as rbacv1.Role, rules),
  };
  if (subjects.length === 0) return [role];
  const roleRef = { apiGroup, kind: "Role", name };
  const binding: Wanted = {
    definition: roleBindings as ResourceDefinition,
    namespace,
    object: { apiVersion, kind: "RoleBinding", metadata: structuredClone(metadata), roleRef, subjects },
    mend: (current) => mendSubjects(current as rbacv1.RoleBinding, subjects),
  };
  return [role, binding];
}

async function ensure(registry: Registry, context: WriteContext, wanted: Wanted): Promise<void> {
  const { definition, namespace, object, mend } = wanted;
  const name = object.metadata.name ?? "";
  const target: Target = { definition, namespace, name };
  const current = registry.storage.find(definition, namespace, name)?.parse();
  if (!current)
    return createIt(
      registry,
      context,
      { ...target, name: "" },
      structuredClone(object) as unknown as KubernetesObject,
    );
  if (current.metadata.annotations?.[autoUpdate] !== "true" || !mend(current)) return;
  await change(registry, target, context, mainStrategy(definition), (read) => {
    const latest = read();
    mend(latest);
    return latest;
  });
}

async function createIt(
  registry: Registry,
  context: WriteContext,
  target: Target,
  object: KubernetesObject,
): Promise<void> {
  try {
    await create(registry, target, context, object);
  } catch (error) {
    if (!isStatus(error, "AlreadyExists")) throw error;
  }
}
