/** StorageVersion: in which version each API server stores a resource. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/storage-version-v1alpha1/ */
import type { apiserverinternalv1alpha1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import {
  dns1035LabelErrors,
  dnsSubdomainErrors,
  patternError,
  qualifiedNameErrors,
} from "../validation/names.ts";

type StorageVersion = Readonly<apiserverinternalv1alpha1.StorageVersion>;
type Status = Readonly<apiserverinternalv1alpha1.StorageVersionStatus>;
type ServerVersion = Readonly<apiserverinternalv1alpha1.ServerStorageVersion>;

const shownMax = 3;

/** `apps.deployments`: group and resource. */
function nameErrors(name: string): string[] {
  const dot = name.lastIndexOf(".");
  if (dot < 0) return ["name must be in the form of <group>.<resource>"];
  return [
    ...dnsSubdomainErrors(name.slice(0, dot)).map((e) => `the group segment ${e}`),
    ...dns1035LabelErrors(name.slice(dot + 1)).map((e) => `the resource segment ${e}`),
  ];
}

function versionErrors(text: string): string[] {
  const parts = text.split("/");
  if (parts.length > 2) {
    const rule =
      "a DNS-1035 label, which must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
    const error = patternError(rule, "[a-z]([-a-z0-9]*[a-z0-9])?", "my-name", "abc-123");
    return [
      `an apiVersion is ${error} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')`,
    ];
  }
  const group = parts.length === 2 ? segmentErrors(parts[0]!, "group part: ", dnsSubdomainErrors) : [];
  return [...group, ...segmentErrors(parts.at(-1)!, "version part: ", dns1035LabelErrors)];
}

function segmentErrors(text: string, prefix: string, errorsOf: (text: string) => string[]): string[] {
  return (text === "" ? ["must be non-empty"] : errorsOf(text)).map((e) => prefix + e);
}

function validateServer(server: ServerVersion, at: string): FieldError[] {
  const { apiServerID = "", encodingVersion = "", decodableVersions = [] } = server;
  const errors = dnsSubdomainErrors(apiServerID).map((e) => invalid(`${at}.apiServerID`, apiServerID, e));
  const check = (text: string, field: string) => {
    const faults = versionErrors(text);
    if (faults.length > 0) errors.push(invalid(field, text, faults.join(",")));
  };
  check(encodingVersion, `${at}.encodingVersion`);
  for (const [i, version] of decodableVersions.entries()) check(version, `${at}.decodableVersions[${i}]`);
  if (!decodableVersions.includes(encodingVersion)) {
    const detail = `decodableVersions must include encodingVersion ${encodingVersion}`;
    errors.push(invalid(`${at}.decodableVersions`, decodableVersions, detail));
  }
  return errors;
}

function validateCommon({ storageVersions = [], commonEncodingVersion: said }: Status): FieldError[] {
  const field = "status.commonEncodingVersion";
  const [first] = storageVersions;
  const isCommon = storageVersions.every((s) => s.encodingVersion === first?.encodingVersion);
  const actual = first && isCommon ? first.encodingVersion : undefined;
  if (actual === said) return [];
  if (actual === undefined) {
    const detail =
      "should be nil if servers do not agree on the same encoding version, or if there is no server reporting the supported versions yet";
    return [invalid(field, said, detail)];
  }
  if (said === undefined) return [invalid(field, null, `the common encoding version is ${actual}`)];
  return [invalid(field, said, `the actual common encoding version is ${actual}`)];
}

/** Upstream's paths leave out the name of the list. */
function validateConditions({ conditions = [] }: Status): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Map<string, number>();
  for (const [i, condition] of conditions.entries()) {
    const at = `status[${i}]`;
    const { type = "", status = "", reason, message } = condition;
    const first = seen.get(type);
    if (first !== undefined) {
      const detail = `the type of the condition is not unique, it also appears in conditions[${first}]`;
      errors.push(invalid(`${at}.type`, type, detail));
    }
    seen.set(type, i);
    for (const e of qualifiedNameErrors(type)) errors.push(invalid(`${at}.type`, type, e));
    for (const e of qualifiedNameErrors(status)) errors.push(invalid(`${at}.status`, type, e));
    if (!reason) errors.push(required(`${at}.reason`, "reason cannot be empty"));
    if (!message) errors.push(required(`${at}.message`, "message cannot be empty"));
  }
  return errors;
}

function validateStatus({ status = {} }: StorageVersion): FieldError[] {
  const servers = (status.storageVersions ?? []).flatMap((server, i) =>
    validateServer(server, `status.storageVersions[${i}]`),
  );
  return [...servers, ...validateCommon(status), ...validateConditions(status)];
}

function serversText({ status }: StorageVersion): string {
  const texts = (status?.storageVersions ?? []).map((s) => `${s.apiServerID}=${s.encodingVersion}`);
  if (texts.length === 0) return "<unset>";
  const shown = texts.slice(0, shownMax).join(",");
  return texts.length > shownMax ? `${shown} + ${texts.length - shownMax} more...` : shown;
}

export const storageVersions = defineResource<apiserverinternalv1alpha1.StorageVersion>({
  group: "internal.apiserver.k8s.io",
  version: "v1alpha1",
  resource: "storageversions",
  kind: "StorageVersion",
  typeName: "io.k8s.api.apiserverinternal.v1alpha1.StorageVersion",
  namespaced: false,
  subresources: { status: { kind: "StorageVersion", verbs: ["get", "patch", "update"] } },
  validateName: nameErrors,
  defaults(storageVersion) {
    storageVersion.spec ??= {};
    storageVersion.status ??= {};
  },
  validate: validateStatus,
  validateUpdate: () => [],
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column(
      "CommonEncodingVersion",
      "string",
      "The version in which all API servers store.",
      (s) => s.status?.commonEncodingVersion ?? "<unset>",
    ),
    column("StorageVersions", "string", "The version in which each API server stores.", serversText),
    ageColumn(),
  ],
});
