/**
 * Authorizers, and their union: the first that allows decides; nobody denies.
 * https://kubernetes.io/docs/reference/access-authn-authz/authorization/
 */
import type { User } from "../user.ts";
import type { Attributes } from "./attributes.ts";
import type { Rule } from "./rules.ts";

export interface Decision {
  allowed: boolean;
  /** Why, for reviews and refusals; may be empty. */
  reason: string;
}

/** What a user may do, as far as it can be listed. */
export interface UserRules {
  rules: readonly Rule[];
  errors: readonly string[];
}

export interface Authorizer {
  authorize(attributes: Attributes): Decision;
  rulesFor(user: User, namespace: string): UserRules;
}

const privilegedGroup = "system:masters";

/** The group that may do everything, whatever roles there are. */
export const privilegedUsers: Authorizer = {
  authorize: ({ user }) => ({ allowed: user.groups.includes(privilegedGroup), reason: "" }),
  rulesFor: ({ groups }) => ({
    rules: groups.includes(privilegedGroup)
      ? [
          { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
          { verbs: ["*"], nonResourceURLs: ["*"] },
        ]
      : [],
    errors: [],
  }),
};

export function firstToAllow(...authorizers: readonly Authorizer[]): Authorizer {
  return {
    authorize(attributes) {
      const reasons: string[] = [];
      for (const authorizer of authorizers) {
        const decision = authorizer.authorize(attributes);
        if (decision.allowed) return decision;
        if (decision.reason) reasons.push(decision.reason);
      }
      return { allowed: false, reason: reasons.join("\n") };
    },
    rulesFor(user, namespace) {
      const all = authorizers.map((authorizer) => authorizer.rulesFor(user, namespace));
      return { rules: all.flatMap(({ rules }) => rules), errors: all.flatMap(({ errors }) => errors) };
    },
  };
}
