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
import { invalidEach, oneOf } from "../../validation/checks.ts";
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
    const wrong = labelValueErrors(t.value ?? "");
    if (wrong.length > 0) errors.push(invalid(`${at}.operator`, t.value, wrong.join(";")));
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
  const { topologyKey = "" } = term;
  return [
    ...validateLabelSelector(term.labelSelector, `${at}.labelSelector`),
    ...validateLabelSelector(term.namespaceSelector, `${at}.namespaceSelector`),
    ...(term.namespaces ?? []).flatMap((namespace) =>
      invalidEach(`${at}.namespace`, namespace, dnsLabelErrors(namespace)),
    ),
    ...validateLabelKeys(term, at),
    ...(topologyKey ? [] : [required(`${at}.topologyKey`, "can not be empty")]),
    ...invalidEach(`${at}.topologyKey`, topologyKey, qualifiedNameErrors(topologyKey)),
  ];
}

/** Keys whose values are the incoming pod's own: of labels that must be the same, or must differ. */
function validateLabelKeys(term: Readonly<corev1.PodAffinityTerm>, at: string): FieldError[] {
  const { matchLabelKeys = [], mismatchLabelKeys = [], labelSelector } = term;
  const errors: FieldError[] = [];
  for (const field of ["matchLabelKeys", "mismatchLabelKeys"] as const) {
    const keys = term[field] ?? [];
    if (keys.length === 0) continue;
    if (!labelSelector)
      errors.push(forbiddenField(`${at}.${field}`, "must not be specified when labelSelector is not set"));
    else
      for (const [i, key] of keys.entries())
        errors.push(...invalidEach(`${at}.${field}[${i}]`, key, qualifiedNameErrors(key)));
  }
  const selected = new Set(Object.keys(labelSelector?.matchLabels ?? {}));
  for (const { key } of labelSelector?.matchExpressions ?? []) {
    const i = matchLabelKeys.indexOf(key);
    if (i >= 0 && selected.has(key))
      errors.push(invalid(`${at}[${i}]`, key, "exists in both matchLabelKeys and labelSelector"));
    selected.add(key);
  }
  for (const [i, key] of matchLabelKeys.entries()) {
    if (mismatchLabelKeys.includes(key)) {
      const detail = "exists in both matchLabelKeys and mismatchLabelKeys";
      errors.push(invalid(`${at}.matchLabelKeys[${i}]`, key, detail));
    }
  }
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
const nodePolicies = ["Honor", "Ignore"];
type Constraint = Readonly<corev1.TopologySpreadConstraint>;

export function validateSpread(constraints: readonly Constraint[], path: string): FieldError[] {
  return constraints.flatMap((constraint, i) => {
    const at = `${path}[${i}]`;
    const { topologyKey = "", whenUnsatisfiable: action } = constraint;
    const isSame = (other: Constraint) =>
      (other.topologyKey ?? "") === topologyKey && other.whenUnsatisfiable === action;
    const repeated = constraints.slice(i + 1).some(isSame)
      ? [duplicate(`${at}.{topologyKey, whenUnsatisfiable}`, `{${topologyKey}, ${action ?? ""}}`)]
      : [];
    return [
      ...((constraint.maxSkew ?? 0) > 0
        ? []
        : [invalid(`${at}.maxSkew`, constraint.maxSkew ?? 0, "must be greater than zero")]),
      ...(topologyKey ? [] : [required(`${at}.topologyKey`, "can not be empty")]),
      ...oneOf(action, `${at}.whenUnsatisfiable`, unsatisfiable),
      ...repeated,
      ...validateMinDomains(constraint, `${at}.minDomains`),
      ...(["nodeAffinityPolicy", "nodeTaintsPolicy"] as const).flatMap((name) =>
        constraint[name] === undefined ? [] : oneOf(constraint[name], `${at}.${name}`, nodePolicies),
      ),
      ...validateSpreadKeys(constraint, `${at}.matchLabelKeys`),
      ...validateLabelSelector(constraint.labelSelector, `${at}.labelSelector`),
    ];
  });
}

function validateMinDomains(
  { minDomains, whenUnsatisfiable: action }: Constraint,
  field: string,
): FieldError[] {
  if (minDomains === undefined) return [];
  const errors: FieldError[] = [];
  if (minDomains <= 0) errors.push(invalid(field, minDomains, "must be greater than zero"));
  if (action !== "DoNotSchedule") {
    const detail = `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${action ?? ""}`;
    errors.push(invalid(field, minDomains, detail));
  }
  return errors;
}

function validateSpreadKeys({ matchLabelKeys = [], labelSelector }: Constraint, field: string): FieldError[] {
  if (matchLabelKeys.length === 0) return [];
  const errors: FieldError[] = labelSelector
    ? []
    : [forbiddenField(field, "must not be specified when labelSelector is not set")];
  const selected = new Set([
    ...Object.keys(labelSelector?.matchLabels ?? {}),
    ...(labelSelector?.matchExpressions ?? []).map((expression) => expression.key),
  ]);
  for (const [i, key] of matchLabelKeys.entries()) {
    errors.push(...invalidEach(`${field}[${i}]`, key, qualifiedNameErrors(key)));
    if (selected.has(key))
      errors.push(invalid(`${field}[${i}]`, key, "exists in both matchLabelKeys and labelSelector"));
  }
  return errors;
}
