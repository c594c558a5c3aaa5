/** What groups of pods and their templates in workloads have in common. https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/4671-gang-scheduling */
import type { schedulingv1alpha2 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required, tooMany } from "../meta/field-error.ts";
import { validateSet } from "../validation/lists.ts";
import { dnsLabelErrors, dnsSubdomainErrors, qualifiedNameErrors } from "../validation/names.ts";

type Spec = Readonly<schedulingv1alpha2.PodGroupTemplate | schedulingv1alpha2.PodGroupSpec>;
type Policy = Readonly<schedulingv1alpha2.PodGroupSchedulingPolicy>;
type Claim = Readonly<schedulingv1alpha2.PodGroupResourceClaim>;

export const claimsMax = 4;
const topologyMax = 1;
const priorityMax = 1_000_000_000;
const disruptionModes = ["Pod", "PodGroup"];

/** Required, and of a form. */
export function requiredName(
  value: string | undefined,
  field: string,
  errorsOf: (value: string) => string[],
): FieldError[] {
  return value ? errorsOf(value).map((e) => invalid(field, value, e)) : [required(field)];
}

/** Exactly one of these fields. */
export function validateUnion(
  object: object | undefined,
  members: readonly string[],
  at: string,
): FieldError[] {
  const present = members.filter(
    (name) => (object as Record<string, unknown> | undefined)?.[name] !== undefined,
  );
  const all = members.map((name) => `\`${name}\``).join(", ");
  if (present.length === 0) return [invalid(at, "", `must specify one of: ${all}`)];
  if (present.length === 1) return [];
  return [invalid(at, `{${present.join(", ")}}`, `must specify exactly one of: ${all}`)];
}

function validatePolicy(policy: Policy | undefined, at: string): FieldError[] {
  const errors = validateUnion(policy, ["basic", "gang"], at);
  const { gang } = policy ?? {};
  if (!gang) return errors;
  const { minCount = 0 } = gang;
  if (minCount === 0) errors.push(required(`${at}.gang.minCount`));
  else if (minCount < 1)
    errors.push(invalid(`${at}.gang.minCount`, minCount, "must be greater than or equal to 1"));
  return errors;
}

function validateClaim(claim: Claim, at: string): FieldError[] {
  const names = ["resourceClaimName", "resourceClaimTemplateName"] as const;
  const errors = validateUnion(claim, names, at);
  errors.push(...requiredName(claim.name, `${at}.name`, dnsLabelErrors));
  for (const key of names) {
    const value = claim[key];
    if (value !== undefined)
      for (const e of dnsSubdomainErrors(value)) errors.push(invalid(`${at}.${key}`, value, e));
  }
  return errors;
}

export function validateGroupSpec(spec: Spec, path: string): FieldError[] {
  const { schedulingConstraints, resourceClaims, disruptionMode, priorityClassName, priority = 0 } = spec;
  const errors = validatePolicy(spec.schedulingPolicy, `${path}.schedulingPolicy`);
  const topology = schedulingConstraints?.topology ?? [];
  const topologyAt = `${path}.schedulingConstraints.topology`;
  if (topology.length > topologyMax) errors.push(tooMany(topologyAt, topology.length, topologyMax));
  else
    for (const [i, { key }] of topology.entries())
      errors.push(...requiredName(key, `${topologyAt}[${i}].key`, qualifiedNameErrors));
  const claimsAt = `${path}.resourceClaims`;
  errors.push(...validateSet(resourceClaims, claimsMax, claimsAt, validateClaim, ({ name }) => name));
  if (disruptionMode !== undefined && !disruptionModes.includes(disruptionMode))
    errors.push(notSupported(`${path}.disruptionMode`, disruptionMode, disruptionModes));
  if (priorityClassName)
    for (const e of dnsSubdomainErrors(priorityClassName))
      errors.push(invalid(`${path}.priorityClassName`, priorityClassName, e));
  if (priority > priorityMax)
    errors.push(invalid(`${path}.priority`, priority, `must be less than or equal to ${priorityMax}`));
  return errors;
}
