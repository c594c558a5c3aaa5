/**
 * The addresses of a Service, their families and the policy behind them: fields that hang together.
 * https://kubernetes.io/docs/concepts/services-networking/dual-stack/#services
 */
import type { corev1 } from "../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../meta/field-error.ts";
import { familyOfAddress, legacyIpErrors } from "../validation/addresses.ts";

type Service = Readonly<corev1.Service>;
type Spec = Readonly<corev1.ServiceSpec>;

const families = ["IPv4", "IPv6"];
const familyPolicies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
const addressesField = "spec.clusterIPs";
const policyField = "spec.ipFamilyPolicy";
const notOnceSet = "may not change once set";

function isHeadless({ clusterIPs = [] }: Spec): boolean {
  return clusterIPs.length === 1 && clusterIPs[0] === "None";
}

function validatePairing({ clusterIP, clusterIPs = [] }: Spec): FieldError[] {
  if (!clusterIP) {
    if (clusterIPs.length === 0) return [];
    return [invalid(addressesField, clusterIPs, "must be empty when `clusterIP` is not specified")];
  }
  if (clusterIPs.length === 0) return [required(addressesField)];
  if (clusterIPs[0] === clusterIP) return [];
  return [invalid(addressesField, clusterIPs, "first value must match `clusterIP`")];
}

function validateFamilies({ ipFamilies = [], ipFamilyPolicy }: Spec): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, family] of ipFamilies.entries()) {
    const at = `spec.ipFamilies[${i}]`;
    if (!families.includes(family)) errors.push(notSupported(at, family, families));
    if (seen.has(family)) errors.push(duplicate(at, family));
    seen.add(family);
  }
  if (ipFamilyPolicy && !familyPolicies.includes(ipFamilyPolicy))
    errors.push(notSupported(policyField, ipFamilyPolicy, familyPolicies));
  return errors;
}

/** Each for itself; they are compared with their families when all of them are addresses. */
function validateEach({ clusterIPs = [] }: Spec, old: Spec | undefined): FieldError[] {
  return clusterIPs.flatMap((ip, i) => {
    if (i === 0 && ip === "None")
      return clusterIPs.length > 1
        ? [invalid(addressesField, clusterIPs, "'None' must be the first and only value")]
        : [];
    return legacyIpErrors(ip, old?.clusterIPs).map((e) => invalid(`${addressesField}[${i}]`, ip, e));
  });
}

function validateTogether(spec: Spec): FieldError[] {
  const { clusterIPs = [], ipFamilies = [] } = spec;
  const errors: FieldError[] = [];
  const own = clusterIPs.map(familyOfAddress);
  if (own.length > 1 && (!own.includes(4) || !own.includes(6)))
    errors.push(invalid(addressesField, clusterIPs, "may specify no more than one IP for each IP family"));
  if (isHeadless(spec)) return errors;
  for (const [i, ip] of clusterIPs.entries()) {
    const wanted = ipFamilies[i];
    if ((wanted === "IPv4" && own[i] === 6) || (wanted === "IPv6" && own[i] !== 6))
      errors.push(
        invalid(
          `${addressesField}[${i}]`,
          ip,
          `expected an ${wanted} value as indicated by \`ipFamilies[${i}]\``,
        ),
      );
  }
  return errors;
}

/** What is wrong whatever families the cluster has; those of an ExternalName must be absent. */
export function validateClusterAddresses({ spec }: Service, old?: Service): FieldError[] {
  if (spec.type === "ExternalName") return validateNone(spec);
  const errors = [...validatePairing(spec), ...validateFamilies(spec)];
  const each = validateEach(spec, old?.spec);
  errors.push(...each);
  const { clusterIPs = [] } = spec;
  if (clusterIPs.length > 2) errors.push(invalid(addressesField, clusterIPs, "may only hold up to 2 values"));
  return each.length > 0 ? errors : [...errors, ...validateTogether(spec)];
}

function validateNone({ clusterIP, clusterIPs, ipFamilies, ipFamilyPolicy }: Spec): FieldError[] {
  const detail = "may not be set for ExternalName services";
  return [
    ...(clusterIP || clusterIPs?.length ? [forbiddenField(addressesField, detail)] : []),
    ...(ipFamilies?.length ? [forbiddenField("spec.ipFamilies", detail)] : []),
    ...(ipFamilyPolicy ? [forbiddenField(policyField, detail)] : []),
  ];
}

/** A second address may come and go; the first one stays. */
export function validateAddressChange({ spec }: Service, { spec: old }: Service): FieldError[] {
  if (spec.type === "ExternalName" || old.type === "ExternalName") return [];
  return [...validateChangedAddresses(spec, old), ...validateChangedFamilies(spec, old)];
}

function validateChangedAddresses(spec: Spec, old: Spec): FieldError[] {
  if (isHeadless(spec) && isHeadless(old)) return [];
  const [now, before] = [spec.clusterIPs ?? [], old.clusterIPs ?? []];
  if (now.length === before.length)
    return before.flatMap((ip, i) =>
      ip === now[i] ? [] : [invalid(`${addressesField}[${i}]`, now, notOnceSet)],
    );
  const errors: FieldError[] = [];
  if (now.length === 0)
    errors.push(invalid(`${addressesField}[0]`, now, "primary clusterIP can not be unset"));
  else if (before.length > 0 && now[0] !== before[0])
    errors.push(invalid(`${addressesField}[0]`, now, notOnceSet));
  if (now.length === 1 && before.length > 1 && spec.ipFamilyPolicy !== "SingleStack") {
    const detail = "must be set to 'SingleStack' when releasing the secondary clusterIP";
    errors.push(invalid(policyField, spec.ipFamilyPolicy, detail));
  }
  return errors;
}

function validateChangedFamilies(spec: Spec, old: Spec): FieldError[] {
  // Without an address nothing depends on them.
  if (isHeadless(spec) || isHeadless(old)) return [];
  const [now, before] = [spec.ipFamilies ?? [], old.ipFamilies ?? []];
  const at = "spec.ipFamilies[0]";
  if (now.length === before.length)
    return before.flatMap((family, i) => (family === now[i] ? [] : [invalid(at, now, notOnceSet)]));
  const errors: FieldError[] = [];
  if (before.length > 0 && now.length > 0 && now[0] !== before[0])
    errors.push(invalid(at, spec.clusterIPs ?? [], notOnceSet));
  if (now.length === 1 && before.length > 1 && spec.ipFamilyPolicy !== "SingleStack") {
    const detail = "must be set to 'SingleStack' when releasing the secondary ipFamily";
    errors.push(invalid(policyField, spec.ipFamilyPolicy, detail));
  }
  return errors;
}
