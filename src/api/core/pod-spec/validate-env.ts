/** Environment variables and the references they take. */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, invalid, notSupported, required } from "../../meta/field-error.ts";
import {
  configKeyErrors,
  dnsSubdomainErrors,
  envNameErrors,
  qualifiedNameErrors,
} from "../../validation/names.ts";

const envFieldPaths = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
export const volumeFieldPaths: readonly string[] = [
  "metadata.annotations",
  "metadata.labels",
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
];
const resourceNames = [
  "limits.cpu",
  "limits.ephemeral-storage",
  "limits.memory",
  "requests.cpu",
  "requests.ephemeral-storage",
  "requests.memory",
];

export function validateFieldRef(
  ref: Readonly<corev1.ObjectFieldSelector>,
  at: string,
  paths: readonly string[] = envFieldPaths,
): FieldError[] {
  if (!ref.apiVersion) return [required(`${at}.apiVersion`)];
  if (!ref.fieldPath) return [required(`${at}.fieldPath`)];
  if (ref.apiVersion !== "v1") {
    return [
      invalid(
        `${at}.fieldPath`,
        ref.fieldPath,
        `error converting fieldPath: unsupported pod version: ${ref.apiVersion}`,
      ),
    ];
  }
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(ref.fieldPath);
  if (subscript) {
    const key = subscript[1] === "labels" ? subscript[2]! : subscript[2]!.toLowerCase();
    return qualifiedNameErrors(key).map((e) => invalid(at, subscript[2], e));
  }
  return paths.includes(ref.fieldPath) ? [] : [notSupported(`${at}.fieldPath`, ref.fieldPath, paths)];
}

export function validateResourceFieldRef(
  ref: Readonly<corev1.ResourceFieldSelector>,
  at: string,
  needsContainer: boolean,
): FieldError[] {
  if (needsContainer && !ref.containerName) return [required(`${at}.containerName`)];
  if (!ref.resource) return [required(`${at}.resource`)];
  if (resourceNames.includes(ref.resource) || /^(limits|requests)\.hugepages-/.test(ref.resource)) return [];
  return [notSupported(`${at}.resource`, ref.resource, resourceNames)];
}

function keyRefErrors(ref: Readonly<{ name?: string; key?: string }>, at: string): FieldError[] {
  return [
    ...(ref.name ? [] : [required(`${at}.name`)]),
    ...(ref.key
      ? configKeyErrors(ref.key).map((e) => invalid(`${at}.key`, ref.key, e))
      : [required(`${at}.key`)]),
  ];
}

function validateValueFrom(env: Readonly<corev1.EnvVar>, at: string): FieldError[] {
  const source = env.valueFrom!;
  const errors: FieldError[] = [];
  const count = Object.values(source).filter((v) => v !== undefined).length;
  if (source.fieldRef) errors.push(...validateFieldRef(source.fieldRef, `${at}.fieldRef`));
  if (source.resourceFieldRef) {
    errors.push(...validateResourceFieldRef(source.resourceFieldRef, `${at}.resourceFieldRef`, false));
  }
  if (source.configMapKeyRef) errors.push(...keyRefErrors(source.configMapKeyRef, `${at}.configMapKeyRef`));
  if (source.secretKeyRef) errors.push(...keyRefErrors(source.secretKeyRef, `${at}.secretKeyRef`));
  if (count === 0) {
    const detail =
      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
    errors.push(invalid(at, "", detail));
  } else if (env.value) errors.push(invalid(at, "", "may not be specified when `value` is not empty"));
  if (count > 1) errors.push(invalid(at, "", "may not have more than one field specified at a time"));
  return errors;
}

export function validateEnv(vars: readonly corev1.EnvVar[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, env] of vars.entries()) {
    const at = `${path}[${i}]`;
    if (!env.name) errors.push(required(`${at}.name`));
    else for (const e of envNameErrors(env.name)) errors.push(invalid(`${at}.name`, env.name, e));
    if (env.valueFrom) errors.push(...validateValueFrom(env, `${at}.valueFrom`));
  }
  return errors;
}

export function validateEnvFrom(sources: readonly corev1.EnvFromSource[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const [i, source] of sources.entries()) {
    const at = `${path}[${i}]`;
    if (source.prefix)
      for (const e of envNameErrors(source.prefix)) errors.push(invalid(`${at}.prefix`, source.prefix, e));
    for (const kind of ["configMapRef", "secretRef"] as const) {
      const ref = source[kind];
      if (!ref) continue;
      if (!ref.name) errors.push(required(`${at}.${kind}.name`));
      else
        for (const e of dnsSubdomainErrors(ref.name)) errors.push(invalid(`${at}.${kind}.name`, ref.name, e));
    }
    if (!source.configMapRef && !source.secretRef) {
      errors.push(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"));
    } else if (source.configMapRef && source.secretRef) {
      errors.push(invalid(path, "", "may not have more than one field specified at a time"));
    }
  }
  return errors;
}
