/** https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/autoscaling/validation/validation.go */
import { containerResourceNameErrors } from "../core/resource-names.ts";
import type { autoscalingv2, metav1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { compareQuantities } from "../meta/quantity.ts";
import { invalidEach, oneOf } from "../validation/checks.ts";
import { dnsLabelErrors, pathSegmentErrors } from "../validation/names.ts";
import { nonNegative } from "../validation/numbers.ts";

type Autoscaler = Readonly<autoscalingv2.HorizontalPodAutoscaler>;
type Metric = Readonly<autoscalingv2.MetricSpec>;
type Target = Readonly<autoscalingv2.MetricTarget>;

const periodMax = 1800;
const windowMax = 3600;

export function validateAutoscaler(autoscaler: Autoscaler): FieldError[] {
  return validateSpec(autoscaler, 1);
}

/** Who scales to zero already may go on. */
export function validateAutoscalerUpdate(autoscaler: Autoscaler, old: Autoscaler): FieldError[] {
  return validateSpec(autoscaler, old.spec.minReplicas === 0 ? 0 : 1);
}

export function validateAutoscalerStatus({ status }: Autoscaler): FieldError[] {
  return [
    ...nonNegative(status?.currentReplicas, "status.currentReplicas"),
    ...nonNegative(status?.desiredReplicas, "status.desiredReplicas"),
  ];
}

function validateSpec({ spec }: Autoscaler, lowest: number): FieldError[] {
  const { minReplicas: min, maxReplicas: max = 0 } = spec;
  const errors: FieldError[] = [];
  if (min !== undefined && min < lowest)
    errors.push(invalid("spec.minReplicas", min, `must be greater than or equal to ${lowest}`));
  if (max < 1) errors.push(invalid("spec.maxReplicas", max, "must be greater than 0"));
  if (min !== undefined && max < min)
    errors.push(invalid("spec.maxReplicas", max, "must be greater than or equal to `minReplicas`"));
  return [
    ...errors,
    ...validateReference(spec.scaleTargetRef, "spec.scaleTargetRef"),
    ...validateMetrics(spec.metrics ?? [], min),
    ...validateRules(spec.behavior?.scaleUp, "spec.behavior.scaleUp"),
    ...validateRules(spec.behavior?.scaleDown, "spec.behavior.scaleDown"),
  ];
}

function validateReference(
  reference: Readonly<autoscalingv2.CrossVersionObjectReference> | undefined,
  at: string,
): FieldError[] {
  const segment = (value: string | undefined, field: string) =>
    value ? invalidEach(field, value, pathSegmentErrors(value)) : [required(field)];
  const version = reference?.apiVersion ?? "";
  return [
    ...segment(reference?.kind, `${at}.kind`),
    ...segment(reference?.name, `${at}.name`),
    ...(version.split("/").length > 2
      ? [invalid(`${at}.apiVersion`, version, `unexpected GroupVersion string: ${version}`)]
      : []),
  ];
}

function validateMetrics(metrics: readonly Metric[], min: number | undefined): FieldError[] {
  const path = "spec.metrics";
  const errors = metrics.flatMap((metric, i) => validateMetric(metric, `${path}[${i}]`));
  const wakes = metrics.some(({ type }) => type === "Object" || type === "External");
  if (min === 0 && !wakes) {
    const detail = "must specify at least one Object or External metric to support scaling to zero replicas";
    errors.push(forbiddenField(path, detail));
  }
  return errors;
}

const sources = {
  Object: "object",
  External: "external",
  Pods: "pods",
  Resource: "resource",
  ContainerResource: "containerResource",
} as const;
const sourceTypes = Object.keys(sources).sort();
type Source = (typeof sources)[keyof typeof sources];

const checks: Readonly<Record<Source, (metric: Metric, at: string) => FieldError[]>> = {
  object: ({ object }, at) => [
    ...validateReference(object!.describedObject, `${at}.describedObject`),
    ...validateIdentifier(object!.metric, `${at}.metric`),
    ...validateTarget(object!.target, `${at}.target`),
    ...oneAmount(object!.target, `${at}.target`, "must set either a target value or averageValue"),
  ],
  external({ external }, at) {
    const { value, averageValue } = external!.target ?? {};
    const detail = "may not set both a target value for metric and a per-pod target";
    return [
      ...validateIdentifier(external!.metric, `${at}.metric`),
      ...validateTarget(external!.target, `${at}.target`),
      ...oneAmount(
        external!.target,
        `${at}.target`,
        "must set either a target value for metric or a per-pod target",
      ),
      ...(value !== undefined && averageValue !== undefined
        ? [forbiddenField(`${at}.target.value`, detail)]
        : []),
    ];
  },
  pods: ({ pods }, at) => [
    ...validateIdentifier(pods!.metric, `${at}.metric`),
    ...validateTarget(pods!.target, `${at}.target`),
    ...(pods!.target?.averageValue === undefined
      ? [required(`${at}.target.averageValue`, "must specify a positive target averageValue")]
      : []),
  ],
  resource: ({ resource }, at) => [
    ...(resource!.name ? [] : [required(`${at}.name`, "must specify a resource name")]),
    ...validateUtilization(resource!.target, `${at}.target`),
  ],
  containerResource({ containerResource }, at) {
    const { name, container, target } = containerResource!;
    return [
      ...(name
        ? containerResourceNameErrors(name, `${at}.name`)
        : [required(`${at}.name`, "must specify a resource name")]),
      ...(container
        ? invalidEach(`${at}.container`, container, dnsLabelErrors(container))
        : [required(`${at}.container`, "must specify a container")]),
      ...validateUtilization(target, `${at}.target`),
    ];
  },
};

function validateMetric(metric: Metric, at: string): FieldError[] {
  const { type = "" } = metric;
  const errors: FieldError[] = [];
  const isKnown = sourceTypes.includes(type);
  if (!type) errors.push(required(`${at}.type`, "must specify a metric source type"));
  if (!isKnown) errors.push(notSupported(`${at}.type`, type, sourceTypes));
  const present = Object.values(sources).filter((name) => metric[name] !== undefined);
  const [first] = present;
  if (first) errors.push(...checks[first](metric, `${at}.${first}`));
  const expected = isKnown ? sources[type as keyof typeof sources] : undefined;
  if (expected && metric[expected] === undefined) {
    const detail = "must populate information for the given metric source";
    errors.push(required(`${at}.${expected}`, detail));
  }
  // Upstream says it twice.
  if (!isKnown) errors.push(notSupported(`${at}.type`, type, sourceTypes));
  if (present.length === 1) return errors;
  const others = present.filter((name) => name !== expected);
  const detail = "must populate the given metric source only";
  return [...errors, ...others.map((name) => forbiddenField(`${at}.${name}`, detail))];
}

function validateIdentifier(
  identifier: Readonly<autoscalingv2.MetricIdentifier> | undefined,
  at: string,
): FieldError[] {
  const field = `${at}.name`;
  if (!identifier?.name) return [required(field, "must specify a metric name")];
  return invalidEach(field, identifier.name, pathSegmentErrors(identifier.name));
}

const targetTypes = ["Utilization", "Value", "AverageValue"];

function validateTarget(target: Target | undefined, at: string): FieldError[] {
  const { type = "", value, averageValue, averageUtilization: utilization } = target ?? {};
  const errors: FieldError[] = [];
  if (!type) errors.push(required(`${at}.type`, "must specify a metric target type"));
  if (!targetTypes.includes(type))
    errors.push(invalid(`${at}.type`, type, "must be either Utilization, Value, or AverageValue"));
  const positive = (amount: metav1.Quantity | undefined, field: string) => {
    if (amount !== undefined && compareQuantities(amount, 0) <= 0)
      errors.push(invalid(field, String(amount), "must be positive"));
  };
  positive(value, `${at}.value`);
  positive(averageValue, `${at}.averageValue`);
  if (utilization !== undefined && utilization < 1)
    errors.push(invalid(`${at}.averageUtilization`, utilization, "must be greater than 0"));
  return errors;
}

function oneAmount(target: Target | undefined, at: string, detail: string): FieldError[] {
  if (target?.value !== undefined || target?.averageValue !== undefined) return [];
  return [required(`${at}.averageValue`, detail)];
}

/** Of what containers request: a share of it, or an amount. */
function validateUtilization(target: Target | undefined, at: string): FieldError[] {
  const errors = validateTarget(target, at);
  const [share, amount] = [target?.averageUtilization, target?.averageValue];
  if (share === undefined && amount === undefined) {
    const detail = "must set either a target raw value or a target utilization";
    errors.push(required(`${at}.averageUtilization`, detail));
  }
  if (share !== undefined && amount !== undefined) {
    const detail = "may not set both a target raw value and a target utilization";
    errors.push(forbiddenField(`${at}.averageValue`, detail));
  }
  return errors;
}

function validateRules(rules: Readonly<autoscalingv2.HPAScalingRules> | undefined, at: string): FieldError[] {
  if (!rules) return [];
  const { stabilizationWindowSeconds: window, selectPolicy, tolerance, policies = [] } = rules;
  const errors: FieldError[] = [];
  const field = `${at}.stabilizationWindowSeconds`;
  if (window !== undefined && window < 0)
    errors.push(invalid(field, window, "must be greater than or equal to zero"));
  if (window !== undefined && window > windowMax)
    errors.push(invalid(field, window, `must be less than or equal to ${windowMax}`));
  if (selectPolicy !== undefined)
    errors.push(...oneOf(selectPolicy, `${at}.selectPolicy`, ["Disabled", "Max", "Min"]));
  if (policies.length === 0) errors.push(required(`${at}.policies`, "must specify at least one Policy"));
  errors.push(...policies.flatMap((policy, i) => validatePolicy(policy, `${at}.policies[${i}]`)));
  if (tolerance !== undefined && compareQuantities(tolerance, 0) < 0)
    errors.push(invalid(`${at}.tolerance`, String(tolerance), "must be greater than or equal to 0"));
  return errors;
}

function validatePolicy(policy: Readonly<autoscalingv2.HPAScalingPolicy>, at: string): FieldError[] {
  const { value = 0, periodSeconds = 0 } = policy;
  const errors = oneOf(policy.type, `${at}.type`, ["Percent", "Pods"]);
  if (value <= 0) errors.push(invalid(`${at}.value`, value, "must be greater than zero"));
  if (periodSeconds <= 0)
    errors.push(invalid(`${at}.periodSeconds`, periodSeconds, "must be greater than zero"));
  if (periodSeconds > periodMax) {
    const detail = `must be less than or equal to ${periodMax}`;
    errors.push(invalid(`${at}.periodSeconds`, periodSeconds, detail));
  }
  return errors;
}
