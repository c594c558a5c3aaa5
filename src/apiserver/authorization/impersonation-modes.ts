/**
 * Who may act as whom. The constrained modes ask twice: may the user do this while acting as such a one
 * (`impersonate-on:<mode>:<verb>`), and may they act as this one at all (`impersonate:<mode>`). The old verb `impersonate`
 * allows everything at once. https://kubernetes.io/docs/reference/access-authn-authz/user-impersonation/#constrained-impersonation
 */
import { dnsSubdomainErrors } from "#api";
import { anonymous, authenticatedGroup, nodeOfAccount, serviceAccountOf, type User } from "../user.ts";
import { type Attributes, forbiddenTo, type ResourceAttributes } from "./attributes.ts";
import type { Authorizer } from "./authorizer.ts";

/** Whom the headers name, as they stand there. */
export interface Wanted {
  readonly username: string;
  readonly groups: readonly string[];
  readonly uid: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** Undefined where the mode is not for such a one. Throws 403. */
export type Mode = (authorizer: Authorizer, wanted: Wanted, attributes: Attributes) => User | undefined;

const identity = { group: "authentication.k8s.io", version: "v1" };
const core = { group: "", version: "v1" };
const nodePrefix = "system:node:";
const nodeKeysKey = "authentication.kubernetes.io/associated-node-keys";
const privilegedGroup = "system:masters";
const [unauthenticatedGroup = ""] = anonymous.groups;
const lowerCaseKey = /^[a-z0-9._~%!$&'()*+,;=:@/-]+$/;

function check(authorizer: Authorizer, attributes: Attributes): void {
  const { allowed, reason } = authorizer.authorize(attributes);
  if (!allowed) throw forbiddenTo(attributes, reason);
}

function asked(resource: string, name: string, more: Partial<ResourceAttributes> = {}): ResourceAttributes {
  return { ...core, resource, subresource: "", namespace: "", name, ...more };
}

function nodeOf(username: string): string | undefined {
  const name = username.startsWith(nodePrefix) ? username.slice(nodePrefix.length) : "";
  return name && dnsSubdomainErrors(name).length === 0 ? name : undefined;
}

const accountGroups = (namespace: string) => [
  "system:serviceaccounts",
  `system:serviceaccounts:${namespace}`,
];

/** Everything else of such users is known. */
function isNameAlone({ groups, uid, extra }: Wanted): boolean {
  return groups.length === 0 && uid === "" && Object.keys(extra).length === 0;
}

/** The user, with the groups that such a one has anyway. */
function actual({ username, uid, extra }: Wanted, groups: readonly string[]): User {
  const isAnonymous = username === anonymous.username;
  const settled =
    groups.includes(unauthenticatedGroup) || (!isAnonymous && groups.includes(authenticatedGroup));
  const own = isAnonymous ? unauthenticatedGroup : authenticatedGroup;
  return {
    username,
    groups: settled ? groups : [...groups, own],
    ...(uid ? { uid } : {}),
    ...(Object.keys(extra).length > 0 ? { extra } : {}),
  };
}

/** Asks whether the user may do this while acting in that mode. */
function checkAction(authorizer: Authorizer, mode: string, attributes: Attributes): void {
  check(authorizer, { ...attributes, verb: `impersonate-on:${mode}:${attributes.verb}` });
}

/**
 * A service account acts as the node that its pod is on. Its rights are those of all its pods: no name of a node is asked
 * for, nor told.
 */
const associatedNode: Mode = (authorizer, wanted, attributes) => {
  const { user } = attributes;
  const node = nodeOf(wanted.username);
  if (!isNameAlone(wanted) || node === undefined || nodeOfAccount(user) !== node) return undefined;
  const requester = { ...user, extra: { [nodeKeysKey]: Object.keys(user.extra ?? {}).sort() } };
  checkAction(authorizer, "associated-node", { ...attributes, user: requester });
  const resource = asked("nodes", "*", identity);
  check(authorizer, { user: requester, verb: "impersonate:associated-node", path: "", resource });
  return actual(wanted, ["system:nodes"]);
};

const arbitraryNode: Mode = (authorizer, wanted, attributes) => {
  const node = nodeOf(wanted.username);
  if (!isNameAlone(wanted) || node === undefined) return undefined;
  checkAction(authorizer, "arbitrary-node", attributes);
  const resource = asked("nodes", node, identity);
  check(authorizer, { user: attributes.user, verb: "impersonate:arbitrary-node", path: "", resource });
  return actual(wanted, ["system:nodes"]);
};

const serviceAccount: Mode = (authorizer, wanted, attributes) => {
  const account = serviceAccountOf(wanted.username);
  if (!isNameAlone(wanted) || !account) return undefined;
  checkAction(authorizer, "serviceaccount", attributes);
  const resource = asked("serviceaccounts", account.name, { ...identity, namespace: account.namespace });
  check(authorizer, { user: attributes.user, verb: "impersonate:serviceaccount", path: "", resource });
  return actual(wanted, accountGroups(account.namespace));
};

/** All who are neither nodes nor service accounts. */
const userInfo: Mode = (authorizer, wanted, attributes) => {
  if (nodeOf(wanted.username) !== undefined || serviceAccountOf(wanted.username)) return undefined;
  checkAction(authorizer, "user-info", attributes);
  const verb = "impersonate:user-info";
  const of = (resource: ResourceAttributes): Attributes => ({
    user: attributes.user,
    verb,
    path: "",
    resource,
  });
  check(authorizer, of(asked("users", wanted.username, identity)));
  if (wanted.groups.includes(privilegedGroup)) {
    const reason = `impersonating the ${privilegedGroup} group is not allowed`;
    throw forbiddenTo(of(asked("groups", privilegedGroup, identity)), reason);
  }
  for (const [key, values] of Object.entries(wanted.extra)) {
    const problem = lowerCaseKey.test(key)
      ? values.length === 0 && "impersonating empty values in extra is not allowed"
      : `impersonating an invalid key in extra is not allowed: ${JSON.stringify(key)}`;
    if (problem) throw forbiddenTo(of(asked("userextras", "", identity)), problem);
  }
  checkParts(authorizer, attributes.user, verb, wanted, identity);
  return actual(wanted, wanted.groups);
};

/** Everything at once, by the one verb that there was before. */
const legacy: Mode = (authorizer, wanted, { user }) => {
  const verb = "impersonate";
  const account = serviceAccountOf(wanted.username);
  const resource = account
    ? asked("serviceaccounts", account.name, { namespace: account.namespace })
    : asked("users", wanted.username);
  check(authorizer, { user, verb, path: "", resource });
  checkParts(authorizer, user, verb, wanted, core);
  const own = account && wanted.groups.length === 0 ? accountGroups(account.namespace) : wanted.groups;
  return actual(wanted, own);
};

function checkParts(
  authorizer: Authorizer,
  user: User,
  verb: string,
  { groups, uid, extra }: Wanted,
  ofGroups: Partial<ResourceAttributes>,
): void {
  const ask = (resource: ResourceAttributes) => check(authorizer, { user, verb, path: "", resource });
  if (uid) ask(asked("uids", uid, identity));
  for (const group of groups) ask(asked("groups", group, ofGroups));
  for (const [key, values] of Object.entries(extra))
    for (const value of values) ask(asked("userextras", value, { ...identity, subresource: key }));
}

/** As they are tried. */
export const modes: readonly Mode[] = [associatedNode, arbitraryNode, serviceAccount, userInfo, legacy];
