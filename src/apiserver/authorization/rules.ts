/**
 * RBAC rules as pure functions: what a rule allows, and whether some rules cover others.
 * https://kubernetes.io/docs/reference/access-authn-authz/rbac/
 */
import type { rbacv1 } from "#api";
import { accountUsername, type User } from "../user.ts";
import type { Attributes } from "./attributes.ts";

export type Rule = Readonly<rbacv1.PolicyRule>;

const has = (list: readonly string[] | undefined, wanted: string): boolean =>
  list !== undefined && (list.includes("*") || list.includes(wanted));

export function allows(rule: Rule, { verb, path, resource }: Omit<Attributes, "user">): boolean {
  if (!has(rule.verbs, verb)) return false;
  if (!resource) return (rule.nonResourceURLs ?? []).some((pattern) => matchesUrl(pattern, path));
  const { group, name, subresource } = resource;
  return (
    has(rule.apiGroups, group) &&
    hasResource(rule.resources ?? [], resource.resource, subresource) &&
    (!rule.resourceNames?.length || rule.resourceNames.includes(name))
  );
}

function hasResource(resources: readonly string[], resource: string, subresource: string): boolean {
  const whole = subresource ? `${resource}/${subresource}` : resource;
  return resources.some(
    (each) => each === "*" || each === whole || (subresource !== "" && each === `*/${subresource}`),
  );
}

function matchesUrl(pattern: string, path: string): boolean {
  if (pattern === "*" || pattern === path) return true;
  return pattern.endsWith("*") && path.startsWith(pattern.replace(/\*+$/, ""));
}

/** Whom a subject of a binding means; the namespace is the binding's own, for service accounts that name none. */
export function isSubject(subject: Readonly<rbacv1.Subject>, user: User, bindingNamespace: string): boolean {
  switch (subject.kind) {
    case "User":
      return subject.name === user.username;
    case "Group":
      return user.groups.includes(subject.name);
    case "ServiceAccount": {
      const namespace = subject.namespace || bindingNamespace;
      return namespace !== "" && user.username === accountUsername(namespace, subject.name);
    }
    default:
      return false;
  }
}

/** Every single right of the rules: one verb, one group, one resource or path, at most one name. */
function* singleRights(rule: Rule): Generator<Rule> {
  for (const verb of rule.verbs) {
    for (const url of rule.nonResourceURLs ?? []) yield { verbs: [verb], nonResourceURLs: [url] };
    for (const group of rule.apiGroups ?? [])
      for (const resource of rule.resources ?? []) {
        const right = { verbs: [verb], apiGroups: [group], resources: [resource] };
        if (!rule.resourceNames?.length) yield right;
        for (const name of rule.resourceNames ?? []) yield { ...right, resourceNames: [name] };
      }
  }
}

/** The rights of `wanted` that nobody who has only `owned` may hand on. */
export function uncovered(owned: readonly Rule[], wanted: readonly Rule[]): Rule[] {
  return wanted.flatMap((rule) =>
    [...singleRights(rule)].filter((right) => !owned.some((own) => covers(own, right))),
  );
}

function covers(own: Rule, right: Rule): boolean {
  if (!has(own.verbs, right.verbs[0]!)) return false;
  const [url] = right.nonResourceURLs ?? [];
  if (url !== undefined) return (own.nonResourceURLs ?? []).some((pattern) => coversUrl(pattern, url));
  const [group = ""] = right.apiGroups ?? [];
  const [resource = ""] = right.resources ?? [];
  if (!has(own.apiGroups, group) || !coversResource(own.resources ?? [], resource)) return false;
  if (!own.resourceNames?.length) return true;
  const [name] = right.resourceNames ?? [];
  return name !== undefined && own.resourceNames.includes(name);
}

function coversUrl(pattern: string, url: string): boolean {
  return pattern === url || (pattern.endsWith("*") && url.startsWith(pattern.slice(0, -1)));
}

function coversResource(resources: readonly string[], resource: string): boolean {
  if (resources.includes("*") || resources.includes(resource)) return true;
  const subresource = resource.split("/")[1];
  return subresource !== undefined && resources.includes(`*/${subresource}`);
}

/** A right as upstream's messages write it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`. */
export function describeRule(rule: Rule): string {
  const parts: [string, readonly string[] | undefined][] = [
    ["APIGroups", rule.apiGroups],
    ["Resources", rule.resources],
    ["ResourceNames", rule.resourceNames],
    ["NonResourceURLs", rule.nonResourceURLs],
    ["Verbs", rule.verbs],
  ];
  const written = parts
    .filter(([, list]) => list?.length)
    .map(([name, list]) => `${name}:[${list!.map((each) => JSON.stringify(each)).join(" ")}]`);
  return `{${written.join(", ")}}`;
}

/** Rules that differ in their verbs only, as one: shorter to read and to list. */
export function compacted(rules: readonly Rule[]): Rule[] {
  const byRest = new Map<string, rbacv1.PolicyRule>();
  for (const rule of rules) {
    const { verbs, ...rest } = rule;
    const key = JSON.stringify(rest);
    const known = byRest.get(key);
    if (known) known.verbs.push(...verbs.filter((verb) => !known.verbs.includes(verb)));
    else byRest.set(key, { ...rest, verbs: [...verbs] });
  }
  return [...byRest.values()];
}
