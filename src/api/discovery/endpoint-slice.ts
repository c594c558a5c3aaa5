/** EndpointSlice. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/ */
import { isIP } from "node:net";
import type { discoveryv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { duplicate, type FieldError, invalid, notSupported, required, tooMany } from "../meta/field-error.ts";
import { ipWarnings } from "../validation/addresses.ts";
import { dnsLabelErrors, dnsSubdomainErrors, portErrors } from "../validation/names.ts";

type Slice = Readonly<discoveryv1.EndpointSlice>;

const addressTypes = ["FQDN", "IPv4", "IPv6"];
const protocols = ["SCTP", "TCP", "UDP"];
const endpointsMax = 1000;
const addressesMax = 100;
const shownMax = 3;

function addressErrors(address: string, type: string): string[] {
  if (type === "FQDN") return dnsSubdomainErrors(address);
  if (type === "IPv4") return isIP(address) === 4 ? [] : ["must be an IPv4 address"];
  return isIP(address) === 6 ? [] : ["must be an IPv6 address"];
}

function validateSlice(slice: Slice): FieldError[] {
  const errors: FieldError[] = [];
  if (!slice.addressType) errors.push(required("addressType"));
  else if (!addressTypes.includes(slice.addressType))
    errors.push(notSupported("addressType", slice.addressType, addressTypes));
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > endpointsMax)
    return [...errors, tooMany("endpoints", endpoints.length, endpointsMax)];
  for (const [i, endpoint] of endpoints.entries()) {
    const at = `endpoints[${i}]`;
    const addresses = endpoint.addresses ?? [];
    if (addresses.length === 0) errors.push(required(`${at}.addresses`, "must contain at least 1 address"));
    if (addresses.length > addressesMax)
      errors.push(tooMany(`${at}.addresses`, addresses.length, addressesMax));
    for (const [j, address] of addresses.entries()) {
      for (const e of addressErrors(address, slice.addressType))
        errors.push(invalid(`${at}.addresses[${j}]`, address, e));
    }
    if (endpoint.hostname)
      for (const e of dnsLabelErrors(endpoint.hostname))
        errors.push(invalid(`${at}.hostname`, endpoint.hostname, e));
  }
  return [...errors, ...validatePorts(slice)];
}

function validatePorts(slice: Slice): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, port] of (slice.ports ?? []).entries()) {
    const at = `ports[${i}]`;
    const name = port.name ?? "";
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (name) for (const e of dnsLabelErrors(name)) errors.push(invalid(`${at}.name`, name, e));
    if (port.protocol && !protocols.includes(port.protocol))
      errors.push(notSupported(`${at}.protocol`, port.protocol, protocols));
    if (port.port !== undefined)
      for (const e of portErrors(port.port)) errors.push(invalid(`${at}.port`, port.port, e));
  }
  return errors;
}

function shortened(texts: readonly string[]): string {
  if (texts.length === 0) return "<unset>";
  const shown = texts.slice(0, shownMax).join(",");
  return texts.length > shownMax ? `${shown} + ${texts.length - shownMax} more...` : shown;
}

function sliceWarnings({ addressType, endpoints = [] }: Slice): string[] {
  if (addressType === "FQDN") return ["spec.addressType: FQDN endpoints are deprecated"];
  return endpoints.flatMap(({ addresses = [] }, i) =>
    addresses.flatMap((address, j) => ipWarnings(`endpoints[${i}].addresses[${j}]`, address)),
  );
}

export const endpointSlices = defineResource<discoveryv1.EndpointSlice>({
  group: "discovery.k8s.io",
  version: "v1",
  resource: "endpointslices",
  kind: "EndpointSlice",
  typeName: "io.k8s.api.discovery.v1.EndpointSlice",
  namespaced: true,
  hasGeneration: true,
  defaults(slice) {
    for (const port of slice.ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validate: validateSlice,
  warnings: sliceWarnings,
  validateUpdate(slice, old) {
    const errors = validateSlice(slice);
    if (slice.addressType !== old.addressType)
      errors.push(invalid("addressType", slice.addressType, "field is immutable"));
    return errors;
  },
  columns: [
    nameColumn(),
    column("AddressType", "string", "The type of the addresses.", (s) => s.addressType ?? ""),
    column("Ports", "string", "The ports of every endpoint.", (s) =>
      shortened((s.ports ?? []).map((p) => String(p.port ?? "*"))),
    ),
    column("Endpoints", "string", "The addresses of the endpoints.", (s) =>
      shortened((s.endpoints ?? []).flatMap((e) => e.addresses ?? [])),
    ),
    ageColumn(),
  ],
});
