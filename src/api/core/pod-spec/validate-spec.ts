/** Validation of a pod's spec. https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go */
import type { corev1 } from "../../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  fieldNotFound,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../../meta/field-error.ts";
import { ipErrors } from "../../validation/addresses.ts";
import { invalidEach, requiredWith } from "../../validation/checks.ts";
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  qualifiedNameErrors,
  validateLabels,
} from "../../validation/names.ts";
import { inRange } from "../../validation/numbers.ts";
import {
  type PodFacts,
  validateContainer,
  validateEphemeralContainer,
  validateHostPorts,
  validateInitContainer,
} from "./validate-container.ts";
import { validatePodResources, validateResources } from "./validate-resources.ts";
import { validateAffinity, validateSpread, validateTolerations } from "./validate-scheduling.ts";
import { validatePodSecurity } from "./validate-security.ts";
import { type VolumeOwner, validateVolumes } from "./validate-volumes.ts";
import { validateHostProcess, validateOs } from "./validate-windows.ts";

type Spec = Readonly<corev1.PodSpec>;

const restartPolicies = ["Always", "OnFailure", "Never"];
const dnsPolicies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const preemptionPolicies = ["PreemptLowerPriority", "Never"];
const int32Max = 2147483647;
const nameserversMax = 3;
const searchesMax = 32;
const searchCharactersMax = 2048;
const hostnameMaxLength = 64;

/** A template's spec, where nothing is said of its owner. */
export function validatePodSpec(
  spec: Spec,
  path: string,
  owner: VolumeOwner = { isPod: false },
): FieldError[] {
  const grace = spec.terminationGracePeriodSeconds;
  return [
    ...(grace === undefined ? [required(`${path}.terminationGracePeriodSeconds`)] : []),
    ...validateVolumes(spec.volumes ?? [], `${path}.volumes`, owner),
    ...validateResourceClaims(spec.resourceClaims ?? [], `${path}.resourceClaims`),
    ...validateContainers(spec, path, owner.isPod),
    ...validatePodResources(spec, path),
    ...validateHostNetwork(spec, path, owner.isPod),
    ...validatePolicies(spec, path),
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...validatePodSecurity(spec, path),
    ...validateAffinity(spec.affinity, `${path}.affinity`),
    ...validateDns(spec, `${path}.dnsConfig`),
    ...validateGates(spec, path),
    ...validateSpread(spec.topologySpreadConstraints ?? [], `${path}.topologySpreadConstraints`),
    ...validateHostProcess(spec, path),
    ...validateNames(spec, path),
    ...validateTolerations(spec.tolerations ?? [], `${path}.tolerations`),
    ...validateHostAliases(spec.hostAliases ?? [], `${path}.hostAliases`),
    ...(spec.overhead ? validateResources({ limits: spec.overhead }, `${path}.overhead`) : []),
    ...validateOs(spec, path),
  ];
}

function factsOf(spec: Spec, isPod: boolean): PodFacts {
  return {
    volumes: new Map((spec.volumes ?? []).map((volume) => [volume.name, volume])),
    claims: new Set((spec.resourceClaims ?? []).map((claim) => claim.name).filter(Boolean)),
    restartPolicy: spec.restartPolicy,
    hostUsers: spec.hostUsers !== false,
    graceSeconds: spec.terminationGracePeriodSeconds ?? 0,
    isPod,
  };
}

function validateContainers(spec: Spec, path: string, isPod: boolean): FieldError[] {
  const errors: FieldError[] = [];
  const facts = factsOf(spec, isPod);
  const { containers = [], initContainers = [], ephemeralContainers = [] } = spec;
  const names = new Set<string>();
  const checkName = (name: string | undefined, at: string) => {
    if (name && names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name ?? "");
  };
  if (containers.length === 0) errors.push(required(`${path}.containers`));
  for (const [i, container] of containers.entries()) {
    const at = `${path}.containers[${i}]`;
    errors.push(...validateContainer(container, at, facts));
    checkName(container.name, at);
  }
  errors.push(...validateHostPorts(containers, `${path}.containers`));
  for (const [i, container] of initContainers.entries()) {
    const at = `${path}.initContainers[${i}]`;
    errors.push(...validateInitContainer(container, at, facts));
    errors.push(...validateHostPorts([container], `${path}.initContainers`));
    checkName(container.name, at);
  }
  const targets = new Set([...containers, ...initContainers].map((container) => container.name));
  for (const [i, container] of ephemeralContainers.entries()) {
    const at = `${path}.ephemeralContainers[${i}]`;
    errors.push(...validateEphemeralContainer(container, at, facts));
    checkName(container.name, at);
    const target = container.targetContainerName;
    if (target && !targets.has(target)) errors.push(fieldNotFound(`${at}.targetContainerName`, target));
  }
  return errors;
}

function validateResourceClaims(claims: readonly corev1.PodResourceClaim[], path: string): FieldError[] {
  const names = new Set<string>();
  return claims.flatMap((claim, i) => {
    const at = `${path}[${i}]`;
    const { name = "", resourceClaimName, resourceClaimTemplateName } = claim;
    const errors: FieldError[] = [];
    if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    else errors.push(...requiredWith(name, `${at}.name`, dnsLabelErrors));
    if (name) names.add(name);
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) {
      const detail = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
      errors.push(invalid(at, claim, detail));
    }
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) {
      const detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
      errors.push(invalid(at, claim, detail));
    }
    for (const field of ["resourceClaimName", "resourceClaimTemplateName"] as const) {
      const value = claim[field];
      if (value !== undefined)
        errors.push(...invalidEach(`${at}.${field}`, value, dnsSubdomainErrors(value)));
    }
    return errors;
  });
}

