/** https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go (ValidateNode) */
import type { corev1 } from "../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../meta/field-error.ts";
import { labelValueErrors, qualifiedNameErrors } from "../validation/names.ts";

const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

function validateTaints(taints: readonly corev1.Taint[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, taint] of taints.entries()) {
    const at = `${path}[${i}]`;
    for (const e of qualifiedNameErrors(taint.key)) errors.push(invalid(`${at}.key`, taint.key, e));
    for (const e of labelValueErrors(taint.value ?? "")) errors.push(invalid(`${at}.value`, taint.value, e));
    if (!taint.effect) errors.push(required(`${at}.effect`));
    else if (!effects.includes(taint.effect))
      errors.push(notSupported(`${at}.effect`, taint.effect, effects));
    const identity = `${taint.key}:${taint.effect}`;
    if (seen.has(identity)) {
      errors.push({
        ...duplicate(at, taint),
        message: `${duplicate(at, taint).message}: taints must be unique by key and effect pair`,
      });
    }
    seen.add(identity);
  }
  return errors;
}

export function validateNode(node: Readonly<corev1.Node>): FieldError[] {
  const errors = validateTaints(node.spec?.taints ?? [], "spec.taints");
  const cidrs = node.spec?.podCIDRs ?? [];
  if (cidrs.length > 2)
    errors.push(invalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family"));
  const addresses = new Set<string>();
  for (const [i, a] of (node.status?.addresses ?? []).entries()) {
    const identity = `${a.type}/${a.address}`;
    if (addresses.has(identity)) errors.push(duplicate(`status.addresses[${i}]`, a));
    addresses.add(identity);
  }
  return errors;
}

export function validateNodeUpdate(node: Readonly<corev1.Node>, old: Readonly<corev1.Node>): FieldError[] {
  const errors = validateNode(node);
  const before = old.spec?.podCIDRs ?? [];
  if (before.length > 0 && JSON.stringify(node.spec?.podCIDRs ?? []) !== JSON.stringify(before)) {
    errors.push(
      forbiddenField("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'),
    );
  }
  if (old.spec?.providerID && node.spec?.providerID !== old.spec.providerID) {
    errors.push(
      forbiddenField("spec.providerID", 'node updates may not change providerID except from "" to valid'),
    );
  }
  return errors;
}
