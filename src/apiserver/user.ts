/** Who asks, as authentication found out. https://kubernetes.io/docs/reference/access-authn-authz/authentication/ */

import type { authenticationv1 } from "#api";

export interface User {
  readonly username: string;
  readonly groups: readonly string[];
  readonly uid?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export const authenticatedGroup = "system:authenticated";

export const anonymous: User = { username: "system:anonymous", groups: ["system:unauthenticated"] };

/** As reviews and webhooks are told of them. */
export function userInfoOf({ username, uid, groups, extra }: User): authenticationv1.UserInfo {
  return {
    username,
    ...(uid ? { uid } : {}),
    groups: [...groups],
    ...(extra ? { extra: Object.fromEntries(Object.entries(extra).map(([k, v]) => [k, [...v]])) } : {}),
  };
}

const accountPrefix = "system:serviceaccount:";
const nodeNameKey = "authentication.kubernetes.io/node-name";

/** What a service account is called as a user. */
export function accountUsername(namespace: string, name: string): string {
  return `${accountPrefix}${namespace}:${name}`;
}

/** The service account behind a username; undefined for all others. */
export function serviceAccountOf(username: string): { namespace: string; name: string } | undefined {
  if (!username.startsWith(accountPrefix)) return undefined;
  const [namespace, name, ...rest] = username.slice(accountPrefix.length).split(":");
  return namespace && name && rest.length === 0 ? { namespace, name } : undefined;
}

/** The node that the pod of a service account is on, as its token says. */
export function nodeOfAccount({ username, extra }: User): string | undefined {
  const [node, ...others] = extra?.[nodeNameKey] ?? [];
  return serviceAccountOf(username) && others.length === 0 ? node : undefined;
}
