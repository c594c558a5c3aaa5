/**
 * `authorizer` in expressions: may whoever asks do this?
 * https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library
 */
import type { CelEnvironment } from "#cel";
import type { Attributes as AdmissionAttributes } from "../admission/admission.ts";
import type { Attributes, ResourceAttributes } from "../authorization/attributes.ts";
import type { Authorizer } from "../authorization/authorizer.ts";
import { accountUsername, type User } from "../user.ts";

/** `authorizer` itself. */
export class AuthorizerValue {
  readonly authorizer: Authorizer;
  readonly user: User;
  readonly requestResource: CheckValue;

  constructor(
    authorizer: Authorizer,
    { user, definition, requested, subresource, namespace, name }: AdmissionAttributes,
  ) {
    this.authorizer = authorizer;
    this.user = user;
    const { group, version, resource } = requested ?? definition;
    const asked = { group, version, resource, subresource, namespace: namespace ?? "", name };
    this.requestResource = new CheckValue(this, asked);
  }
}

/** A resource or a path that is being described: `authorizer.group("apps").resource("deployments")`. */
class CheckValue {
  readonly of: Pick<AuthorizerValue, "authorizer" | "user">;
  readonly resource: ResourceAttributes | undefined;
  readonly path: string;

  constructor(of: CheckValue["of"], resource: ResourceAttributes | undefined, path = "") {
    this.of = of;
    this.resource = resource;
    this.path = path;
  }

  with(more: Partial<ResourceAttributes>): CheckValue {
    return new CheckValue(this.of, { ...this.resource!, ...more });
  }
}

class DecisionValue {
  readonly isAllowed: boolean;
  readonly reasonText: string;

  constructor(isAllowed: boolean, reasonText: string) {
    this.isAllowed = isAllowed;
    this.reasonText = reasonText;
  }
}

const nothing = { group: "", version: "*", resource: "", subresource: "", namespace: "", name: "" };

function decide({ of, resource, path }: CheckValue, verb: string): DecisionValue {
  const attributes: Attributes = { user: of.user, verb, path, ...(resource ? { resource } : {}) };
  const { allowed, reason } = of.authorizer.authorize(attributes);
  return new DecisionValue(allowed, reason);
}

function serviceAccount(namespace: string, name: string): User {
  const username = accountUsername(namespace, name);
  return {
    username,
    groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
  };
}

/** Makes the variable and its functions known. */
export function declareAuthorizer(environment: CelEnvironment): CelEnvironment {
  return environment
    .type("kubernetes.authorization.Check", {}, CheckValue)
    .type("kubernetes.authorization.Decision", {}, DecisionValue)
    .type(
      "kubernetes.authorization.Authorizer",
      { requestResource: "kubernetes.authorization.Check" },
      AuthorizerValue,
    )
    .variable("authorizer", "kubernetes.authorization.Authorizer")
    .function(
      "kubernetes.authorization.Authorizer.serviceAccount(string, string): kubernetes.authorization.Authorizer",
      (of: AuthorizerValue, namespace: string, name: string) =>
        Object.assign(Object.create(AuthorizerValue.prototype), of, {
          user: serviceAccount(namespace, name),
        }),
    )
    .function(
      "kubernetes.authorization.Authorizer.path(string): kubernetes.authorization.Check",
      (of: AuthorizerValue, path: string) => new CheckValue(of, undefined, path),
    )
    .function(
      "kubernetes.authorization.Authorizer.group(string): kubernetes.authorization.Check",
      (of: AuthorizerValue, group: string) => new CheckValue(of, { ...nothing, group }),
    )
    .function(
      "kubernetes.authorization.Check.resource(string): kubernetes.authorization.Check",
      (of: CheckValue, resource: string) => of.with({ resource }),
    )
    .function(
      "kubernetes.authorization.Check.subresource(string): kubernetes.authorization.Check",
      (of: CheckValue, subresource: string) => of.with({ subresource }),
    )
    .function(
      "kubernetes.authorization.Check.namespace(string): kubernetes.authorization.Check",
      (of: CheckValue, namespace: string) => of.with({ namespace }),
    )
    .function(
      "kubernetes.authorization.Check.name(string): kubernetes.authorization.Check",
      (of: CheckValue, name: string) => of.with({ name }),
    )
    .function("kubernetes.authorization.Check.check(string): kubernetes.authorization.Decision", decide)
    .function("kubernetes.authorization.Decision.allowed(): bool", (of: DecisionValue) => of.isAllowed)
    .function("kubernetes.authorization.Decision.reason(): string", (of: DecisionValue) => of.reasonText)
    .function("kubernetes.authorization.Decision.errored(): bool", () => false)
    .function("kubernetes.authorization.Decision.error(): string", () => "");
}
