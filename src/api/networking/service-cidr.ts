/** ServiceCIDR: where the addresses of services come from. https://kubernetes.io/docs/reference/kubernetes-api/service-resources/service-cidr-v1/ */
import type { networkingv1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithMetadata,
  nameColumn,
} from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { cidrErrors, familyOfCidr } from "../validation/addresses.ts";

type ServiceCIDR = Readonly<networkingv1.ServiceCIDR>;

const path = "spec.cidrs";
const immutableDetail = "field is immutable";

/** The one that every cluster has from its start. */
export const defaultServiceCidrName = "kubernetes";

function validateServiceCidr({ spec = {} }: ServiceCIDR): FieldError[] {
  const { cidrs = [] } = spec;
  if (cidrs.length === 0) return [required(path, "at least one CIDR required")];
  if (cidrs.length > 2) return [invalid(path, spec, "may only hold up to 2 values")];
  const errors = cidrs.flatMap((cidr, i) => cidrErrors(cidr).map((e) => invalid(`${path}[${i}]`, cidr, e)));
  const [first, second] = cidrs.map(familyOfCidr);
  if (first !== undefined && first === second) {
    const detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
    errors.push(invalid(path, cidrs, detail));
  }
  return errors;
}

/** A second family may be added, once; nothing else changes. */
function validateServiceCidrUpdate(serviceCidr: ServiceCIDR, old: ServiceCIDR): FieldError[] {
  const cidrs = serviceCidr.spec?.cidrs ?? [];
  const before = old.spec?.cidrs ?? [];
  const isAddition = before.length === 1 && cidrs.length === 2;
  if (!isAddition && cidrs.length !== before.length) return [invalid(path, cidrs, immutableDetail)];
  const errors = before.flatMap((cidr, i) =>
    cidr === cidrs[i] ? [] : [invalid(`${path}[${i}]`, cidrs[i], immutableDetail)],
  );
  return isAddition ? [...errors, ...validateServiceCidr(serviceCidr)] : errors;
}

export const serviceCidrs = defineResource<networkingv1.ServiceCIDR>({
  group: "networking.k8s.io",
  version: "v1",
  resource: "servicecidrs",
  kind: "ServiceCIDR",
  typeName: "io.k8s.api.networking.v1.ServiceCIDR",
  namespaced: false,
  subresources: { status: { kind: "ServiceCIDR", verbs: ["get", "patch", "update"] } },
  defaults(serviceCidr) {
    serviceCidr.spec ??= {};
    serviceCidr.status ??= {};
  },
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: validateServiceCidr,
  validateUpdate: validateServiceCidrUpdate,
  columns: [
    nameColumn(),
    column("CIDRs", "string", "The IP blocks from which addresses are given to Services.", (s) =>
      (s.spec?.cidrs ?? []).join(","),
    ),
    ageColumn(),
  ],
});

export const serviceCidrsV1beta1 = defineVersion(serviceCidrs, {
  version: "v1beta1",
  deprecation: "networking.k8s.io/v1beta1 ServiceCIDR is deprecated in v1.34+, unavailable in v1.37+",
  typeName: "io.k8s.api.networking.v1beta1.ServiceCIDR",
});
