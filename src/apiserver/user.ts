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
