/** What a claim asks for: requests, constraints among them, configuration for their drivers. */
import type { resourcev1 } from "../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { validateList, validateSet } from "../validation/lists.ts";
import { configurationsMax, validateConfiguration, validateSelectors } from "./configuration.ts";
import { validateFullAttributeName, validateLabelName, validateSubdomain } from "./names.ts";
import { defaultTolerations, validateTolerations } from "./taints.ts";

type Claim = Readonly<resourcev1.DeviceClaim>;
type Request = Readonly<resourcev1.DeviceRequest>;
type Details = Readonly<resourcev1.ExactDeviceRequest>;

export const requestsMax = 32;
const alternativesMax = 8;
const constraintsMax = 32;
const modes = ["All", "ExactCount"];

/** Requests by name, with the names of their alternatives. */
export type RequestNames = ReadonlyMap<string, ReadonlySet<string>>;

export function requestNamesOf(claim: Claim | undefined): RequestNames {
  return new Map(
    (claim?.requests ?? []).map(({ name, firstAvailable = [] }) => [
      name,
      new Set(firstAvailable.map((alternative) => alternative.name)),
    ]),
  );
}

/** `gpu`, or `gpu/large` for one of its alternatives. */
export function validateRequestReference(name: string, at: string, names: RequestNames): FieldError[] {
  const rule =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";
  const parts = name.split("/");
  if (parts.length > 2) return [invalid(at, name, rule)];
  const [request = "", alternative] = parts;
  const errors = parts.flatMap((part) => validateLabelName(part, at));
  const known = names.get(request);
  const isKnown = known && (alternative === undefined || known.has(alternative));
  return isKnown ? errors : [...errors, invalid(at, name, rule)];
}

function validateMode({ allocationMode, count = 0 }: Details, at: string): FieldError[] {
  if (allocationMode === "All") {
    const rule = "must not be specified when allocationMode is 'All'";
    return count === 0 ? [] : [invalid(`${at}.count`, count, rule)];
  }
  if (allocationMode === "ExactCount")
    return count > 0 ? [] : [invalid(`${at}.count`, count, "must be greater than zero")];
  return [notSupported(`${at}.allocationMode`, allocationMode ?? "", modes)];
}

function validateDetails(details: Details, at: string): FieldError[] {
  const { deviceClassName } = details;
  const field = `${at}.deviceClassName`;
  return [
    ...(deviceClassName ? validateSubdomain(deviceClassName, field) : [required(field)]),
    ...validateSelectors(details.selectors, `${at}.selectors`),
    ...validateMode(details, at),
    ...validateTolerations(details.tolerations, at),
  ];
}

function validateRequest(request: Request, at: string): FieldError[] {
  const { name, exactly, firstAvailable = [] } = request;
  const errors = validateLabelName(name, `${at}.name`);
  const rule = "exactly one of `exactly` or `firstAvailable` is required";
  if (exactly && firstAvailable.length > 0)
    return [...errors, invalid(at, null, `${rule}, but multiple fields are set`)];
  if (exactly) return [...errors, ...validateDetails(exactly, `${at}.exactly`)];
  if (firstAvailable.length === 0) return [...errors, required(at, rule)];
  const alternatives = validateSet(
    firstAvailable,
    alternativesMax,
    `${at}.firstAvailable`,
    (alternative, field) => [
      ...validateLabelName(alternative.name, `${field}.name`),
      ...validateDetails(alternative, field),
    ],
    (alternative) => alternative.name,
  );
  return [...errors, ...alternatives];
}

/** The requests that a constraint or a configuration is meant for. */
export function validateReferences(
  references: readonly string[] | undefined,
  path: string,
  names: RequestNames,
): FieldError[] {
  const check = (name: string, at: string) => validateRequestReference(name, at, names);
  return validateSet(references, requestsMax, path, check, (name) => name);
}

function validateConstraint(
  { requests, matchAttribute, distinctAttribute }: Readonly<resourcev1.DeviceConstraint>,
  at: string,
  names: RequestNames,
): FieldError[] {
  const errors = validateReferences(requests, `${at}.requests`, names);
  if (matchAttribute !== undefined)
    return [...errors, ...validateFullAttributeName(matchAttribute, `${at}.matchAttribute`)];
  if (distinctAttribute !== undefined)
    return [...errors, ...validateFullAttributeName(distinctAttribute, `${at}.distinctAttribute`)];
  // Upstream says the same where none is set.
  const rule =
    'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set';
  return [...errors, required(at, rule)];
}

export function validateDeviceClaim(claim: Claim | undefined, path: string): FieldError[] {
  const names = requestNamesOf(claim);
  return [
    ...validateSet(claim?.requests, requestsMax, `${path}.requests`, validateRequest, ({ name }) => name),
    ...validateList(claim?.constraints, constraintsMax, `${path}.constraints`, (constraint, at) =>
      validateConstraint(constraint, at, names),
    ),
    ...validateList(claim?.config, configurationsMax, `${path}.config`, (config, at) => [
      ...validateReferences(config.requests, `${at}.requests`, names),
      ...validateConfiguration(config, at),
    ]),
  ];
}

/** One device, where nothing else is said. */
export function defaultDetails(details: resourcev1.ExactDeviceRequest): void {
  details.allocationMode ||= "ExactCount";
  if (details.allocationMode === "ExactCount" && !details.count) details.count = 1;
  defaultTolerations(details.tolerations);
}

export function defaultDeviceClaim(claim: resourcev1.DeviceClaim | undefined): void {
  for (const { exactly, firstAvailable = [] } of claim?.requests ?? []) {
    if (exactly) defaultDetails(exactly);
    for (const alternative of firstAvailable) defaultDetails(alternative);
  }
}
