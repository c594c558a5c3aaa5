/** Who asks, as authentication found out. https://kubernetes.io/docs/reference/access-authn-authz/authentication/ */

export interface User {
  readonly username: string;
  readonly groups: readonly string[];
  readonly uid?: string;
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export const authenticatedGroup = "system:authenticated";

export const anonymous: User = { username: "system:anonymous", groups: ["system:unauthenticated"] };
