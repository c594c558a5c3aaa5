/**
 * Acting as somebody else, for those who may. https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
 */
import { badRequest } from "#api";
import { anonymous, authenticatedGroup, type User } from "../user.ts";
import type { ResourceAttributes } from "./attributes.ts";
import { forbiddenTo } from "./attributes.ts";
import type { Authorizer } from "./authorizer.ts";

type Headers = Readonly<Record<string, string | undefined>>;

const extraPrefix = "impersonate-extra-";
const serviceAccountPrefix = "system:serviceaccount:";
/** Groups and values of extra fields that one request may bring. */
const valuesMax = 100;

/** Whom the headers name, if the user may; the user himself where they name nobody. Throws 403. */
export function impersonated(authorizer: Authorizer, user: User, headers: Headers): User {
  const username = headers["impersonate-user"];
  const groups = valuesOf(headers["impersonate-group"]);
  const uid = headers["impersonate-uid"];
  const extra = extraOf(headers);
  if (!username) {
    if (groups.length > 0 || uid || Object.keys(extra).length > 0)
      throw badRequest("requested impersonation without impersonating a user");
    return user;
  }
  const check = (resource: string, name: string, more: Partial<ResourceAttributes> = {}) => {
    const asked = { group: "", version: "v1", resource, subresource: "", namespace: "", name, ...more };
    const attributes = { user, verb: "impersonate", path: "", resource: asked };
    const { allowed, reason } = authorizer.authorize(attributes);
    if (!allowed) throw forbiddenTo(attributes, reason);
  };
  const account = serviceAccountOf(username);
  if (account) check("serviceaccounts", account.name, { namespace: account.namespace });
  else check("users", username);
  const identity = { group: "authentication.k8s.io", version: "v1" };
  for (const group of groups) check("groups", group);
  if (uid) check("uids", uid, identity);
  for (const [key, values] of Object.entries(extra))
    for (const value of values) check("userextras", value, { ...identity, subresource: key });
  return {
    username,
    groups: completed(username, groups, account?.namespace),
    ...(uid ? { uid } : {}),
    ...(Object.keys(extra).length > 0 ? { extra } : {}),
  };
}

function serviceAccountOf(username: string): { namespace: string; name: string } | undefined {
  if (!username.startsWith(serviceAccountPrefix)) return undefined;
  const [namespace, name, ...rest] = username.slice(serviceAccountPrefix.length).split(":");
  return namespace && name && rest.length === 0 ? { namespace, name } : undefined;
}

/** The groups that such a user would have had anyway. */
function completed(username: string, groups: readonly string[], namespace: string | undefined): string[] {
  const own =
    namespace && groups.length === 0 ? ["system:serviceaccounts", `system:serviceaccounts:${namespace}`] : [];
  const all = [...groups, ...own];
  const [unauthenticated = ""] = anonymous.groups;
  if (username === anonymous.username) return all.includes(unauthenticated) ? all : [...all, unauthenticated];
  const settled = all.includes(authenticatedGroup) || all.includes(unauthenticated);
  return settled ? all : [...all, authenticatedGroup];
}

/** Repeated headers reach us joined. */
function valuesOf(header: string | undefined): string[] {
  const values = header ? header.split(",").map((value) => value.trim()) : [];
  if (values.length > valuesMax) throw badRequest(`more than ${valuesMax} groups or values to impersonate`);
  return values.filter((value) => value !== "");
}

function extraOf(headers: Headers): Record<string, string[]> {
  const extra: Record<string, string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(extraPrefix)) continue;
    extra[unescaped(name.slice(extraPrefix.length))] = valuesOf(value);
  }
  return extra;
}

function unescaped(key: string): string {
  try {
    return decodeURIComponent(key);
  } catch {
    return key;
  }
}
