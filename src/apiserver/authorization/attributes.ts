/**
 * What is asked of an authorizer: who wants to do what to what.
 * https://kubernetes.io/docs/reference/access-authn-authz/authorization/#review-your-request-attributes
 */
import { forbidden, StatusError } from "#api";
import type { ApiRequest } from "../http/exchange.ts";
import type { ResourceInfo } from "../http/request-info.ts";
import type { User } from "../user.ts";

export interface ResourceAttributes {
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  /** Empty across all namespaces, and for what stands in none. */
  readonly namespace: string;
  /** Empty for a collection. */
  readonly name: string;
  /** As the client wrote it; kubelets are judged by it when they list. */
  readonly fieldSelector?: string;
}

export interface Attributes {
  readonly user: User;
  readonly verb: string;
  readonly path: string;
  /** Absent for paths that are not about resources. */
  readonly resource?: ResourceAttributes;
}

const verbs: Readonly<Record<string, string>> = {
  GET: "get",
  HEAD: "get",
  POST: "create",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

const proxySubresources = new Set(["proxy", "exec", "attach", "portforward"]);

export function attributesOf(request: ApiRequest, info: ResourceInfo | undefined): Attributes {
  const { user, method, path, query } = request;
  if (!info) return { user, verb: method.toLowerCase(), path };
  const { group, version, resource, subresource } = info;
  const fieldSelector = query.get("fieldSelector") ?? "";
  const name = info.name || singleName(fieldSelector);
  // A namespace itself is judged by the rules of that namespace.
  const namespace = resource === "namespaces" && group === "" ? info.name : (info.namespace ?? "");
  return {
    user,
    verb: verbOf(method, info, query),
    path,
    resource: { group, version, resource, subresource, namespace, name, fieldSelector },
  };
}

function verbOf(method: string, info: ResourceInfo, query: URLSearchParams): string {
  const verb = verbs[method] ?? method.toLowerCase();
  if (proxySubresources.has(info.subresource)) return verb;
  if (verb === "get" && isTrue(query.get("watch"))) return "watch";
  if (info.name) return verb;
  if (verb === "get") return "list";
  return verb === "delete" ? "deletecollection" : verb;
}

function isTrue(value: string | null): boolean {
  return value === "true" || value === "1";
}

/** A collection cut down to one name is judged as that object. */
function singleName(fieldSelector: string): string {
  const match = /(?:^|,)metadata\.name==?([^,]+)(?:,|$)/.exec(fieldSelector);
  return match?.[1] ?? "";
}

/** The 403, in upstream's words. */
export function forbiddenTo({ user, verb, path, resource }: Attributes, reason: string): StatusError {
  const who = JSON.stringify(user.username);
  if (!resource) {
    const why = `User ${who} cannot ${verb} path ${JSON.stringify(path)}`;
    return StatusError.of(403, "Forbidden", `forbidden: ${why}`);
  }
  const what = resource.subresource ? `${resource.resource}/${resource.subresource}` : resource.resource;
  const where = resource.namespace
    ? `in the namespace ${JSON.stringify(resource.namespace)}`
    : "at the cluster scope";
  const group = JSON.stringify(resource.group);
  const why = `User ${who} cannot ${verb} resource ${JSON.stringify(what)} in API group ${group} ${where}`;
  return forbidden(resource, resource.name, reason ? `${why}: ${reason}` : why);
}
