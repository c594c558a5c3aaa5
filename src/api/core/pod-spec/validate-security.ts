/** Security of pods and containers. https://kubernetes.io/docs/tasks/configure-pod-container/security-context/ */
import type { corev1 } from "../../generated/types/index.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
  tooLong,
} from "../../meta/field-error.ts";
import { inRange } from "../../validation/numbers.ts";
import { descendingPathErrors } from "./validate-mounts.ts";
import { validateWindowsOptions } from "./validate-windows.ts";

const idMax = 2147483647;
const seccompTypes = ["Localhost", "RuntimeDefault", "Unconfined"];
const procMounts = ["Default", "Unmasked"];
const groupChanges = ["Always", "OnRootMismatch"];
const groupPolicies = ["Merge", "Strict"];
const seLinuxChanges = ["MountOption", "Recursive"];
const profilePathMax = 4095;
const sysctlPattern = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9]$/;
const sysctlRule =
  "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

export function validateSecurity(
  context: Readonly<corev1.SecurityContext> | undefined,
  at: string,
  hostUsers: boolean,
): FieldError[] {
  if (!context) return [];
  const { procMount } = context;
  const errors = [
    ...inRange(context.runAsUser, `${at}.runAsUser`, 0, idMax),
    ...inRange(context.runAsGroup, `${at}.runAsGroup`, 0, idMax),
  ];
  if (procMount !== undefined && !procMounts.includes(procMount))
    errors.push(notSupported(`${at}.procMount`, procMount, procMounts));
  if (hostUsers && procMount === "Unmasked")
    errors.push(invalid(`${at}.procMount`, procMount, "`hostUsers` must be false to use `Unmasked`"));
  return [
    ...errors,
    ...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`),
    ...validateEscalation(context, at),
    ...validateWindowsOptions(context.windowsOptions, `${at}.windowsOptions`),
    ...validateAppArmor(context.appArmorProfile, `${at}.appArmorProfile`),
  ];
}

/** Who may do everything need not escalate. */
function validateEscalation(context: Readonly<corev1.SecurityContext>, at: string): FieldError[] {
  if (context.allowPrivilegeEscalation !== false) return [];
  const refusal = "cannot set `allowPrivilegeEscalation` to false and";
  const errors: FieldError[] = [];
  if (context.privileged) errors.push(invalid(at, context, `${refusal} \`privileged\` to true`));
  for (const capability of context.capabilities?.add ?? []) {
    if (capability === "CAP_SYS_ADMIN")
      errors.push(invalid(at, context, `${refusal} \`capabilities.Add\` CAP_SYS_ADMIN`));
  }
  return errors;
}

function validateSeccomp(profile: Readonly<corev1.SeccompProfile> | undefined, at: string): FieldError[] {
  if (!profile) return [];
  const errors: FieldError[] = [];
  const { type = "", localhostProfile } = profile;
  if (type === "") errors.push(required(`${at}.type`, "type is required when seccompProfile is set"));
  else if (!seccompTypes.includes(type)) errors.push(notSupported(`${at}.type`, type, seccompTypes));
  const field = `${at}.localhostProfile`;
  if (type !== "Localhost") {
    if (localhostProfile !== undefined)
      errors.push(invalid(field, profile, "can only be set when seccomp type is Localhost"));
  } else if (localhostProfile === undefined) {
    errors.push(required(field, "must be set when seccomp type is Localhost"));
  } else errors.push(...descendingPathErrors(localhostProfile, field));
  return errors;
}

function validateAppArmor(profile: Readonly<corev1.AppArmorProfile> | undefined, at: string): FieldError[] {
  if (!profile) return [];
  const { type = "", localhostProfile: path } = profile;
  const field = `${at}.localhostProfile`;
  if (type === "") return [required(`${at}.type`, "type is required when appArmorProfile is set")];
  if (!seccompTypes.includes(type)) return [notSupported(`${at}.type`, type, seccompTypes)];
  if (type !== "Localhost") {
    return path === undefined
      ? []
      : [invalid(field, path, "can only be set when AppArmor type is Localhost")];
  }
  if (!path?.trim()) {
    const errors = [required(field, "must be set when AppArmor type is Localhost")];
    return path ? [invalid(field, path, "must not be padded with whitespace")] : errors;
  }
  return [
    ...(path.trim() === path ? [] : [invalid(field, path, "must not be padded with whitespace")]),
    ...(path.length > profilePathMax ? [tooLong(field, profilePathMax)] : []),
  ];
}

/** `spec` tells which namespaces of the host the pod shares. */
export function validatePodSecurity(spec: Readonly<corev1.PodSpec>, path: string): FieldError[] {
  const context = spec.securityContext ?? {};
  const at = `${path}.securityContext`;
  const errors = [
    ...inRange(context.fsGroup, `${at}.fsGroup`, 0, idMax),
    ...inRange(context.runAsUser, `${at}.runAsUser`, 0, idMax),
    ...inRange(context.runAsGroup, `${at}.runAsGroup`, 0, idMax),
    ...(context.supplementalGroups ?? []).flatMap((id, i) =>
      inRange(id, `${at}.supplementalGroups[${i}]`, 0, idMax),
    ),
  ];
  if (spec.shareProcessNamespace && spec.hostPID) {
    const detail = "ShareProcessNamespace and HostPID cannot both be enabled";
    errors.push(invalid(`${at}.shareProcessNamespace`, true, detail));
  }
  const known = (value: string | undefined, name: string, supported: readonly string[]) =>
    value === undefined || supported.includes(value) ? [] : [notSupported(`${at}.${name}`, value, supported)];
  return [
    ...errors,
    ...validateSysctls(spec, at),
    ...known(context.fsGroupChangePolicy, "fsGroupChangePolicy", groupChanges),
    ...validateSeccomp(context.seccompProfile, `${at}.seccompProfile`),
    ...validateWindowsOptions(context.windowsOptions, `${at}.windowsOptions`),
    ...validateAppArmor(context.appArmorProfile, `${at}.appArmorProfile`),
    ...known(context.supplementalGroupsPolicy, "supplementalGroupsPolicy", groupPolicies),
    ...known(context.seLinuxChangePolicy, "seLinuxChangePolicy", seLinuxChanges),
    ...validateHostUsers(spec, path),
  ];
}

const ipcSysctl = /^(kernel[./](shm|msg|sem)|fs[./]mqueue[./])/;

function validateSysctls(spec: Readonly<corev1.PodSpec>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, { name = "" }] of (spec.securityContext?.sysctls ?? []).entries()) {
    const field = `${at}.sysctls[${i}].name`;
    if (!name) errors.push(required(field));
    else if (name.length > 253 || !sysctlPattern.test(name)) errors.push(invalid(field, name, sysctlRule));
    else if (seen.has(name)) errors.push(duplicate(field, name));
    if (spec.hostNetwork && /^net[./]/.test(name))
      errors.push(invalid(field, name, "may not be specified when 'hostNetwork' is true"));
    if (spec.hostIPC && ipcSysctl.test(name))
      errors.push(invalid(field, name, "may not be specified when 'hostIPC' is true"));
    seen.add(name);
  }
  return errors;
}

/** Users of its own do not go with the host's namespaces. */
function validateHostUsers(spec: Readonly<corev1.PodSpec>, path: string): FieldError[] {
  if (spec.hostUsers !== false) return [];
  const detail = "when `hostUsers` is false";
  return (["hostNetwork", "hostPID", "hostIPC"] as const)
    .filter((name) => spec[name])
    .map((name) => forbiddenField(`${path}.${name}`, detail));
}
