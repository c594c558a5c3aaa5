/** EndpointSlice. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/ */
import type { discoveryv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { duplicate, type FieldError, invalid, notSupported, required, tooMany } from "../meta/field-error.ts";
import {
  familyOfAddress,
  ipWarnings,
  legacyIpErrors,
  specialAddressErrors,
} from "../validation/addresses.ts";
import { invalidEach } from "../validation/checks.ts";
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  labelValueErrors,
  portErrors,
  qualifiedNameErrors,
} from "../validation/names.ts";
import { domainNameErrors } from "../validation/special-names.ts";

type Slice = Readonly<discoveryv1.EndpointSlice>;
type Endpoint = Readonly<discoveryv1.Endpoint>;

const addressTypes = ["FQDN", "IPv4", "IPv6"];
const protocols = ["SCTP", "TCP", "UDP"];
const endpointsMax = 1000;
const addressesMax = 100;
const portsMax = 20_000;
const hintsMax = 8;
const shownMax = 3;

type IsKnown = (address: string) => boolean;

function addressErrors(type: string, address: string, isKnown: IsKnown, field: string): FieldError[] {
  if (type === "FQDN") return domainNameErrors(field, address);
  if (type !== "IPv4" && type !== "IPv6") return [];
  const errors = legacyIpErrors(address);
  // What is stored may stay as it is written.
  if (errors.length > 0 && isKnown(address)) return [];
  if (errors.length === 0) {
    if (`IPv${familyOfAddress(address)}` !== type) errors.push(`must be an ${type} address`);
    errors.push(...specialAddressErrors(address, { loopback: true }));
  }
  return invalidEach(field, address, errors);
}

function validateSlice(slice: Slice, old?: Slice): FieldError[] {
  const errors: FieldError[] = [];
  if (!slice.addressType) errors.push(required("addressType"));
  else if (!addressTypes.includes(slice.addressType))
    errors.push(notSupported("addressType", slice.addressType, addressTypes));
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > endpointsMax) errors.push(tooMany("endpoints", endpoints.length, endpointsMax));
  else {
    const isKnown: IsKnown = (address) =>
      old?.endpoints?.some(({ addresses }) => addresses?.includes(address)) ?? false;
    for (const [i, endpoint] of endpoints.entries())
      errors.push(...validateEndpoint(endpoint, slice.addressType, isKnown, `endpoints[${i}]`));
  }
  return [...errors, ...validatePorts(slice)];
}

function validateEndpoint(endpoint: Endpoint, type: string, isKnown: IsKnown, at: string): FieldError[] {
  const { addresses = [], nodeName, hostname, hints } = endpoint;
  const errors: FieldError[] = [];
  const field = `${at}.addresses`;
  if (addresses.length === 0) errors.push(required(field, "must contain at least 1 address"));
  if (addresses.length > addressesMax) errors.push(tooMany(field, addresses.length, addressesMax));
  for (const [j, address] of addresses.entries())
    errors.push(...addressErrors(type, address, isKnown, `${field}[${j}]`));
  if (nodeName !== undefined)
    errors.push(...invalidEach(`${at}.nodeName`, nodeName, dnsSubdomainErrors(nodeName)));
  if (hostname !== undefined)
    errors.push(...invalidEach(`${at}.hostname`, hostname, dnsLabelErrors(hostname)));
  return [
    ...errors,
    ...validateHints(hints?.forZones, labelValueErrors, `${at}.hints.forZones`),
    ...validateHints(hints?.forNodes, dnsSubdomainErrors, `${at}.hints.forNodes`),
  ];
}

function validateHints(
  hints: readonly { name: string }[] = [],
  check: (name: string) => string[],
  at: string,
): FieldError[] {
  if (hints.length > hintsMax) return [tooMany(at, hints.length, hintsMax)];
  const names = new Set<string>();
  return hints.flatMap(({ name }, i) => {
    const field = `${at}[${i}].name`;
    const errors = names.has(name) ? [duplicate(field, name)] : [];
    names.add(name);
    return [...errors, ...invalidEach(field, name, check(name))];
  });
}

function validatePorts({ ports = [] }: Slice): FieldError[] {
  if (ports.length > portsMax) return [tooMany("ports", ports.length, portsMax)];
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, { name = "", protocol, port, appProtocol }] of ports.entries()) {
    const at = `ports[${i}]`;
    if (name !== "") errors.push(...invalidEach(`${at}.name`, name, dnsLabelErrors(name)));
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name);
    if (protocol && !protocols.includes(protocol))
      errors.push(notSupported(`${at}.protocol`, protocol, protocols));
    if (port !== undefined) errors.push(...invalidEach(`${at}.port`, port, portErrors(port)));
    if (appProtocol !== undefined)
      errors.push(...invalidEach(`${at}.appProtocol`, appProtocol, qualifiedNameErrors(appProtocol)));
  }
  return errors;
}

/** Of times before `nodeName` and `zone`: nobody writes it any more. */
function dropTopology({ endpoints = [] }: discoveryv1.EndpointSlice): void {
  for (const endpoint of endpoints) delete endpoint.deprecatedTopology;
}

function shortened(texts: readonly string[]): string {
  const shown = texts.slice(0, shownMax).join(",");
  return texts.length > shownMax ? `${shown} + ${texts.length - shownMax} more...` : shown || "<unset>";
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
  onCreate: dropTopology,
  onUpdate: dropTopology,
  validate: (slice) => validateSlice(slice),
  warnings: sliceWarnings,
  validateUpdate(slice, old) {
    const errors = validateSlice(slice, old);
    if (slice.addressType !== old.addressType)
      errors.push(invalid("addressType", slice.addressType, "field is immutable"));
    return errors;
  },
  columns: [
    nameColumn(),
    column("AddressType", "string", "The type of the addresses.", (s) => s.addressType ?? ""),
    column("Ports", "string", "The ports of every endpoint.", (s) =>
      shortened((s.ports ?? []).map((p) => String(p.port ?? p.name ?? "*"))),
    ),
    column("Endpoints", "string", "The addresses of the endpoints.", (s) =>
      shortened((s.endpoints ?? []).flatMap((e) => e.addresses ?? [])),
    ),
    ageColumn(),
  ],
});