/** In the host's network there is no other port than the host's. */
function validateHostNetwork(spec: Spec, path: string, isPod: boolean): FieldError[] {
  if (!spec.hostNetwork) return [];
  const detail = "must match `containerPort` when `hostNetwork` is true";
  return (spec.containers ?? []).flatMap((container, i) =>
    (container.ports ?? []).flatMap(({ hostPort = 0, containerPort }, j) =>
      hostPort === containerPort || (!isPod && hostPort === 0)
        ? []
        : [invalid(`${path}.containers[${i}].ports[${j}].hostPort`, hostPort, detail)],
    ),
  );
}

function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  if (!value) return [required(field)];
  return supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

function validatePolicies(spec: Spec, path: string): FieldError[] {
  const { preemptionPolicy } = spec;
  return [
    ...oneOf(spec.restartPolicy, `${path}.restartPolicy`, restartPolicies),
    ...oneOf(spec.dnsPolicy, `${path}.dnsPolicy`, dnsPolicies),
    ...(preemptionPolicy === undefined
      ? []
      : oneOf(preemptionPolicy, `${path}.preemptionPolicy`, preemptionPolicies)),
    ...inRange(spec.activeDeadlineSeconds, `${path}.activeDeadlineSeconds`, 1, int32Max),
  ];
}

function validateNames(spec: Spec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const named = (name: keyof Spec & string, value: string | undefined, errorsOf: (v: string) => string[]) => {
    if (value) errors.push(...invalidEach(`${path}.${name}`, value, errorsOf(value)));
  };
  named("serviceAccountName", spec.serviceAccountName, dnsSubdomainErrors);
  named("nodeName", spec.nodeName, dnsSubdomainErrors);
  named("hostname", spec.hostname, dnsLabelErrors);
  named("subdomain", spec.subdomain, dnsLabelErrors);
  named("priorityClassName", spec.priorityClassName, dnsSubdomainErrors);
  const runtime = spec.runtimeClassName;
  if (runtime !== undefined)
    errors.push(...invalidEach(`${path}.runtimeClassName`, runtime, dnsSubdomainErrors(runtime)));
  return [...errors, ...validateHostnameOverride(spec, `${path}.hostnameOverride`)];
}

/** https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/ */
function validateHostnameOverride(spec: Spec, field: string): FieldError[] {
  const { hostnameOverride: name } = spec;
  if (!name) return [];
  const errors = invalidEach(field, name, dnsSubdomainErrors(name));
  if (name.length > hostnameMaxLength)
    errors.push(invalid(field, name, `must be no more than ${hostnameMaxLength} characters`));
  if (spec.setHostnameAsFQDN)
    errors.push(forbiddenField(field, "may not be specified when `setHostnameAsFQDN` is true"));
  if (spec.hostNetwork) errors.push(forbiddenField(field, "may not be specified when `hostNetwork` is true"));
  return errors;
}

function validateGates(spec: Spec, path: string): FieldError[] {
  const errors = (spec.readinessGates ?? []).flatMap(({ conditionType = "" }, i) =>
    invalidEach(
      `${path}.readinessGates[${i}].conditionType`,
      conditionType,
      qualifiedNameErrors(conditionType),
    ),
  );
  const seen = new Set<string>();
  for (const [i, { name = "" }] of (spec.schedulingGates ?? []).entries()) {
    const at = `${path}.schedulingGates[${i}]`;
    errors.push(...invalidEach(at, name, qualifiedNameErrors(name)));
    if (seen.has(name)) errors.push(duplicate(at, name));
    seen.add(name);
  }
  return errors;
}

function validateDns(spec: Spec, at: string): FieldError[] {
  const { nameservers = [], searches = [], options = [] } = spec.dnsConfig ?? {};
  if (spec.dnsPolicy === "None" && !spec.dnsConfig)
    return [required(at, "must provide `dnsConfig` when `dnsPolicy` is None")];
  if (spec.dnsPolicy === "None" && nameservers.length === 0) {
    const detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
    return [required(`${at}.nameservers`, detail)];
  }
  const errors: FieldError[] = [];
  if (nameservers.length > nameserversMax) {
    const detail = `must not have more than ${nameserversMax} nameservers`;
    errors.push(invalid(`${at}.nameservers`, nameservers, detail));
  }
  for (const [i, address] of nameservers.entries())
    errors.push(...invalidEach(`${at}.nameservers[${i}]`, address, ipErrors(address)));
  const tooMany = (detail: string) => errors.push(invalid(`${at}.searches`, searches, detail));
  if (searches.length > searchesMax) tooMany(`must not have more than ${searchesMax} search paths`);
  if (searches.join(" ").length > searchCharactersMax)
    tooMany(
      `must not have more than ${searchCharactersMax} characters (including spaces) in the search list`,
    );
  for (const [i, search] of searches.entries()) {
    if (search === ".") continue;
    // A trailing dot and underscores are fine here.
    const plain = search.replace(/\.$/, "").replaceAll("_", "a");
    errors.push(...invalidEach(`${at}.searches[${i}]`, search, dnsSubdomainErrors(plain)));
  }
  for (const [i, option] of options.entries())
    if (!option.name) errors.push(required(`${at}.options[${i}]`, "must not be empty"));
  return errors;
}

function validateHostAliases(aliases: readonly corev1.HostAlias[], path: string): FieldError[] {
  return aliases.flatMap(({ ip = "", hostnames = [] }, i) => [
    ...invalidEach(`${path}[${i}].ip`, ip, ipErrors(ip)),
    ...hostnames.flatMap((name, j) =>
      invalidEach(`${path}[${i}].hostnames[${j}]`, name, dnsSubdomainErrors(name)),
    ),
  ]);
}
