/** The status of a claim: which devices it got, who uses them, what their drivers report. */

import { immutable } from "../core/pod-spec/template.ts";
import { validateNodeSelector } from "../core/pod-spec/validate-scheduling.ts";
import type { resourcev1 } from "../generated/types/index.ts";
import {
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
} from "../meta/field-error.ts";
import { interfaceAddressErrors } from "../validation/addresses.ts";
import { validateConditions } from "../validation/conditions.ts";
import { validateList, validateSet } from "../validation/lists.ts";
import { driverNameErrors } from "../validation/special-names.ts";
import { validateBindingConditions } from "./binding-conditions.ts";
import { configurationsMax, validateConfiguration, validateRaw } from "./configuration.ts";
import { validateLabelName, validatePoolName, validateShareId } from "./names.ts";
import {
  type RequestNames,
  requestNamesOf,
  requestsMax,
  validateReferences,
  validateRequestReference,
} from "./requests.ts";
import { validateTolerations } from "./taints.ts";

type Claim = Readonly<resourcev1.ResourceClaim>;
type Result = Readonly<resourcev1.DeviceRequestAllocationResult>;
type DeviceStatus = Readonly<resourcev1.AllocatedDeviceStatus>;
type NetworkData = Readonly<resourcev1.NetworkDeviceData>;
type Configuration = Readonly<resourcev1.DeviceAllocationConfiguration>;
interface DeviceId {
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  readonly shareID?: string;
}

const consumersMax = 256;
const conditionsMax = 8;
const dataMaxLength = 10 * 1024;
const addressesMax = 16;
const interfaceNameMaxLength = 256;
const hardwareAddressMaxLength = 128;
const sources = ["FromClaim", "FromClass"];

function identityOf({ driver, pool, device, shareID = "" }: DeviceId): string {
  return JSON.stringify([driver, pool, device, shareID]);
}

function validateResult(result: Result, at: string, names: RequestNames): FieldError[] {
  return [
    ...validateRequestReference(result.request ?? "", `${at}.request`, names),
    ...driverNameErrors(`${at}.driver`, result.driver ?? ""),
    ...validatePoolName(result.pool, `${at}.pool`),
    ...validateLabelName(result.device, `${at}.device`),
    ...validateBindingConditions(result, at),
    ...validateTolerations(result.tolerations, at),
    ...validateShareId(result.shareID, `${at}.shareID`),
  ];
}

function validateSource(config: Configuration, at: string, names: RequestNames): FieldError[] {
  const { source } = config;
  const errors: FieldError[] = [];
  if (!source) errors.push(required(`${at}.source`));
  else if (!sources.includes(source)) errors.push(notSupported(`${at}.source`, source, sources));
  return [
    ...errors,
    ...validateReferences(config.requests, `${at}.requests`, names),
    ...validateConfiguration(config, at),
  ];
}

function validateAllocation(
  { devices, nodeSelector }: Readonly<resourcev1.AllocationResult>,
  at: string,
  names: RequestNames,
): FieldError[] {
  const configMax = 2 * configurationsMax;
  return [
    ...validateList(devices?.results, requestsMax, `${at}.devices.results`, (result, field) =>
      validateResult(result, field, names),
    ),
    ...validateList(devices?.config, configMax, `${at}.devices.config`, (config, field) =>
      validateSource(config, field, names),
    ),
    ...(nodeSelector ? validateNodeSelector(nodeSelector, `${at}.nodeSelector`) : []),
  ];
}

function validateNetworkData(data: NetworkData | undefined, at: string): FieldError[] {
  if (!data) return [];
  const { interfaceName = "", hardwareAddress = "", ips } = data;
  const check = (ip: string, field: string) => interfaceAddressErrors(ip).map((e) => invalid(field, ip, e));
  return [
    ...(Buffer.byteLength(interfaceName) > interfaceNameMaxLength
      ? [tooLong(`${at}.interfaceName`, interfaceNameMaxLength)]
      : []),
    ...(Buffer.byteLength(hardwareAddress) > hardwareAddressMaxLength
      ? [tooLong(`${at}.hardwareAddress`, hardwareAddressMaxLength)]
      : []),
    ...validateSet(ips, addressesMax, `${at}.ips`, check, (ip) => ip),
  ];
}

