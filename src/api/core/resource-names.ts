/**
 * Which names resources may have, and where: in containers, quotas, limits.
 * https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/helper/helpers.go
 */
import type { metav1 } from "../generated/types/index.ts";
import { type FieldError, invalid } from "../meta/field-error.ts";
import { compareQuantities, parseQuantity } from "../meta/quantity.ts";
import { invalidEach } from "../validation/checks.ts";
import { qualifiedNameErrors } from "../validation/names.ts";

const containerResources = ["cpu", "memory", "ephemeral-storage"];
const computeResources = ["requests", "limits"].flatMap((kind) =>
  containerResources.map((name) => `${kind}.${name}`),
);
const countedResources = [
  "pods",
  "resourcequotas",
  "services",
  "replicationcontrollers",
  "secrets",
  "configmaps",
  "persistentvolumeclaims",
  "services.nodeports",
  "services.loadbalancers",
];
const inContainers = new Set(containerResources);
const inQuotas = new Set([
  ...containerResources,
  ...computeResources,
  ...countedResources,
  "requests.storage",
]);
const standard = new Set([...inQuotas, "storage"]);
const counted = new Set(countedResources);
const hugePages = "hugepages-";

/** Kubernetes' own: without a prefix, or with one of kubernetes.io. */
export function isNativeResource(name: string): boolean {
  return !name.includes("/") || name.includes("kubernetes.io/");
}

export function isHugePages(name: string): boolean {
  return name.startsWith(hugePages);
}

/** Of a device plugin: counted in whole units. */
export function isExtendedResource(name: string): boolean {
  if (isNativeResource(name) || name.startsWith("requests.")) return false;
  return qualifiedNameErrors(`requests.${name}`).length === 0;
}

/** Whether a request may be less than its limit. */
export function canOvercommit(name: string): boolean {
  return isNativeResource(name) && !isHugePages(name);
}

export function isQuotaResource(name: string): boolean {
  return inQuotas.has(name) || isHugePages(name) || name.startsWith(`requests.${hugePages}`);
}

export function resourceNameErrors(name: string, field: string): FieldError[] {
  const errors = invalidEach(field, name, qualifiedNameErrors(name));
  if (errors.length > 0 || name.includes("/") || standard.has(name) || isQuotaResource(name)) return errors;
  return [invalid(field, name, "must be a standard resource type or fully qualified")];
}

export function containerResourceNameErrors(name: string, field: string): FieldError[] {
  const errors = resourceNameErrors(name, field);
  if (!name.includes("/")) {
    if (!inContainers.has(name) && !isHugePages(name))
      errors.push(invalid(field, name, "must be a standard resource for containers"));
  } else if (!isNativeResource(name) && !isExtendedResource(name)) {
    errors.push(invalid(field, name, "doesn't follow extended resource name standard"));
  }
  return errors;
}

export function quotaResourceNameErrors(name: string, field: string): FieldError[] {
  const errors = resourceNameErrors(name, field);
  if (!name.includes("/") && !isQuotaResource(name))
    errors.push(invalid(field, name, "must be a standard resource for quota"));
  return errors;
}

/** Amounts are not negative, and what is counted comes in whole numbers. */
export function resourceAmountErrors(name: string, amount: metav1.Quantity, field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (compareQuantities(amount, 0) < 0)
    errors.push(invalid(field, String(amount), "must be greater than or equal to 0"));
  const isWhole = (parseQuantity(amount)?.nanos ?? 0n) % 1_000_000_000n === 0n;
  if ((counted.has(name) || isExtendedResource(name)) && !isWhole)
    errors.push(invalid(field, String(amount), "must be an integer"));
  return errors;
}
