/**
 * Which families of addresses a Service gets: from what its author says, from the addresses that are there, and from what
 * the cluster has. Pure, but for the Service that it completes.
 * https://kubernetes.io/docs/concepts/services-networking/dual-stack/#services
 */
import { type corev1, type FieldError, invalid, sameJson } from "#api";
import type { IpFamily } from "./address-range.ts";
import { canonicalAddress } from "./address-range.ts";

type Old = Readonly<corev1.Service> | undefined;
type Spec = corev1.ServiceSpec;

const policyField = "spec.ipFamilyPolicy";
const notConfigured = "not configured on this cluster";

export function needsAddress({ spec }: Readonly<corev1.Service>): boolean {
  return spec.type !== "ExternalName";
}

/** Of the two fields that say the same, old clients know the first one only. */
export function normalizeAddresses({ spec }: corev1.Service, old: Old): void {
  if (!old) {
    if (spec.clusterIP && !spec.clusterIPs?.length) spec.clusterIPs = [spec.clusterIP];
    return;
  }
  if (spec.clusterIP === old.spec.clusterIP || !sameJson(spec.clusterIPs, old.spec.clusterIPs)) return;
  if (spec.clusterIP) spec.clusterIPs = [spec.clusterIP];
  else if (old.spec.clusterIP) delete spec.clusterIPs;
}

/** Nothing about its families changes: then the cluster's having got another one changes nothing either. */
function keepsPreference({ spec }: corev1.Service, old: Old): boolean {
  const prefers = "PreferDualStack";
  return (
    old !== undefined &&
    spec.ipFamilyPolicy === prefers &&
    (old.spec.ipFamilyPolicy ?? prefers) === prefers &&
    old.spec.type === spec.type &&
    sameJson(spec.clusterIPs, old.spec.clusterIPs) &&
    sameJson(spec.ipFamilies, old.spec.ipFamilies)
  );
}

function isHeadlessWithoutSelector({ clusterIP, selector }: Spec): boolean {
  return clusterIP === "None" && Object.keys(selector ?? {}).length === 0;
}

function familyOf(address: string): IpFamily {
  return canonicalAddress(address)?.includes(":") ? "IPv6" : "IPv4";
}

const other = (family: string): IpFamily => (family === "IPv4" ? "IPv6" : "IPv4");

/** Completes policy and families; answers what cannot be had. The cluster's first family is its default. */
export function completeFamilies(
  service: corev1.Service,
  old: Old,
  cluster: readonly IpFamily[],
): FieldError[] {
  const { spec } = service;
  if (!needsAddress(service) || keepsPreference(service, old)) return [];
  spec.ipFamilyPolicy ??=
    old?.spec.ipFamilyPolicy ?? (isHeadlessWithoutSelector(spec) ? "RequireDualStack" : "SingleStack");
  const errors = [
    ...(old ? release(spec, old.spec) : []),
    ...checkSingle(spec),
    ...inferFamilies(spec, cluster),
  ];
  if (errors.length > 0) return errors;
  const defaultFamily = cluster[0] ?? "IPv4";
  if (isHeadlessWithoutSelector(spec)) {
    // Nobody knows what endpoints it will be given, so that any cluster may have both.
    if (!spec.ipFamilies?.length) spec.ipFamilies = [defaultFamily];
    addSecond(spec);
    return [];
  }
  const lacking = checkCluster(spec, cluster);
  if (lacking.length > 0) return lacking;
  if (!spec.ipFamilies?.length) spec.ipFamilies = [defaultFamily];
  if (cluster.length > 1) addSecond(spec);
  return [];
}

function addSecond(spec: Spec): void {
  const [first, ...rest] = spec.ipFamilies ?? [];
  if (first && rest.length === 0 && spec.ipFamilyPolicy !== "SingleStack")
    spec.ipFamilies = [first, other(first)];
}

/** Back to one family: by the policy alone, or with the lists shortened too. */
function release(spec: Spec, old: Readonly<Spec>): FieldError[] {
  if (spec.ipFamilyPolicy === "SingleStack") {
    if (sameJson(spec.clusterIPs, old.clusterIPs)) spec.clusterIPs = spec.clusterIPs?.slice(0, 1);
    if (sameJson(spec.ipFamilies, old.ipFamilies)) spec.ipFamilies = spec.ipFamilies?.slice(0, 1);
    return [];
  }
  const reduced = (now: readonly string[] = [], before: readonly string[] = []) =>
    now.length > 0 && now.length < before.length;
  const errors: FieldError[] = [];
  if (reduced(spec.clusterIPs, old.clusterIPs))
    errors.push(
      invalid(policyField, spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary cluster IP"),
    );
  if (reduced(spec.ipFamilies, old.ipFamilies))
    errors.push(
      invalid(policyField, spec.ipFamilyPolicy, "must be 'SingleStack' to release the secondary IP family"),
    );
  return errors;
}

function checkSingle({ ipFamilyPolicy, clusterIPs, ipFamilies }: Spec): FieldError[] {
  if (ipFamilyPolicy !== "SingleStack") return [];
  const detail = (what: string) =>
    `must be 'RequireDualStack' or 'PreferDualStack' when multiple ${what} are specified`;
  return [
    ...(clusterIPs?.length === 2 ? [invalid(policyField, ipFamilyPolicy, detail("cluster IPs"))] : []),
    ...(ipFamilies?.length === 2 ? [invalid(policyField, ipFamilyPolicy, detail("IP families"))] : []),
  ];
}

function inferFamilies(spec: Spec, cluster: readonly IpFamily[]): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, ip] of (spec.clusterIPs ?? []).entries()) {
    if (ip === "None") break;
    if (i < (spec.ipFamilies?.length ?? 0)) continue;
    const family = familyOf(ip);
    if (cluster.includes(family)) spec.ipFamilies = [...(spec.ipFamilies ?? []), family];
    else errors.push(invalid(`spec.clusterIPs[${i}]`, spec.clusterIPs, `${family} is ${notConfigured}`));
  }
  return errors;
}

function checkCluster({ ipFamilyPolicy, ipFamilies = [] }: Spec, cluster: readonly IpFamily[]): FieldError[] {
  const single = "this cluster is not configured for dual-stack services";
  return [
    ...(ipFamilyPolicy === "RequireDualStack" && cluster.length < 2
      ? [invalid(policyField, ipFamilyPolicy, single)]
      : []),
    ...ipFamilies.flatMap((family, i) =>
      cluster.some((each) => each === family)
        ? []
        : [invalid(`spec.ipFamilies[${i}]`, family, notConfigured)],
    ),
  ];
}
