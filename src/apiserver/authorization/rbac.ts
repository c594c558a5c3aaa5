/**
 * The RBAC authorizer: bindings and roles from the watch caches. What a user may do is put together once and kept until
 * a role or a binding changes; a request then reads a short list.
 * https://kubernetes.io/docs/reference/access-authn-authz/rbac/
 */
import {
  clusterRoleBindings,
  clusterRoles,
  type ResourceDefinition,
  type rbacv1,
  roleBindings,
  roles,
} from "#api";
import type { CachedObject } from "../cache/cached-object.ts";
import { keyPrefix } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";
import type { User } from "../user.ts";
import type { Attributes } from "./attributes.ts";
import type { Authorizer, Decision, UserRules } from "./authorizer.ts";
import { allows, isSubject, type Rule } from "./rules.ts";

/** One rule, and why the user has it. */
interface Grant {
  rule: Rule;
  reason: string;
}

interface Grants {
  list: Grant[];
  /** Roles that are bound and not there. */
  errors: string[];
}

/** Users whose grants are kept. */
const usersMax = 2_000;

export class RbacAuthorizer implements Authorizer {
  readonly #storage: Storage;
  /** By user and namespace; the cluster's own grants under the empty one. */
  #kept = new Map<string, Grants>();

  constructor(storage: Storage) {
    this.#storage = storage;
    const all = [clusterRoles, clusterRoleBindings, roles, roleBindings];
    for (const definition of all)
      storage.cache(definition as ResourceDefinition).listen(() => this.#kept.clear());
  }

  authorize(attributes: Attributes): Decision {
    const { user, resource } = attributes;
    const cluster = this.#grants(user, "");
    const found = cluster.list.find(({ rule }) => allows(rule, attributes));
    if (found) return { allowed: true, reason: found.reason };
    const errors = [...cluster.errors];
    if (resource?.namespace) {
      const own = this.#grants(user, resource.namespace);
      const inNamespace = own.list.find(({ rule }) => allows(rule, attributes));
      if (inNamespace) return { allowed: true, reason: inNamespace.reason };
      errors.push(...own.errors);
    }
    return { allowed: false, reason: errors.length > 0 ? `RBAC: ${listed(errors)}` : "" };
  }

  rulesFor(user: User, namespace: string): UserRules {
    const grants = [this.#grants(user, ""), ...(namespace ? [this.#grants(user, namespace)] : [])];
    return {
      rules: grants.flatMap(({ list }) => list.map(({ rule }) => rule)),
      errors: grants.flatMap(({ errors }) => errors),
    };
  }

  /** The rules of the role that a binding names; undefined where it is not there. */
  rulesOf(roleRef: Readonly<rbacv1.RoleRef>, namespace: string): readonly Rule[] | undefined {
    const found =
      roleRef.kind === "ClusterRole"
        ? this.#storage.find(clusterRoles, undefined, roleRef.name)
        : this.#storage.find(roles, namespace, roleRef.name);
    return found && ((found.parse() as unknown as rbacv1.Role).rules ?? []);
  }

  #grants(user: User, namespace: string): Grants {
    const key = JSON.stringify([namespace, user.username, user.groups]);
    const kept = this.#kept.get(key);
    if (kept) return kept;
    if (this.#kept.size >= usersMax) this.#kept.clear();
    const grants = this.#collect(user, namespace);
    this.#kept.set(key, grants);
    return grants;
  }

  #collect(user: User, namespace: string): Grants {
    const grants: Grants = { list: [], errors: [] };
    const definition = namespace ? roleBindings : clusterRoleBindings;
    const prefix = namespace ? `${keyPrefix(definition)}${namespace}/` : keyPrefix(definition);
    for (const object of this.#storage.cache(definition).scan(prefix))
      this.#add(grants, object, user, namespace);
    return grants;
  }

  #add(grants: Grants, object: CachedObject, user: User, namespace: string): void {
    const binding = object.parse() as unknown as rbacv1.RoleBinding;
    const subject = binding.subjects?.find((each) => isSubject(each, user, namespace));
    if (!subject) return;
    const { roleRef, metadata } = binding;
    const rules = this.rulesOf(roleRef, namespace);
    if (!rules) {
      const resource = roleRef.kind === "ClusterRole" ? "clusterrole" : "role";
      grants.errors.push(`${resource}.rbac.authorization.k8s.io ${JSON.stringify(roleRef.name)} not found`);
      return;
    }
    const reason = reasonFor(binding, namespace ? `${metadata.name}/${namespace}` : metadata.name, subject);
    for (const rule of rules) grants.list.push({ rule, reason });
  }
}

function reasonFor(binding: rbacv1.RoleBinding, name: string | undefined, subject: rbacv1.Subject): string {
  const kind = binding.metadata?.namespace ? "RoleBinding" : "ClusterRoleBinding";
  const { roleRef } = binding;
  const who = subject.kind === "ServiceAccount" ? `${subject.name}/${subject.namespace ?? ""}` : subject.name;
  return `RBAC: allowed by ${kind} ${JSON.stringify(name)} of ${roleRef.kind} ${JSON.stringify(roleRef.name)} to ${subject.kind} ${JSON.stringify(who)}`;
}

function listed(errors: readonly string[]): string {
  return errors.length === 1 ? errors[0]! : `[${errors.join(", ")}]`;
}
