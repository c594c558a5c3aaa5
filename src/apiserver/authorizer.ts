/** May this user do this? https://kubernetes.io/docs/reference/access-authn-authz/authorization/ */
import type { authorizationv1 } from "#api";
import { authenticatedGroup, type User } from "./user.ts";

interface AuthorizationAttributes {
  user: User;
  verb: string;
  /** Empty for paths that are not about resources. */
  resource: string;
  path: string;
}

type Rules = Pick<authorizationv1.SubjectRulesReviewStatus, "resourceRules" | "nonResourceRules">;

export interface Authorizer {
  authorize(attributes: AuthorizationAttributes): boolean;
  /** All that the user may do, as far as it can be listed. */
  rulesFor(user: User): Rules;
}

const openPath = /^\/(?:version|(?:healthz|livez|readyz)(?:\/[\w-]+)?)$/;

const everything: Rules = {
  resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
  nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
};
const nothing: Rules = { resourceRules: [], nonResourceRules: [] };

/** Whoever proved who they are may do everything; nobody else may do more than ask whether the server is well. */
export const alwaysAllowAuthenticated: Authorizer = {
  authorize: ({ user, path, verb }) =>
    user.groups.includes(authenticatedGroup) || (verb === "get" && openPath.test(path)),
  rulesFor: ({ groups }) => (groups.includes(authenticatedGroup) ? everything : nothing),
};
