/** May this user do this? https://kubernetes.io/docs/reference/access-authn-authz/authorization/ */
import { authenticatedGroup, type User } from "./user.ts";

interface AuthorizationAttributes {
  user: User;
  verb: string;
  /** Empty for paths that are not about resources. */
  resource: string;
  path: string;
}

export interface Authorizer {
  authorize(attributes: AuthorizationAttributes): boolean;
}

const openPath = /^\/(?:version|(?:healthz|livez|readyz)(?:\/[\w-]+)?)$/;

/** Whoever proved who they are may do everything; nobody else may do more than ask whether the server is well. */
export const alwaysAllowAuthenticated: Authorizer = {
  authorize: ({ user, path, verb }) =>
    user.groups.includes(authenticatedGroup) || (verb === "get" && openPath.test(path)),
};
