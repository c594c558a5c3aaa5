/** Where a pod may run: affinity, tolerations, spreading. https://kubernetes.io/docs/concepts/scheduling-eviction/ */
import type { corev1 } from "../../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../../meta/field-error.ts";
import { validateLabelSelector } from "../../meta/label-selector.ts";
import { dnsLabelErrors, labelValueErrors, qualifiedNameErrors } from "../../validation/names.ts";

const effects = ["NoExecute", "NoSchedule", "PreferNoSchedule"];

export function validateTolerations(tolerations: readonly corev1.Toleration[], path: string): FieldError[] {
  return tolerations.flatMap((t, i) => validateToleration(t, `${path}[${i}]`));
}

function validateToleration(t: Readonly<corev1.Toleration>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const operator = t.operator ?? "Equal";
  if (t.key) for (const e of qualifiedNameErrors(t.key)) errors.push(invalid(`${at}.key`, t.key, e));
  else if (operator !== "Exists") {
    const detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"';
    errors.push(invalid(`${at}.operator`, t.operator ?? "", detail));
  }
  if (t.tolerationSeconds !== undefined && t.effect !== "NoExecute") {
    errors.push(
      invalid(`${at}.effect`, t.effect ?? "", "effect must be 'NoExecute' when `tolerationSeconds` is set"),
    );
  }
  if (operator === "Equal") {
    for (const e of labelValueErrors(t.value ?? "")) errors.push(invalid(`${at}.operator`, t.value, e));
  } else if (operator === "Exists") {
    if (t.value) errors.push(invalid(`${at}.operator`, t, "value must be empty when `operator` is 'Exists'"));
  } else errors.push(notSupported(`${at}.operator`, operator, ["Equal", "Exists"]));
  if (t.effect && !effects.includes(t.effect)) errors.push(notSupported(`${at}.effect`, t.effect, effects));
  return errors;
}

function validateNodeRequirement(r: Readonly<corev1.NodeSelectorRequirement>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const count = r.values?.length ?? 0;
  switch (r.operator as string) {
    case "In":
    case "NotIn":
      if (count === 0)
        errors.push(required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case "Exists":
    case "DoesNotExist":
      if (count > 0) {
        errors.push(
          forbiddenField(
            `${at}.values`,
            "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
          ),
        );
      }
      break;
    case "Gt":
    case "Lt":
      if (count !== 1)
        errors.push(
          required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"),
        );
      break;
    default:
      errors.push(invalid(`${at}.operator`, r.operator ?? "", "not a valid selector operator"));
  }
  for (const e of qualifiedNameErrors(r.key ?? "")) errors.push(invalid(`${at}.key`, r.key ?? "", e));
  return errors;
}

function validateNodeTerm(term: Readonly<corev1.NodeSelectorTerm>, at: string): FieldError[] {
  const errors = (term.matchExpressions ?? []).flatMap((r, i) =>
    validateNodeRequirement(r, `${at}.matchExpressions[${i}]`),
  );
  for (const [i, r] of (term.matchFields ?? []).entries()) {
    const field = `${at}.matchFields[${i}]`;
    if (r.key !== "metadata.name")
      errors.push(invalid(`${field}.key`, r.key, "not a valid field selector key"));
    if (r.operator !== "In" && r.operator !== "NotIn") {
      errors.push(invalid(`${field}.operator`, r.operator, "not a valid selector operator"));
    } else if (r.values?.length !== 1) {
      errors.push(
        required(
          `${field}.values`,
          "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
      );
    }
  }
  return errors;
}

/** Terms of which a node must fit one: of pods, of volumes, of devices. */
export function validateNodeSelector(selector: Readonly<corev1.NodeSelector>, path: string): FieldError[] {
  const terms = selector.nodeSelectorTerms ?? [];
  const at = `${path}.nodeSelectorTerms`;
  if (terms.length === 0) return [required(at, "must have at least one node selector term")];
  return terms.flatMap((term, i) => validateNodeTerm(term, `${at}[${i}]`));
}

function weightErrors(weight: number | undefined, at: string): FieldError[] {
  const value = weight ?? 0;
  return value < 1 || value > 100 ? [invalid(`${at}.weight`, value, "must be in the range 1-100")] : [];
}

function validatePodTerm(term: Readonly<corev1.PodAffinityTerm>, at: string): FieldError[] {
  const errors = validateLabelSelector(term.labelSelector, `${at}.labelSelector`);
  errors.push(...validateLabelSelector(term.namespaceSelector, `${at}.namespaceSelector`));
  for (const [i, namespace] of (term.namespaces ?? []).entries()) {
    for (const e of dnsLabelErrors(namespace)) errors.push(invalid(`${at}.namespaces[${i}]`, namespace, e));
  }
  if (!term.topologyKey) errors.push(required(`${at}.topologyKey`, "can not be empty"));
  else
    for (const e of qualifiedNameErrors(term.topologyKey))
      errors.push(invalid(`${at}.topologyKey`, term.topologyKey, e));
  return errors;
}

export function validateAffinity(
  affinity: Readonly<corev1.Affinity> | undefined,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const node = affinity?.nodeAffinity;
  const hard = node?.requiredDuringSchedulingIgnoredDuringExecution;
  const hardPath = `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`;
  if (hard) errors.push(...validateNodeSelector(hard, hardPath));
  for (const [i, soft] of (node?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    const at = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    errors.push(
      ...weightErrors(soft.weight, at),
      ...validateNodeTerm(soft.preference ?? {}, `${at}.preference`),
    );
  }
  for (const kind of ["podAffinity", "podAntiAffinity"] as const) {
    const pod = affinity?.[kind];
    for (const [i, term] of (pod?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      errors.push(
        ...validatePodTerm(term, `${path}.${kind}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`),
      );
    }
    for (const [i, soft] of (pod?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      const at = `${path}.${kind}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
      errors.push(...weightErrors(soft.weight, at));
      errors.push(...validatePodTerm(soft.podAffinityTerm ?? { topologyKey: "" }, `${at}.podAffinityTerm`));
    }
  }
  return errors;
}

const unsatisfiable = ["DoNotSchedule", "ScheduleAnyway"];

export function validateSpread(
  constraints: readonly corev1.TopologySpreadConstraint[],
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, c] of constraints.entries()) {
    const at = `${path}[${i}]`;
    if ((c.maxSkew ?? 0) <= 0)
      errors.push(invalid(`${at}.maxSkew`, c.maxSkew ?? 0, "must be greater than zero"));
    if (!c.topologyKey) errors.push(required(`${at}.topologyKey`, "can not be empty"));
    else
      for (const e of qualifiedNameErrors(c.topologyKey))
        errors.push(invalid(`${at}.topologyKey`, c.topologyKey, e));
    if (!unsatisfiable.includes(c.whenUnsatisfiable)) {
      errors.push(notSupported(`${at}.whenUnsatisfiable`, c.whenUnsatisfiable ?? "", unsatisfiable));
    }
    if (c.minDomains !== undefined && c.minDomains <= 0) {
      errors.push(invalid(`${at}.minDomains`, c.minDomains, "must be greater than zero"));
    }
    const identity = `{${c.topologyKey}, ${c.whenUnsatisfiable}}`;
    if (seen.has(identity)) errors.push(duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, identity));
    seen.add(identity);
    errors.push(...validateLabelSelector(c.labelSelector, `${at}.labelSelector`));
  }
  return errors;
}
