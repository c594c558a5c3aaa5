/** Endpoints. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/ */
import { isIP } from "node:net";
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { ipWarnings } from "../validation/addresses.ts";
import { dnsLabelErrors, portErrors } from "../validation/names.ts";

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

function validateEndpoints(endpoints: Readonly<corev1.Endpoints>): FieldError[] {
  return (endpoints.subsets ?? []).flatMap((subset, i) => validateSubset(subset, `subsets[${i}]`));
}

function validateSubset(subset: Readonly<corev1.EndpointSubset>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const ports = subset.ports ?? [];
  if (!subset.addresses?.length && !subset.notReadyAddresses?.length) {
    errors.push(required(at, "must specify `addresses` or `notReadyAddresses`"));
  }
  for (const list of ["addresses", "notReadyAddresses"] as const) {
    for (const [i, address] of (subset[list] ?? []).entries()) {
      if (isIP(address.ip) !== 0) continue;
      errors.push(
        invalid(
          `${at}.${list}[${i}].ip`,
          address.ip,
          "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
      );
    }
  }
  for (const [i, port] of ports.entries()) {
    if (ports.length > 1 && !port.name) errors.push(required(`${at}.ports[${i}].name`));
    if (port.name)
      for (const e of dnsLabelErrors(port.name)) errors.push(invalid(`${at}.ports[${i}].name`, port.name, e));
    for (const e of portErrors(port.port)) errors.push(invalid(`${at}.ports[${i}].port`, port.port, e));
  }
  return errors;
}

function endpointsWarnings({ subsets = [] }: Readonly<corev1.Endpoints>): string[] {
  return subsets.flatMap((subset, i) =>
    (["addresses", "notReadyAddresses"] as const).flatMap((list) =>
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
  validate: validateEndpoints,
  warnings: endpointsWarnings,
  columns: [
    nameColumn(),
    column("Endpoints", "string", "The addresses and ports behind the service.", endpointsText),
    ageColumn(),
  ],
});
