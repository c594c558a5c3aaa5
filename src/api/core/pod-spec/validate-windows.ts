/** What belongs to one operating system only. https://kubernetes.io/docs/concepts/windows/ */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../../meta/field-error.ts";
import { invalidEach } from "../../validation/checks.ts";
import { dnsSubdomainErrors } from "../../validation/names.ts";

type Options = Readonly<corev1.WindowsSecurityContextOptions>;
type Spec = Readonly<corev1.PodSpec>;
interface Place {
  readonly security: Readonly<corev1.SecurityContext>;
  readonly at: string;
}

const specKiBMax = 64;
const domainLengthMax = 256;
const userLengthMax = 104;
const netBiosDomain = /^[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}$/;
const dnsDomain =
  /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/;

export function validateWindowsOptions(options: Options | undefined, at: string): FieldError[] {
  if (!options) return [];
  const { gmsaCredentialSpecName: name, gmsaCredentialSpec: spec, runAsUserName } = options;
  const errors: FieldError[] = [];
  if (name !== undefined)
    errors.push(...invalidEach(`${at}.gmsaCredentialSpecName`, name, dnsSubdomainErrors(name)));
  if (spec === "") {
    const detail = "gmsaCredentialSpec cannot be an empty string";
    errors.push(invalid(`${at}.gmsaCredentialSpec`, spec, detail));
  } else if (spec !== undefined && Buffer.byteLength(spec) > specKiBMax * 1024) {
    const detail = `gmsaCredentialSpec size must be under ${specKiBMax} KiB`;
    errors.push(invalid(`${at}.gmsaCredentialSpec`, spec, detail));
  }
  if (runAsUserName !== undefined)
    errors.push(...invalidEach(`${at}.runAsUserName`, runAsUserName, userNameErrors(runAsUserName)));
  return errors;
}

function hasControlCharacter(text: string): boolean {
  return [...text].some((c) => c < " " || c === "\x7f");
}

/** `DOMAIN\user`, or only the user. */
function userNameErrors(name: string): string[] {
  if (name === "") return ["runAsUserName cannot be an empty string"];
  if (hasControlCharacter(name)) return ["runAsUserName cannot contain control characters"];
  const parts = name.split("\\");
  if (parts.length > 2) return ["runAsUserName cannot contain more than one backslash"];
  const domain = parts.length === 2 ? parts[0]! : undefined;
  const user = parts.at(-1)!;
  const errors: string[] = [];
  if (domain !== undefined && domain.length >= domainLengthMax)
    errors.push(`runAsUserName's Domain length must be under ${domainLengthMax} characters`);
  if (domain !== undefined && !netBiosDomain.test(domain) && !isDnsDomain(domain))
    errors.push("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
  if (user === "") errors.push("runAsUserName's User cannot be empty");
  else if (user.length > userLengthMax)
    errors.push(`runAsUserName's User length must not be longer than ${userLengthMax} characters`);
  if (/^[. ]+$/.test(user)) errors.push("runAsUserName's User cannot contain only periods or spaces");
  if (/["/\\:;|=,+*?<>@[\]]/.test(user))
    errors.push(`runAsUserName's User cannot contain the following characters: "/\\:;|=,+*?<>@[]`);
  return errors;
}

function isDnsDomain(domain: string): boolean {
  return domain.length <= 4 * domainLengthMax && dnsDomain.test(domain);
}

function placesOf(spec: Spec, path: string): Place[] {
  return (["initContainers", "containers", "ephemeralContainers"] as const).flatMap((list) =>
    (spec[list] ?? []).map((container, i) => ({
      security: container.securityContext ?? {},
      at: `${path}.${list}[${i}].securityContext`,
    })),
  );
}

const linuxOnlyInContainers = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "capabilities",
  "readOnlyRootFilesystem",
  "privileged",
  "allowPrivilegeEscalation",
  "procMount",
  "runAsUser",
  "runAsGroup",
] as const;
const linuxOnlyInPods = [
  "appArmorProfile",
  "seLinuxOptions",
  "seccompProfile",
  "fsGroup",
  "fsGroupChangePolicy",
  "sysctls",
  "runAsUser",
  "runAsGroup",
  "supplementalGroups",
  "supplementalGroupsPolicy",
  "seLinuxChangePolicy",
] as const;

export function validateOs(spec: Spec, path: string): FieldError[] {
  if (!spec.os) return [];
  const { name = "" } = spec.os;
  switch (name) {
    case "":
      return [required(`${path}.os.name`, "cannot be empty")];
    case "linux":
      return validateLinux(spec, path);
    case "windows":
      return validateWindows(spec, path);
    default:
      return [notSupported(`${path}.os`, name, ["linux", "windows"])];
  }
}

function validateLinux(spec: Spec, path: string): FieldError[] {
  const pod: Place = {
    security: (spec.securityContext ?? {}) as Place["security"],
    at: `${path}.securityContext`,
  };
  return [pod, ...placesOf(spec, path)]
    .filter(({ security }) => security.windowsOptions !== undefined)
    .map(({ at }) => forbiddenField(`${at}.windowsOptions`, "windows options cannot be set for a linux pod"));
}

function validateWindows(spec: Spec, path: string): FieldError[] {
  const detail = "cannot be set for a windows pod";
  const fields: string[] = [];
  if (spec.hostUsers !== undefined) fields.push(`${path}.hostUsers`);
  if (spec.hostPID) fields.push(`${path}.hostPID`);
  if (spec.hostIPC) fields.push(`${path}.hostIPC`);
  if (spec.shareProcessNamespace !== undefined) fields.push(`${path}.shareProcessNamespace`);
  for (const name of linuxOnlyInPods)
    if (spec.securityContext?.[name] !== undefined) fields.push(`${path}.securityContext.${name}`);
  for (const { security, at } of placesOf(spec, path))
    for (const name of linuxOnlyInContainers) if (security[name] !== undefined) fields.push(`${at}.${name}`);
  return fields.map((field) => forbiddenField(field, detail));
}

/** Containers that are processes of the host: all of a pod's, or none. */
export function validateHostProcess(spec: Spec, path: string): FieldError[] {
  const ofPod = spec.securityContext?.windowsOptions?.hostProcess;
  const places = placesOf(spec, path);
  const errors: FieldError[] = [];
  let count = 0;
  for (const { security, at } of places) {
    const own = security.windowsOptions?.hostProcess;
    if (ofPod !== undefined && own !== undefined && ofPod !== own) {
      const detail = `pod hostProcess value must be identical if both are specified, was ${ofPod}`;
      errors.push(invalid(`${at}.windowsOptions.hostProcess`, own, detail));
    }
    if (own ?? ofPod) count++;
  }
  if (count === 0) return errors;
  if (count !== places.length) {
    const detail =
      "If pod contains any hostProcess containers then all containers must be HostProcess containers";
    errors.push(invalid(path, "", detail));
  }
  if (!spec.hostNetwork) {
    const detail = "hostNetwork must be true if pod contains any hostProcess containers";
    errors.push(invalid(`${path}.hostNetwork`, false, detail));
  }
  return errors;
}
