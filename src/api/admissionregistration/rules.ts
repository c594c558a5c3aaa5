/**
 * Which requests admission asks about: operations and resources, as webhooks and policies name them.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
 */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import { duplicate, type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { validateLabelSelector } from "../meta/label-selector.ts";
import { invalidEach } from "../validation/checks.ts";
import { pathSegmentErrors } from "../validation/names.ts";

type Rule = Readonly<admissionregistrationv1.RuleWithOperations>;

export const failurePolicies = ["Fail", "Ignore"];
const matchPolicies = ["Equivalent", "Exact"];
const scopes = ["*", "Cluster", "Namespaced"];
const operations = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];

export function validateRule(rule: Rule, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const list = (name: "operations" | "apiGroups" | "apiVersions", what: string) => {
    const values = rule[name] ?? [];
    if (values.length === 0) errors.push(required(`${at}.${name}`));
    if (values.length > 1 && values.includes("*"))
      errors.push(invalid(`${at}.${name}`, values, `if '*' is present, must not specify other ${what}`));
    return values;
  };
  for (const [i, operation] of list("operations", "operations").entries())
    if (!operations.includes(operation))
      errors.push(notSupported(`${at}.operations[${i}]`, operation, operations));
  list("apiGroups", "API groups");
  for (const [i, version] of list("apiVersions", "API versions").entries())
    if (version === "") errors.push(required(`${at}.apiVersions[${i}]`));
  errors.push(...validateResources(rule.resources ?? [], `${at}.resources`));
  if (rule.scope !== undefined && !scopes.includes(rule.scope))
    errors.push(notSupported(`${at}.scope`, rule.scope, scopes));
  return errors;
}

/** A resource that another one of the same list includes is an error, as upstream sees it. */
function validateResources(resources: readonly string[], at: string): FieldError[] {
  if (resources.length === 0) return [required(at)];
  const errors: FieldError[] = [];
  const withSubresources = new Set<string>();
  const wildSubresources = new Set<string>();
  for (const [i, whole] of resources.entries()) {
    const path = `${at}[${i}]`;
    if (whole === "") errors.push(required(path));
    if (whole === "*/*" && resources.length > 1)
      errors.push(invalid(path, whole, "if '*/*' is present, must not specify other resources"));
    const [resource = "", subresource] = whole.split("/");
    if (subresource === undefined) continue;
    if (withSubresources.has(resource))
      errors.push(invalid(path, whole, `if '${resource}/*' is present, must not specify ${whole}`));
    if (wildSubresources.has(subresource))
      errors.push(invalid(path, whole, `if '*/${subresource}' is present, must not specify ${whole}`));
    if (subresource === "*") withSubresources.add(resource);
    if (resource === "*") wildSubresources.add(subresource);
  }
  if (resources.length > 1 && resources.includes("*")) {
    const others = resources.filter((each) => each !== "*" && !each.includes("/"));
    if (others.length > 0)
      errors.push(
        invalid(at, resources, "if '*' is present, must not specify other resources without subresources"),
      );
  }
  return errors;
}

export function defaultRule(rule: admissionregistrationv1.RuleWithOperations): void {
  rule.scope ??= "*";
}

export function validatePolicyChoice(
  value: string | undefined,
  field: string,
  supported: readonly string[],
): FieldError[] {
  return value === undefined || supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

/** What webhooks and policies have in common: which objects and namespaces, and how exactly. */
export function validateSelectors(
  given: Readonly<
    Pick<admissionregistrationv1.MatchResources, "matchPolicy" | "namespaceSelector" | "objectSelector">
  >,
  at: string,
): FieldError[] {
  return [
    ...validatePolicyChoice(given.matchPolicy, `${at}.matchPolicy`, matchPolicies),
    ...validateLabelSelector(given.namespaceSelector, `${at}.namespaceSelector`),
    ...validateLabelSelector(given.objectSelector, `${at}.objectSelector`),
  ];
}

export function defaultMatchResources(given: admissionregistrationv1.MatchResources): void {
  given.matchPolicy ??= "Equivalent";
  given.namespaceSelector ??= {};
  given.objectSelector ??= {};
  for (const rule of [...(given.resourceRules ?? []), ...(given.excludeResourceRules ?? [])])
    defaultRule(rule);
}

/** `needsRules`: a policy must say what it is about; a binding may leave it to the policy. */
export function validateMatchResources(
  given: Readonly<admissionregistrationv1.MatchResources>,
  at: string,
  needsRules: boolean,
): FieldError[] {
  const errors: FieldError[] = [];
  if (needsRules && given.matchPolicy === undefined) errors.push(required(`${at}.matchPolicy`));
  errors.push(...validateSelectors(given, at));
  if (needsRules && !given.resourceRules?.length) errors.push(required(`${at}.resourceRules`));
  for (const name of ["resourceRules", "excludeResourceRules"] as const)
    for (const [i, rule] of (given[name] ?? []).entries())
      errors.push(...validateNamedRule(rule, `${at}.${name}[${i}]`));
  return errors;
}

function validateNamedRule(
  rule: Readonly<admissionregistrationv1.NamedRuleWithOperations>,
  at: string,
): FieldError[] {
  const errors = validateRule(rule, at);
  const names = rule.resourceNames ?? [];
  for (const [i, name] of names.entries()) {
    const path = `${at}.resourceNames[${i}]`;
    errors.push(...invalidEach(path, name, pathSegmentErrors(name)));
    if (names.indexOf(name) !== i) errors.push(duplicate(path, name));
  }
  return errors;
}
