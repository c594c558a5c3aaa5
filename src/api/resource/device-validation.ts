/** Devices in a slice. https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/resource/validation/validation.go (validateDevice) */
import { sameJson } from "../core/pod-spec/template.ts";
import { validateNodeSelector } from "../core/pod-spec/validate-scheduling.ts";
import type { resourcev1 } from "../generated/types/index.ts";
import {
  type FieldError,
  fieldNotFound,
  forbiddenField,
  invalid,
  required,
  tooLong,
  tooMany,
} from "../meta/field-error.ts";
import { compareQuantities } from "../meta/quantity.ts";
import { validateList, validateSet } from "../validation/lists.ts";
import { parseSemver } from "../validation/semver.ts";
import { validateBindingConditions } from "./binding-conditions.ts";
import { validateRequestPolicy } from "./capacity-policy.ts";
import { validateAttributeName, validateLabelName, validateSubdomain } from "./names.ts";
import { validateTaint } from "./taints.ts";

type Device = Readonly<resourcev1.Device>;
type Attribute = Readonly<resourcev1.DeviceAttribute>;
type Counters = Readonly<Record<string, resourcev1.Counter>>;

const namesMax = 32;
const valuesMax = 48;
const valueMaxLength = 64;
const keyShownMax = 63 + 1 + 32;
const taintsMax = 16;
const countersMax = 32;
const consumptionsMax = 2;
const placeRule =
  "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
const attributeKinds = ["bool", "int", "string", "version", "bools", "ints", "strings", "versions"] as const;

/** As a path shows a key that may be of any length. */
function shownKey(key: string, maxLength: number): string {
  if (key.length <= maxLength) return key;
  const left = maxLength - 3;
  return `${key.slice(0, Math.ceil(left / 2))}...${key.slice(key.length - Math.floor(left / 2))}`;
}

function validateText(text: string, field: string, isVersion: boolean): FieldError[] {
  const errors: FieldError[] = [];
  if (isVersion && !parseSemver(text))
    errors.push(invalid(field, text, "must be a string compatible with semver.org spec 2.0.0"));
  if (Buffer.byteLength(text) > valueMaxLength) errors.push(tooLong(field, valueMaxLength));
  return errors;
}

function validateAttribute(attribute: Attribute, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const present = attributeKinds.filter((kind) => attribute[kind] !== undefined);
  for (const kind of present) {
    const value = attribute[kind];
    const isVersion = kind.startsWith("version");
    if (typeof value === "string") errors.push(...validateText(value, `${at}.${kind}`, isVersion));
    else if (Array.isArray(value)) {
      for (const [i, item] of value.entries())
        if (typeof item === "string") errors.push(...validateText(item, `${at}.${kind}[${i}]`, isVersion));
    }
  }
  const rule = "exactly one value must be specified";
  if (present.length === 0) errors.push(invalid(at, "", rule));
  else if (present.length > 1) errors.push(invalid(at, attribute, rule));
  return errors;
}

function valuesIn(attribute: Attribute): number {
  const lists = [attribute.bools, attribute.ints, attribute.strings, attribute.versions];
  return Math.max(
    1,
    lists.reduce((sum, list) => sum + (list?.length ?? 0), 0),
  );
}

function validateCapacities(device: Device, at: string): FieldError[] {
  return Object.entries(device.capacity ?? {}).flatMap(([key, capacity]) => {
    const field = `${at}.capacity[${shownKey(key, keyShownMax)}].requestPolicy`;
    const errors = validateAttributeName(key, `${at}.capacity`);
    const { requestPolicy, value = "0" } = capacity;
    if (!requestPolicy) return errors;
    if (!device.allowMultipleAllocations)
      return [...errors, forbiddenField(field, "allowMultipleAllocations must be true")];
    return [...errors, ...validateRequestPolicy(requestPolicy, value, field)];
  });
}

export function validateCounters(counters: Counters | undefined, path: string): FieldError[] {
  const keys = Object.keys(counters ?? {});
  if (keys.length === 0) return [required(path)];
  if (keys.length > countersMax) return [tooMany(path, keys.length, countersMax)];
  return keys.flatMap((key) => validateLabelName(key, path));
}

export function validateCounterSet(
  name: string | undefined,
  nameField: string,
  counters: Counters | undefined,
  at: string,
): FieldError[] {
  return [
    ...(name ? validateLabelName(name, nameField) : [required(nameField)]),
    ...validateCounters(counters, `${at}.counters`),
  ];
}

