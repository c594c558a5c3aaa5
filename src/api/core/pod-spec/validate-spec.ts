/** Validation of a pod's spec. https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go */
import { isIP } from "node:net";
import type { corev1 } from "../../generated/types/index.ts";
import { duplicate, type FieldError, invalid, notSupported, required } from "../../meta/field-error.ts";
import { dnsLabelErrors, dnsSubdomainErrors, validateLabels } from "../../validation/names.ts";
import {
  type PodFacts,
  validateContainer,
  validateEphemeralContainer,
  validateHostPorts,
  validateInitContainer,
  validateLifecycle,
  validatePodSecurity,
  validateReadinessGates,
} from "./validate-container.ts";
import { validateResources } from "./validate-resources.ts";
import { validateAffinity, validateSpread, validateTolerations } from "./validate-scheduling.ts";
import { validateVolumes } from "./validate-volumes.ts";

type Spec = Readonly<corev1.PodSpec>;

const restartPolicies = ["Always", "Never", "OnFailure"];
const dnsPolicies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const preemptionPolicies = ["Never", "PreemptLowerPriority"];
const deadlineMax = 2147483647;
const nameserversMax = 3;
const searchesMax = 32;

export function validatePodSpec(spec: Spec, path: string): FieldError[] {
  return [
    ...validateVolumes(spec.volumes ?? [], `${path}.volumes`),
    ...validateContainers(spec, path),
    ...validateResources(spec.resources, `${path}.resources`),
    ...validatePolicies(spec, path),
    ...validateNames(spec, path),
    ...validateDns(spec, path),
    ...validatePodSecurity(spec.securityContext, `${path}.securityContext`),
    ...validateReadinessGates(spec.readinessGates ?? [], `${path}.readinessGates`),
    ...validateAffinity(spec.affinity, `${path}.affinity`),
    ...validateTolerations(spec.tolerations ?? [], `${path}.tolerations`),
    ...validateSpread(spec.topologySpreadConstraints ?? [], `${path}.topologySpreadConstraints`),
  ];
}

function validateContainers(spec: Spec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const facts: PodFacts = {
    volumes: new Set((spec.volumes ?? []).map((v) => v.name)),
    hostNetwork: spec.hostNetwork ?? false,
  };
  const containers = spec.containers ?? [];
  const names = new Set<string>();
  const checkName = (name: string | undefined, at: string) => {
    if (name && names.has(name)) errors.push(duplicate(`${at}.name`, name));
    names.add(name ?? "");
  };
  if (containers.length === 0) errors.push(required(`${path}.containers`));
  for (const [i, container] of containers.entries()) {
    const at = `${path}.containers[${i}]`;
    errors.push(...validateContainer(container, at, facts), ...validateLifecycle(container, at));
    checkName(container.name, at);
  }
  for (const [i, container] of (spec.initContainers ?? []).entries()) {
    const at = `${path}.initContainers[${i}]`;
    errors.push(...validateInitContainer(container, at, facts));
    checkName(container.name, at);
  }
  for (const [i, container] of (spec.ephemeralContainers ?? []).entries()) {
    const at = `${path}.ephemeralContainers[${i}]`;
    errors.push(...validateEphemeralContainer(container, at, facts));
    checkName(container.name, at);
    const target = container.targetContainerName;
    if (target && !containers.some((c) => c.name === target)) {
      errors.push({
        type: "FieldValueNotFound",
        field: `${at}.targetContainerName`,
        message: `Not found: ${JSON.stringify(target)}`,
      });
    }
  }
  return [...errors, ...validateHostPorts(containers, `${path}.containers`)];
}

function oneOf(value: string | undefined, field: string, supported: readonly string[]): FieldError[] {
  if (!value) return [required(field)];
  return supported.includes(value) ? [] : [notSupported(field, value, supported)];
}

function validatePolicies(spec: Spec, path: string): FieldError[] {
  const errors = [
    ...oneOf(spec.restartPolicy, `${path}.restartPolicy`, restartPolicies),
    ...oneOf(spec.dnsPolicy, `${path}.dnsPolicy`, dnsPolicies),
    ...(spec.preemptionPolicy
      ? oneOf(spec.preemptionPolicy, `${path}.preemptionPolicy`, preemptionPolicies)
      : []),
  ];
  const grace = spec.terminationGracePeriodSeconds;
  if (grace === undefined) errors.push(required(`${path}.terminationGracePeriodSeconds`));
  const deadline = spec.activeDeadlineSeconds;
  if (deadline !== undefined && (deadline < 1 || deadline > deadlineMax)) {
    errors.push(
      invalid(`${path}.activeDeadlineSeconds`, deadline, `must be between 1 and ${deadlineMax}, inclusive`),
    );
  }
  if (spec.os && spec.os.name !== "linux" && spec.os.name !== "windows") {
    errors.push(notSupported(`${path}.os`, spec.os.name, ["linux", "windows"]));
  }
  return errors;
}

function validateNames(spec: Spec, path: string): FieldError[] {
  const errors = validateLabels(spec.nodeSelector, `${path}.nodeSelector`);
  const subdomains = ["serviceAccountName", "nodeName", "priorityClassName", "runtimeClassName"] as const;
  for (const name of subdomains) {
    const value = spec[name];
    if (value) for (const e of dnsSubdomainErrors(value)) errors.push(invalid(`${path}.${name}`, value, e));
  }
  for (const name of ["hostname", "subdomain"] as const) {
    const value = spec[name];
    if (value) for (const e of dnsLabelErrors(value)) errors.push(invalid(`${path}.${name}`, value, e));
  }
  for (const [i, secret] of (spec.imagePullSecrets ?? []).entries()) {
    if (!secret.name) errors.push(required(`${path}.imagePullSecrets[${i}].name`));
  }
  const gates = new Set<string>();
  for (const [i, gate] of (spec.schedulingGates ?? []).entries()) {
    if (gates.has(gate.name)) errors.push(duplicate(`${path}.schedulingGates[${i}]`, gate.name));
    gates.add(gate.name);
  }
  return errors;
}

function validateDns(spec: Spec, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const config = spec.dnsConfig;
  const at = `${path}.dnsConfig`;
  if (spec.dnsPolicy === "None" && !config) {
    errors.push(required(at, "must provide `dnsConfig` when `dnsPolicy` is None"));
  } else if (spec.dnsPolicy === "None" && !config?.nameservers?.length) {
    errors.push(
      required(`${at}.nameservers`, "must provide at least one DNS nameserver when `dnsPolicy` is None"),
    );
  }
  const nameservers = config?.nameservers ?? [];
  if (nameservers.length > nameserversMax) {
    errors.push(
      invalid(`${at}.nameservers`, nameservers, `must not have more than ${nameserversMax} nameservers`),
    );
  }
  for (const [i, address] of nameservers.entries()) {
    if (isIP(address) === 0)
      errors.push(
        invalid(
          `${at}.nameservers[${i}]`,
          address,
          "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
      );
  }
  const searches = config?.searches ?? [];
  if (searches.length > searchesMax) {
    errors.push(invalid(`${at}.searches`, searches, `must not have more than ${searchesMax} search paths`));
  }
  for (const [i, alias] of (spec.hostAliases ?? []).entries()) {
    if (isIP(alias.ip) === 0) {
      errors.push(
        invalid(
          `${path}.hostAliases[${i}].ip`,
          alias.ip,
          "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
      );
    }
    for (const name of alias.hostnames ?? []) {
      for (const e of dnsSubdomainErrors(name))
        errors.push(invalid(`${path}.hostAliases[${i}].hostnames`, name, e));
    }
  }
  return errors;
}
