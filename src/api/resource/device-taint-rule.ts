/** DeviceTaintRule: taints devices whoever offers them. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/device-taint-rule-v1beta2/ */
import type { resourcev1beta2 } from "../generated/types/index.ts";
import { defineResource, keepAllButStatusWithMetadata } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, tooMany } from "../meta/field-error.ts";
import { formatTime } from "../meta/time.ts";
import { validateConditions } from "../validation/conditions.ts";
import { driverNameErrors } from "../validation/special-names.ts";
import { validateLabelName, validatePoolName } from "./names.ts";
import { stampTaint, validateTaint } from "./taints.ts";

type Rule = Readonly<resourcev1beta2.DeviceTaintRule>;

const conditionsMax = 8;

function validateRule({ spec }: Rule, old?: Rule): FieldError[] {
  const { driver, pool, device } = spec.deviceSelector ?? {};
  const at = "spec.deviceSelector";
  return [
    ...(driver === undefined ? [] : driverNameErrors(`${at}.driver`, driver)),
    ...(pool === undefined ? [] : validatePoolName(pool, `${at}.pool`)),
    ...(device === undefined ? [] : validateLabelName(device, `${at}.device`)),
    ...validateTaint(spec.taint ?? { key: "", effect: "" }, "spec.taint", old?.spec.taint),
  ];
}

function validateStatus({ status }: Rule): FieldError[] {
  const conditions = status?.conditions ?? [];
  const path = "status.conditions";
  if (conditions.length > conditionsMax) return [tooMany(path, conditions.length, conditionsMax)];
  return validateConditions(conditions, path);
}

export const deviceTaintRules = defineResource<resourcev1beta2.DeviceTaintRule>({
  group: "resource.k8s.io",
  version: "v1beta2",
  resource: "devicetaintrules",
  kind: "DeviceTaintRule",
  typeName: "io.k8s.api.resource.v1beta2.DeviceTaintRule",
  namespaced: false,
  hasGeneration: true,
  subresources: { status: { kind: "DeviceTaintRule", verbs: ["get", "patch", "update"] } },
  defaults(rule) {
    rule.spec ??= {} as resourcev1beta2.DeviceTaintRuleSpec;
    rule.spec.taint ??= {} as resourcev1beta2.DeviceTaint;
    rule.status ??= {};
  },
  onCreate(rule, { nowMs }) {
    rule.status = {};
    stampTaint(rule.spec?.taint, nowMs);
  },
  onUpdate(rule, old, { nowMs }) {
    rule.status = old.status ?? {};
    const [taint, before] = [rule.spec.taint, old.spec.taint];
    // Tolerations are counted from the effect's own begin.
    const isNewEffect = taint.effect !== before.effect && taint.timeAdded === before.timeAdded;
    if (isNewEffect) taint.timeAdded = formatTime(nowMs);
    stampTaint(taint, nowMs);
  },
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: (rule) => validateRule(rule),
  validateUpdate: validateRule,
  validateStatusUpdate: validateStatus,
});

export const deviceTaintRulesV1alpha3 = defineVersion(deviceTaintRules, {
  version: "v1alpha3",
  typeName: "io.k8s.api.resource.v1alpha3.DeviceTaintRule",
  deprecation: "resource.k8s.io/v1alpha3 DeviceTaintRule is deprecated in v1.36+",
});
