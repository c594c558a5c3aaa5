/** Taints of devices and what tolerates them. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/#device-taints-and-tolerations */
import type { resourcev1, resourcev1beta2 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { formatTime } from "../meta/time.ts";
import { validateList } from "../validation/lists.ts";
import { labelValueErrors } from "../validation/names.ts";
import { validateQualifiedKey } from "./names.ts";

type Taint = Readonly<resourcev1.DeviceTaint>;
type Toleration = Readonly<resourcev1.DeviceToleration>;

const effects = ["NoExecute", "NoSchedule", "None"];
const operators = ["Equal", "Exists"];
const tolerationsMax = 16;

function validateValue(value: string, field: string): FieldError[] {
  return labelValueErrors(value).map((e) => invalid(field, value, e));
}

/** An effect that was there before, perhaps of a newer server, stays. */
export function validateTaint(taint: Taint, at: string, old?: Taint): FieldError[] {
  const errors = validateQualifiedKey(taint.key, `${at}.key`);
  if (taint.value) errors.push(...validateValue(taint.value, `${at}.value`));
  if (old && old.effect === taint.effect) return errors;
  if (!taint.effect) errors.push(required(`${at}.effect`));
  else if (!effects.includes(taint.effect)) errors.push(notSupported(`${at}.effect`, taint.effect, effects));
  return errors;
}

function validateToleration({ key, operator, value = "", effect }: Toleration, at: string): FieldError[] {
  const errors = key ? validateQualifiedKey(key, `${at}.key`) : [];
  if (!operator) errors.push(required(`${at}.operator`));
  else if (operator === "Exists") {
    if (value !== "") errors.push(invalid(`${at}.value`, value, "must be empty for operator `Exists`"));
  } else if (operator === "Equal") errors.push(...validateValue(value, `${at}.value`));
  else errors.push(notSupported(`${at}.operator`, operator, operators));
  if (effect && !effects.includes(effect)) errors.push(notSupported(`${at}.effect`, effect, effects));
  return errors;
}

export function validateTolerations(
  tolerations: readonly Toleration[] | undefined,
  at: string,
): FieldError[] {
  return validateList(tolerations, tolerationsMax, `${at}.tolerations`, validateToleration);
}

export function defaultTolerations(tolerations: resourcev1.DeviceToleration[] | undefined): void {
  for (const toleration of tolerations ?? []) toleration.operator ??= "Equal";
}

/** Whoever taints need not know the time. */
export function stampTaint(taint: resourcev1.DeviceTaint | undefined, nowMs: number): void {
  if (taint) taint.timeAdded ??= formatTime(nowMs);
}

/** Whether a claim with the toleration may have a device with the taint. */
export function toleratesDeviceTaint(
  { effect, key, operator = "Equal", value }: Toleration,
  taint: Readonly<Pick<resourcev1.DeviceTaint, "key" | "value" | "effect">>,
): boolean {
  if (effect && effect !== taint.effect) return false;
  if (key && key !== taint.key) return false;
  return operator === "Exists" || (value ?? "") === (taint.value ?? "");
}

/** Whether a rule taints the device. One without a selector taints none. */
export function ruleTaintsDevice(
  { spec }: Readonly<resourcev1beta2.DeviceTaintRule>,
  device: { readonly driver: string; readonly pool: string; readonly device: string },
): boolean {
  const selector = spec.deviceSelector;
  if (!selector) return false;
  const parts = ["driver", "pool", "device"] as const;
  return parts.every((part) => selector[part] === undefined || selector[part] === device[part]);
}
