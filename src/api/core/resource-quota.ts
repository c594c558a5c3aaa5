/** ResourceQuota. https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/resource-quota-v1/ */
import type { corev1, metav1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { isQuotaResource, quotaResourceNameErrors, resourceAmountErrors } from "./resource-names.ts";

type Quota = Readonly<corev1.ResourceQuota>;
type Spec = Readonly<corev1.ResourceQuotaSpec>;
type Amounts = Readonly<Record<string, metav1.Quantity>> | undefined;

const podResources = [
  "pods",
  "cpu",
  "memory",
  "limits.cpu",
  "limits.memory",
  "requests.cpu",
  "requests.memory",
];
/** What can be counted within each scope. */
const scopeResources: ReadonlyMap<string, readonly string[]> = new Map([
  ["BestEffort", ["pods"]],
  ["CrossNamespacePodAffinity", podResources],
  ["NotBestEffort", podResources],
  ["NotTerminating", podResources],
  ["PriorityClass", podResources],
  ["Terminating", podResources],
  ["VolumeAttributesClass", ["persistentvolumeclaims", "requests.storage"]],
]);
const conflicting = [
  ["BestEffort", "NotBestEffort"],
  ["Terminating", "NotTerminating"],
];
const onlyExists = new Set([
  "BestEffort",
  "CrossNamespacePodAffinity",
  "NotBestEffort",
  "NotTerminating",
  "Terminating",
]);

function validateAmounts(amounts: Amounts, at: string): FieldError[] {
  return Object.entries(amounts ?? {}).flatMap(([name, amount]) => [
    ...quotaResourceNameErrors(name, `${at}[${name}]`),
    ...resourceAmountErrors(name, amount, `${at}[${name}]`),
  ]);
}

/** Limits that mean nothing within a scope. */
function misplaced(scope: string, spec: Spec, field: string, value: unknown): FieldError[] {
  const fitting = scopeResources.get(scope);
  return Object.keys(spec.hard ?? {})
    .filter((name) => isQuotaResource(name) && fitting !== undefined && !fitting.includes(name))
    .map(() => invalid(field, value, "unsupported scope applied to resource"));
}

function conflicts(scopes: readonly string[], field: string, value: unknown): FieldError[] {
  return conflicting
    .filter((pair) => pair.every((scope) => scopes.includes(scope)))
    .map(() => invalid(field, value, "conflicting scopes"));
}

function validateScopes(spec: Spec): FieldError[] {
  const field = "spec.scopes";
  const scopes = spec.scopes ?? [];
  return [
    ...scopes.flatMap((scope) => [
      ...(scopeResources.has(scope) ? [] : [invalid(field, scopes, "unsupported scope")]),
      ...misplaced(scope, spec, field, scopes),
    ]),
    ...conflicts(scopes, field, scopes),
  ];
}

function validateScopeSelector(spec: Spec): FieldError[] {
  if (!spec.scopeSelector) return [];
  const at = "spec.scopeSelector.matchExpressions";
  const terms = spec.scopeSelector.matchExpressions ?? [];
  const errors = terms.flatMap((term) => [
    ...(scopeResources.has(term.scopeName)
      ? []
      : [invalid(`${at}.scopeName`, term.scopeName ?? "", "unsupported scope")]),
    ...misplaced(term.scopeName, spec, at, spec.scopeSelector),
    ...validateScopeTerm(term, at),
  ]);
  const scopes = terms.map((term) => term.scopeName);
  return [...errors, ...conflicts(scopes, at, spec.scopes ?? null)];
}

function validateScopeTerm(
  term: Readonly<corev1.ScopedResourceSelectorRequirement>,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const { operator, values = [] } = term;
  if (onlyExists.has(term.scopeName) && operator !== "Exists") {
    const detail =
      "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
    errors.push(invalid(`${at}.operator`, operator ?? "", detail));
  }
  if (operator === "In" || operator === "NotIn") {
    const detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
    if (values.length === 0) errors.push(required(`${at}.values`, detail));
  } else if (operator === "Exists" || operator === "DoesNotExist") {
    const detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
    if (values.length > 0) errors.push(invalid(`${at}.values`, values, detail));
  } else errors.push(invalid(`${at}.operator`, operator ?? "", "not a valid selector operator"));
  return errors;
}

function validateSpec(spec: Spec): FieldError[] {
  return [
    ...validateAmounts(spec.hard, "spec.hard"),
    ...validateScopes(spec),
    ...validateScopeSelector(spec),
  ];
}

function validateStatus({ status }: Quota): FieldError[] {
  return [...validateAmounts(status?.hard, "status.hard"), ...validateAmounts(status?.used, "status.used")];
}

function validateUpdate({ spec }: Quota, old: Quota): FieldError[] {
  const [now, before] = [new Set(spec.scopes), new Set(old.spec.scopes)];
  const same = now.size === before.size && [...now].every((scope) => before.has(scope));
  const errors = validateSpec(spec);
  return same ? errors : [...errors, invalid("spec.scopes", spec.scopes ?? null, "field is immutable")];
}

function usage({ status }: Quota, wantLimits: boolean): string {
  return Object.keys(status?.hard ?? {})
    .sort()
    .filter((name) => name.startsWith("limits.") === wantLimits)
    .map((name) => `${name}: ${status.used?.[name] ?? 0}/${status.hard![name]}`)
    .join(", ");
}

export const resourceQuotas = defineResource<corev1.ResourceQuota>({
  group: "",
  version: "v1",
  resource: "resourcequotas",
  kind: "ResourceQuota",
  typeName: "io.k8s.api.core.v1.ResourceQuota",
  namespaced: true,
  shortNames: ["quota"],
  subresources: { status: { kind: "ResourceQuota", verbs: ["get", "patch", "update"] } },
  defaults(quota) {
    quota.spec ??= {};
  },
  validate: (quota) => [...validateSpec(quota.spec), ...validateStatus(quota)],
  validateUpdate,
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column("Request", "string", "What is requested, of how much may be.", (q) => usage(q, false)),
    column("Limit", "string", "What the limits add up to, of how much they may.", (q) => usage(q, true)),
    ageColumn(),
  ],
});
