/** The requests of `v1beta1`: what `v1` says in `exactly` stands beside the request's name there. */
import type { resourcev1, resourcev1beta1 } from "../generated/types/index.ts";
import { defaultDeviceClaim } from "./requests.ts";

type OldClaim = resourcev1beta1.DeviceClaim;
type NewClaim = resourcev1.DeviceClaim;

function requestToStored(request: resourcev1beta1.DeviceRequest): resourcev1.DeviceRequest {
  const { name, firstAvailable, ...details } = request;
  const hasDetails = Object.values(details).some(
    (value) => value !== undefined && value !== "" && value !== 0,
  );
  return {
    name,
    ...(hasDetails ? { exactly: { ...details, deviceClassName: details.deviceClassName ?? "" } } : {}),
    ...(firstAvailable ? { firstAvailable } : {}),
  };
}

function requestFromStored(request: resourcev1.DeviceRequest): resourcev1beta1.DeviceRequest {
  const { name, exactly, firstAvailable } = request;
  return { name, ...exactly, ...(firstAvailable ? { firstAvailable } : {}) };
}

export function claimToStored({ requests, ...rest }: OldClaim): NewClaim {
  return { ...rest, ...(requests ? { requests: requests.map(requestToStored) } : {}) };
}

export function claimFromStored({ requests, ...rest }: NewClaim): OldClaim {
  return { ...rest, ...(requests ? { requests: requests.map(requestFromStored) } : {}) };
}

/** A request without alternatives is one for devices of a class, even where it says nothing. */
export function defaultOldClaim(claim: OldClaim | undefined): void {
  for (const request of claim?.requests ?? []) {
    if (request.firstAvailable?.length) continue;
    request.allocationMode ||= "ExactCount";
    if (request.allocationMode === "ExactCount" && !request.count) request.count = 1;
  }
  for (const request of claim?.requests ?? [])
    defaultDeviceClaim({ requests: [{ name: "", firstAvailable: request.firstAvailable ?? [] }] });
}
