/** LimitRange. https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/limit-range-v1/ */
import type { corev1, metav1 } from "../generated/types/index.ts";
import { createdAtColumn, defineResource, nameColumn } from "../meta/define-resource.ts";
import { duplicate, type FieldError, forbiddenField, invalid, required } from "../meta/field-error.ts";
import { compareQuantities, quantityMilliValue } from "../meta/quantity.ts";
import { invalidEach } from "../validation/checks.ts";
import { qualifiedNameErrors } from "../validation/names.ts";
import { canOvercommit, containerResourceNameErrors, resourceNameErrors } from "./resource-names.ts";

type Item = Readonly<corev1.LimitRangeItem>;
type Amounts = Record<string, metav1.Quantity>;

const standardTypes = ["Pod", "Container", "PersistentVolumeClaim"];

/** What a container without limits gets: the default, else the maximum; its requests: those limits, else the minimum. */
function defaultItem(item: corev1.LimitRangeItem): void {
  if (item.type !== "Container") return;
  const limits: Amounts = { ...item.max, ...item.default };
  const requests: Amounts = { ...item.min, ...limits, ...item.defaultRequest };
  if (Object.keys(limits).length > 0) item.default = limits;
  if (Object.keys(requests).length > 0) item.defaultRequest = requests;
}

function validateType(type: string, at: string): FieldError[] {
  const errors = invalidEach(at, type, qualifiedNameErrors(type));
  if (errors.length > 0 || type.includes("/") || standardTypes.includes(type)) return errors;
  return [invalid(at, type, "must be a standard limit type or fully qualified")];
}

const amountFields = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] as const;

function validateItem(item: Item, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const isPod = item.type === "Pod";
  const nameErrors = isPod || item.type === "Container" ? containerResourceNameErrors : resourceNameErrors;
  for (const field of amountFields) {
    const names = Object.keys(item[field] ?? {});
    if (isPod && (field === "default" || field === "defaultRequest")) {
      if (names.length > 0)
        errors.push(forbiddenField(`${at}.${field}`, "may not be specified when `type` is 'Pod'"));
    } else errors.push(...names.flatMap((name) => nameErrors(name, `${at}.${field}[${name}]`)));
  }
  const isClaim = item.type === "PersistentVolumeClaim";
  if (isClaim && item.min?.storage === undefined && item.max?.storage === undefined) {
    const detail = "either minimum or maximum storage value is required, but neither was provided";
    errors.push(required(`${at}.limits`, detail));
  }
  const names = new Set(amountFields.flatMap((field) => Object.keys(item[field] ?? {})));
  for (const name of names) errors.push(...validateAmounts(item, name, at), ...validateRatio(item, name, at));
  return errors;
}

/** Minimum ≤ default request ≤ default ≤ maximum. */
function validateAmounts(item: Item, name: string, at: string): FieldError[] {
  const isPod = item.type === "Pod";
  const [min, max] = [item.min?.[name], item.max?.[name]];
  const limit = isPod ? undefined : item.default?.[name];
  const request = isPod ? undefined : item.defaultRequest?.[name];
  const errors: FieldError[] = [];
  const ordered = (
    low: [string, metav1.Quantity | undefined],
    high: [string, metav1.Quantity | undefined],
    field: string,
    blamed: metav1.Quantity | undefined,
  ) => {
    if (low[1] === undefined || high[1] === undefined || compareQuantities(low[1], high[1]) <= 0) return;
    const detail = `${low[0]} value ${low[1]} is greater than ${high[0]} value ${high[1]}`;
    errors.push(invalid(`${at}.${field}[${name}]`, String(blamed), detail));
  };
  ordered(["min", min], ["max", max], "min", min);
  ordered(["min", min], ["default request", request], "defaultRequest", request);
  ordered(["default request", request], ["max", max], "defaultRequest", request);
  ordered(["default request", request], ["default limit", limit], "defaultRequest", request);
  ordered(["min", min], ["default", limit], "default", min);
  ordered(["default", limit], ["max", max], "default", max);
  if (
    !canOvercommit(name) &&
    limit !== undefined &&
    request !== undefined &&
    compareQuantities(limit, request) !== 0
  ) {
    const detail = `default value ${limit} must equal to defaultRequest value ${request} in ${name}`;
    errors.push(invalid(`${at}.defaultRequest[${name}]`, String(request), detail));
  }
  return errors;
}

function validateRatio(item: Item, name: string, at: string): FieldError[] {
  const ratio = item.maxLimitRequestRatio?.[name];
  if (ratio === undefined) return [];
  const field = `${at}.maxLimitRequestRatio[${name}]`;
  const errors: FieldError[] = [];
  if (compareQuantities(ratio, 1) < 0)
    errors.push(invalid(field, String(ratio), `ratio ${ratio} is less than 1`));
  const [min, max] = [item.min?.[name], item.max?.[name]];
  if (min === undefined || max === undefined) return errors;
  const most = quantityMilliValue(max) / quantityMilliValue(min);
  if (quantityMilliValue(ratio) / 1000 > most)
    errors.push(invalid(field, String(ratio), `ratio ${ratio} is greater than max/min = ${most.toFixed(6)}`));
  return errors;
}

function validateLimitRange({ spec }: Readonly<corev1.LimitRange>): FieldError[] {
  const types = new Set<string>();
  return (spec?.limits ?? []).flatMap((item, i) => {
    const at = `spec.limits[${i}]`;
    const type = item.type ?? "";
    const errors = validateType(type, `${at}.type`);
    if (types.has(type)) errors.push(duplicate(`${at}.type`, type));
    types.add(type);
    return [...errors, ...validateItem(item, at)];
  });
}

export const limitRanges = defineResource<corev1.LimitRange>({
  group: "",
  version: "v1",
  resource: "limitranges",
  kind: "LimitRange",
  typeName: "io.k8s.api.core.v1.LimitRange",
  namespaced: true,
  shortNames: ["limits"],
  defaults(range) {
    for (const item of range.spec?.limits ?? []) defaultItem(item);
  },
  onCreate(range) {
    // The one kind whose objects need no name.
    if (!range.metadata.name) range.metadata.name = range.metadata.uid;
  },
  validate: validateLimitRange,
  columns: [nameColumn(), createdAtColumn()],
});
