/** Requests and limits. https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/ */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, invalid, required } from "../../meta/field-error.ts";
import { compareQuantities, parseQuantity } from "../../meta/quantity.ts";
import { qualifiedNameErrors } from "../../validation/names.ts";

const standard = new Set(["cpu", "memory", "ephemeral-storage"]);
const hugePages = "hugepages-";

function nameErrors(name: string, field: string): FieldError[] {
  const errors = qualifiedNameErrors(name).map((e) => invalid(field, name, e));
  if (errors.length > 0 || name.includes("/") || standard.has(name) || name.startsWith(hugePages))
    return errors;
  return [invalid(field, name, "must be a standard resource for containers")];
}

function amountErrors(name: string, amount: string | number, field: string): FieldError[] {
  if (compareQuantities(amount, 0) < 0) return [invalid(field, amount, "must be greater than or equal to 0")];
  const isCountable = name.includes("/") || name.startsWith(hugePages);
  const nanos = parseQuantity(amount)?.nanos ?? 0n;
  return isCountable && nanos % 1_000_000_000n !== 0n ? [invalid(field, amount, "must be an integer")] : [];
}

export function validateResources(
  resources: Readonly<corev1.ResourceRequirements> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const limits = resources?.limits ?? {};
  const requests = resources?.requests ?? {};
  for (const [name, limit] of Object.entries(limits)) {
    errors.push(
      ...nameErrors(name, `${path}.limits`),
      ...amountErrors(name, limit, `${path}.limits[${name}]`),
    );
  }
  for (const [name, request] of Object.entries(requests)) {
    errors.push(
      ...nameErrors(name, `${path}.requests`),
      ...amountErrors(name, request, `${path}.requests[${name}]`),
    );
    const limit = limits[name];
    const canOvercommit = standard.has(name);
    if (limit === undefined) {
      if (!canOvercommit)
        errors.push(required(`${path}.limits`, "Limit must be set for non overcommitable resources"));
      continue;
    }
    const order = compareQuantities(request, limit);
    if (order > 0)
      errors.push(
        invalid(
          `${path}.requests`,
          String(request),
          `must be less than or equal to ${name} limit of ${limit}`,
        ),
      );
    else if (order < 0 && !canOvercommit) {
      errors.push(invalid(`${path}.requests`, String(request), `must be equal to ${name} limit of ${limit}`));
    }
  }
  return errors;
}