/** Where a device is, if the slice leaves that to each of them. */
function validatePlace(device: Device, at: string, isPerDevice: boolean): FieldError[] {
  const { nodeName, nodeSelector, allNodes } = device;
  const isSet = nodeName !== undefined || nodeSelector !== undefined || allNodes !== undefined;
  if (!isPerDevice) {
    const rule =
      "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    return isSet ? [invalid(at, null, rule)] : [];
  }
  const errors: FieldError[] = [];
  const places: string[] = [];
  if (nodeName) {
    places.push("`nodeName`");
    errors.push(...validateSubdomain(nodeName, `${at}.nodeName`));
  } else if (nodeName === "") errors.push(invalid(`${at}.nodeName`, "", "must not be empty"));
  if (nodeSelector) {
    places.push("`nodeSelector`");
    errors.push(...validateNodeSelector(nodeSelector, `${at}.nodeSelector`));
  }
  if (allNodes) places.push("`allNodes`");
  else if (allNodes === false)
    errors.push(invalid(`${at}.allNodes`, false, "must be either unset or set to true"));
  if (places.length === 0) errors.push(required(at, placeRule));
  if (places.length > 1) errors.push(invalid(at, `{${places.join(", ")}}`, placeRule));
  return errors;
}

/** Resources of the node that the device takes along: its capacity, or a fixed amount. */
function validateMappings(device: Device, at: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [name, mapping] of Object.entries(device.nodeAllocatableResourceMappings ?? {})) {
    const field = `${at}.nodeAllocatableResourceMappings[${name}]`;
    const isKnown = ["cpu", "memory", "ephemeral-storage"].includes(name) || name.startsWith("hugepages-");
    if (!isKnown) errors.push(invalid(field, name, "must be a node allocatable resource name"));
    const { capacityKey, allocationMultiplier } = mapping;
    if (capacityKey === "")
      errors.push(invalid(`${field}.capacityKey`, "", "capacityKey must not be an empty string"));
    else if (capacityKey !== undefined && !Object.hasOwn(device.capacity ?? {}, capacityKey))
      errors.push(fieldNotFound(`${field}.capacityKey`, capacityKey));
    if (allocationMultiplier !== undefined && compareQuantities(allocationMultiplier, 0) <= 0)
      errors.push(invalid(`${field}.allocationMultiplier`, String(allocationMultiplier), "must be positive"));
  }
  return errors;
}

function validateNumbers(device: Device, at: string): FieldError[] {
  const attributes = Object.values(device.attributes ?? {});
  const names = attributes.length + Object.keys(device.capacity ?? {}).length;
  const values = attributes.reduce((sum, attribute) => sum + valuesIn(attribute), 0);
  const errors: FieldError[] = [];
  if (names > namesMax) {
    const rule = `the total number of attributes and capacities must not exceed ${namesMax}`;
    errors.push(invalid(at, names, rule));
  }
  if (values > valuesMax)
    errors.push(invalid(at, values, `the total number of attribute values must not exceed ${valuesMax}`));
  return errors;
}

/** What a device has already is not checked again: a newer server may have let it in. */
export function validateDevice(
  device: Device,
  at: string,
  old: Device | undefined,
  isPerDevice: boolean,
): FieldError[] {
  const errors = [...validateLabelName(device.name, `${at}.name`), ...validateNumbers(device, at)];
  for (const [key, attribute] of Object.entries(device.attributes ?? {})) {
    errors.push(...validateAttributeName(key, `${at}.attributes`));
    errors.push(...validateAttribute(attribute, `${at}.attributes[${shownKey(key, keyShownMax)}]`));
  }
  if (!old || !sameJson(old.capacity, device.capacity)) errors.push(...validateCapacities(device, at));
  if (!old || !sameJson(old.taints, device.taints))
    errors.push(
      ...validateList(device.taints, taintsMax, `${at}.taints`, (t, field) => validateTaint(t, field)),
    );
  const consumptions = validateSet(
    device.consumesCounters,
    consumptionsMax,
    `${at}.consumesCounters`,
    ({ counterSet, counters }, field) =>
      validateCounterSet(counterSet, `${field}.counterSet`, counters, field),
    ({ counterSet }) => counterSet,
  );
  return [
    ...errors,
    ...consumptions,
    ...validatePlace(device, at, isPerDevice),
    ...validateBindingConditions(device, at),
    ...validateMappings(device, at),
  ];
}
