/** Endpoints. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/ */
import { isIP } from "node:net";
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, notSupported, required } from "../meta/field-error.ts";
import { ipWarnings, legacyIpErrors, specialAddressErrors } from "../validation/addresses.ts";
import { invalidEach } from "../validation/checks.ts";
import { dnsLabelErrors, dnsSubdomainErrors, portErrors, qualifiedNameErrors } from "../validation/names.ts";

const shownMax = 3;

/** `10.0.0.1:80,10.0.0.2:80 + 3 more...` */
function endpointsText(endpoints: Readonly<corev1.Endpoints>): string {
  const texts: string[] = [];
  for (const subset of endpoints.subsets ?? []) {
    const addresses = (subset.addresses ?? []).map((a) => (isIP(a.ip) === 6 ? `[${a.ip}]` : a.ip));
    const ports = subset.ports ?? [];
    if (ports.length === 0) texts.push(...(subset.addresses ?? []).map((a) => a.ip));
    for (const port of ports) texts.push(...addresses.map((a) => `${a}:${port.port}`));
  }
  if (texts.length === 0) return "<none>";
  const shown = texts.slice(0, shownMax).join(",");
  return texts.length > shownMax ? `${shown} + ${texts.length - shownMax} more...` : shown;
}

const addressLists = ["addresses", "notReadyAddresses"] as const;
const protocols = ["SCTP", "TCP", "UDP"];

type IsKnown = (address: string) => boolean;

/** Addresses that stood there already may stay as they are written. */
function validateEndpoints(
  object: Readonly<corev1.Endpoints>,
  old?: Readonly<corev1.Endpoints>,
): FieldError[] {
  const isKnown: IsKnown = (address) =>
    old?.subsets?.some((subset) =>
      addressLists.some((list) => subset[list]?.some(({ ip }) => ip === address)),
    ) ?? false;
  return (object.subsets ?? []).flatMap((subset, i) => validateSubset(subset, isKnown, `subsets[${i}]`));
}

function validateSubset(subset: Readonly<corev1.EndpointSubset>, isKnown: IsKnown, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const { ports = [] } = subset;
  if (!subset.addresses?.length && !subset.notReadyAddresses?.length) {
    errors.push(required(at, "must specify `addresses` or `notReadyAddresses`"));
  }
  for (const list of addressLists)
    for (const [i, address] of (subset[list] ?? []).entries())
      errors.push(...validateAddress(address, isKnown, `${at}.${list}[${i}]`));
  for (const [i, port] of ports.entries())
    errors.push(...validatePort(port, ports.length > 1, `${at}.ports[${i}]`));
  return errors;
}

function validateAddress(
  { ip, hostname, nodeName }: Readonly<corev1.EndpointAddress>,
  isKnown: IsKnown,
  at: string,
): FieldError[] {
  const wrong = legacyIpErrors(ip);
  if (wrong.length > 0 && isKnown(ip)) wrong.length = 0;
  else if (wrong.length === 0) wrong.push(...specialAddressErrors(ip, { loopback: true }));
  const errors = invalidEach(`${at}.ip`, ip, wrong);
  if (hostname) errors.push(...invalidEach(`${at}.hostname`, hostname, dnsLabelErrors(hostname)));
  if (nodeName !== undefined)
    errors.push(...invalidEach(`${at}.nodeName`, nodeName, dnsSubdomainErrors(nodeName)));
  return errors;
}

function validatePort(
  { name, port, protocol, appProtocol }: Readonly<corev1.EndpointPort>,
  needsName: boolean,
  at: string,
): FieldError[] {
  const errors: FieldError[] = [];
  if (name) errors.push(...invalidEach(`${at}.name`, name, dnsLabelErrors(name)));
  else if (needsName) errors.push(required(`${at}.name`));
  errors.push(...invalidEach(`${at}.port`, port, portErrors(port)));
  if (!protocol) errors.push(required(`${at}.protocol`));
  else if (!protocols.includes(protocol)) errors.push(notSupported(`${at}.protocol`, protocol, protocols));
  if (appProtocol !== undefined)
    errors.push(...invalidEach(`${at}.appProtocol`, appProtocol, qualifiedNameErrors(appProtocol)));
  return errors;
}

function endpointsWarnings({ subsets = [] }: Readonly<corev1.Endpoints>): string[] {
  return subsets.flatMap((subset, i) =>
    addressLists.flatMap((list) =>
      (subset[list] ?? []).flatMap(({ ip }, j) => ipWarnings(`subsets[${i}].${list}[${j}].ip`, ip)),
    ),
  );
}

export const endpoints = defineResource<corev1.Endpoints>({
  group: "",
  version: "v1",
  resource: "endpoints",
  kind: "Endpoints",
  typeName: "io.k8s.api.core.v1.Endpoints",
  namespaced: true,
  shortNames: ["ep"],
  deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  defaults(object) {
    for (const subset of object.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ??= "TCP";
  },
  validate: (object) => validateEndpoints(object),
  validateUpdate: validateEndpoints,
  warnings: endpointsWarnings,
  columns: [
    nameColumn(),
    column("Endpoints", "string", "The addresses and ports behind the service.", endpointsText),
    ageColumn(),
  ],
});
