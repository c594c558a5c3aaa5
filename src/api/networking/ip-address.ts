/** IPAddress: its name is an address, and says who uses it. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/ip-address-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { networkingv1 } from "../generated/types/index.ts";
import { column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { ipErrors } from "../validation/addresses.ts";
import { dnsSubdomainErrors, pathSegmentErrors } from "../validation/names.ts";

type IPAddress = Readonly<networkingv1.IPAddress>;

function validateIpAddress({ spec }: IPAddress): FieldError[] {
  const parent = spec?.parentRef;
  const at = "spec.parentRef";
  if (!parent) return [required(at)];
  const errors: FieldError[] = [];
  if (parent.group)
    for (const e of dnsSubdomainErrors(parent.group)) errors.push(invalid(`${at}.group`, parent.group, e));
  for (const key of ["resource", "name", "namespace"] as const) {
    const value = parent[key];
    if (value) for (const e of pathSegmentErrors(value)) errors.push(invalid(`${at}.${key}`, value, e));
    else if (key !== "namespace") errors.push(required(`${at}.${key}`));
  }
  return errors;
}

function parentText({ spec }: IPAddress): string {
  const parent = spec?.parentRef;
  if (!parent) return "<none>";
  const resource = parent.group ? `${parent.resource}.${parent.group}` : parent.resource;
  return [resource.toLowerCase(), ...(parent.namespace ? [parent.namespace] : []), parent.name].join("/");
}

export const ipAddresses = defineResource<networkingv1.IPAddress>({
  group: "networking.k8s.io",
  version: "v1",
  resource: "ipaddresses",
  kind: "IPAddress",
  typeName: "io.k8s.api.networking.v1.IPAddress",
  namespaced: false,
  shortNames: ["ip"],
  validateName: (name) => ipErrors(name),
  validate: validateIpAddress,
  validateUpdate: (address, old) => [
    ...validateIpAddress(address),
    ...immutable(address.spec?.parentRef, old.spec?.parentRef, "spec.parentRef"),
  ],
  columns: [
    nameColumn(),
    column("ParentRef", "string", "The resource that an IPAddress is attached to.", parentText),
  ],
});

export const ipAddressesV1beta1 = defineVersion(ipAddresses, {
  version: "v1beta1",
  deprecation: "networking.k8s.io/v1beta1 IPAddress is deprecated in v1.34+, unavailable in v1.37+",
  typeName: "io.k8s.api.networking.v1beta1.IPAddress",
});