function validateDeviceStatus(
  status: DeviceStatus,
  at: string,
  allocated: ReadonlySet<string>,
): FieldError[] {
  const { driver, pool, device, shareID, conditions = [], data } = status;
  const errors = [
    ...driverNameErrors(`${at}.driver`, driver ?? ""),
    ...validatePoolName(pool, `${at}.pool`),
    ...validateLabelName(device, `${at}.device`),
    ...validateShareId(shareID, `${at}.shareID`),
  ];
  if (!allocated.has(identityOf(status))) {
    const id = { driver, pool, device, ...(shareID === undefined ? {} : { shareID }) };
    errors.push(invalid(at, id, "must be an allocated device in the claim"));
  }
  if (conditions.length > conditionsMax)
    errors.push(tooMany(`${at}.conditions`, conditions.length, conditionsMax));
  else errors.push(...validateConditions(conditions, `${at}.conditions`));
  if (data !== undefined) errors.push(...validateRaw(data, `${at}.data`, dataMaxLength));
  return [...errors, ...validateNetworkData(status.networkData, `${at}.networkData`)];
}

function validateConsumer(
  consumer: Readonly<resourcev1.ResourceClaimConsumerReference>,
  at: string,
): FieldError[] {
  return (["resource", "name", "uid"] as const).flatMap((key) =>
    consumer[key] ? [] : [required(`${at}.${key}`)],
  );
}

function validateConsumers(claim: Claim, old: Claim): FieldError[] {
  const path = "status.reservedFor";
  const { reservedFor = [], allocation } = claim.status;
  const errors = validateSet(reservedFor, consumersMax, path, validateConsumer, ({ uid }) => uid);
  if (reservedFor.length === 0) return errors;
  if (!allocation)
    return [...errors, forbiddenField(path, "may not be specified when `allocated` is not set")];
  if (!claim.metadata.deletionTimestamp) return errors;
  const before = new Set((old.status?.reservedFor ?? []).map((consumer) => JSON.stringify(consumer)));
  if (reservedFor.every((consumer) => before.has(JSON.stringify(consumer)))) return errors;
  const rule = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
  return [...errors, forbiddenField(path, rule)];
}

export function validateClaimStatus(claim: Claim, old: Claim): FieldError[] {
  const { allocation, devices } = claim.status;
  const allocated = new Set((allocation?.devices?.results ?? []).map(identityOf));
  const before = old.status?.allocation;
  const at = "status.allocation";
  const statuses = validateSet(
    devices,
    Number.POSITIVE_INFINITY,
    "status.devices",
    (device, field) => validateDeviceStatus(device, field, allocated),
    ({ driver, pool, device, shareID }) => ({ driver, pool, device, shareID }),
  );
  const results = !allocation
    ? []
    : before
      ? immutable(allocation, before, at)
      : validateAllocation(allocation, at, requestNamesOf(claim.spec.devices));
  return [...validateConsumers(claim, old), ...statuses, ...results];
}

/** What is reported of devices that the claim no longer has goes with them. */
export function dropDeallocatedDevices(claim: resourcev1.ResourceClaim, old: Claim): void {
  const { status } = claim;
  if (!status?.devices) return;
  const device = ({ driver, pool, device: name }: DeviceId) => JSON.stringify([driver, pool, name]);
  const gone = new Set((old.status?.allocation?.devices?.results ?? []).map(device));
  for (const result of status.allocation?.devices?.results ?? []) gone.delete(device(result));
  status.devices = status.devices.filter((each) => !gone.has(device(each)));
  if (status.devices.length === 0) delete status.devices;
}
