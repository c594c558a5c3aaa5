/**
 * Which FlowSchema a request belongs to: of all that match, the one with the lowest precedence, then the first by name.
 * https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#flowschema
 */
import type { flowcontrolv1 } from "#api";
import type { Attributes, ResourceAttributes } from "../authorization/attributes.ts";
import { accountUsername, type User } from "../user.ts";

type FlowSchema = Readonly<flowcontrolv1.FlowSchema>;
type Rules = Readonly<flowcontrolv1.PolicyRulesWithSubjects>;
type Subject = Readonly<flowcontrolv1.Subject>;

/** As they are asked, one after the other. */
export function inOrder(schemas: readonly FlowSchema[]): FlowSchema[] {
  const name = (schema: FlowSchema) => schema.metadata.name ?? "";
  return [...schemas].sort(
    (a, b) =>
      (a.spec.matchingPrecedence ?? 0) - (b.spec.matchingPrecedence ?? 0) || (name(a) < name(b) ? -1 : 1),
  );
}

export function matches({ spec }: FlowSchema, attributes: Attributes): boolean {
  return (spec.rules ?? []).some((rules) => isOf(rules, attributes));
}

/** What makes two requests of one schema the same flow. */
export function flowOf({ spec }: FlowSchema, { user, resource }: Attributes): string {
  switch (spec.distinguisherMethod?.type) {
    case "ByUser":
      return user.username;
    case "ByNamespace":
      return resource?.namespace ?? "";
    default:
      return "";
  }
}

function isOf({ subjects = [], resourceRules = [], nonResourceRules = [] }: Rules, asked: Attributes) {
  if (!subjects.some((subject) => isSubject(subject, asked.user))) return false;
  const { resource, verb, path } = asked;
  if (resource) return resourceRules.some((rule) => isResource(rule, verb, resource));
  return nonResourceRules.some((rule) => has(rule.verbs, verb) && isPath(rule.nonResourceURLs, path));
}

function isSubject({ kind, user, group, serviceAccount }: Subject, who: User): boolean {
  if (kind === "User") return user?.name === "*" || user?.name === who.username;
  if (kind === "Group") return group?.name === "*" || who.groups.includes(group?.name ?? "");
  if (!serviceAccount) return false;
  const { namespace, name } = serviceAccount;
  if (name === "*") return who.username.startsWith(accountUsername(namespace, ""));
  return who.username === accountUsername(namespace, name);
}

function isResource(
  rule: Readonly<flowcontrolv1.ResourcePolicyRule>,
  verb: string,
  { group, resource, subresource, namespace }: ResourceAttributes,
): boolean {
  if (!has(rule.verbs, verb) || !has(rule.apiGroups, group)) return false;
  if (!has(rule.resources, subresource ? `${resource}/${subresource}` : resource)) return false;
  return namespace ? has(rule.namespaces, namespace) : rule.clusterScope === true;
}

function has(values: readonly string[] | undefined, value: string): boolean {
  return values !== undefined && (values.includes(value) || values.includes("*"));
}

function isPath(urls: readonly string[] | undefined, path: string): boolean {
  return (urls ?? []).some(
    (url) => url === "*" || url === path || (url.endsWith("/*") && path.startsWith(url.slice(0, -1))),
  );
}
