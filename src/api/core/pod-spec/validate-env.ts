/** Environment variables and the references they take. */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, fieldNotFound, invalid, notSupported, required } from "../../meta/field-error.ts";
import { compareQuantities } from "../../meta/quantity.ts";
import { invalidEach, requiredWith } from "../../validation/checks.ts";
import {
  configKeyErrors,
  dnsSubdomainErrors,
  envNameErrors,
  qualifiedNameErrors,
} from "../../validation/names.ts";
import { reservedPathErrors, type Volumes } from "./validate-mounts.ts";

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

/** What an amount may be divided by, for each kind of resource, and how upstream names it. */
const cpuDivisors = ["1m", "1"];
const byteDivisors = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
const divisors: readonly (readonly [RegExp, readonly string[], string, string])[] = [
  [/^(limits|requests)\.cpu$/, cpuDivisors, "1m and 1", "cpu"],
  [/^(limits|requests)\.memory$/, byteDivisors, byteDivisors.join(", "), "memory"],
  [
    /^(limits|requests)\.ephemeral-storage$/,
    byteDivisors,
    byteDivisors.join(", "),
    "local ephemeral storage",
  ],
  [/^(limits|requests)\.hugepages-/, byteDivisors, byteDivisors.join(", "), "hugepages"],
];

export function validateResourceFieldRef(
  ref: Readonly<corev1.ResourceFieldSelector>,
  at: string,
  needsContainer: boolean,
): FieldError[] {
  const { resource = "" } = ref;
  const errors: FieldError[] = [];
  if (needsContainer && !ref.containerName) errors.push(required(`${at}.containerName`));
  else if (!resource) errors.push(required(`${at}.resource`));
  else if (!resourceNames.includes(resource) && !/^(limits|requests)\.hugepages-/.test(resource))
    errors.push(notSupported(`${at}.resource`, resource, resourceNames));
  return [...errors, ...divisorErrors(resource, ref.divisor, `${at}.divisor`)];
}

function divisorErrors(resource: string, divisor: string | number | undefined, field: string): FieldError[] {
  if (divisor === undefined || compareQuantities(divisor, 0) === 0) return [];
  const rule = divisors.find(([pattern]) => pattern.test(resource));
  if (!rule || rule[1].includes(String(divisor))) return [];
  const detail = `only divisor's values ${rule[2]} are supported with the ${rule[3]} resource`;
  return [invalid(field, resource, detail)];
}

function keyRefErrors(ref: Readonly<{ name?: string; key?: string }>, at: string): FieldError[] {
  const { name = "", key } = ref;
  return [
    ...invalidEach(`${at}.name`, name, dnsSubdomainErrors(name)),
    ...requiredWith(key, `${at}.key`, configKeyErrors),
  ];
}

/** https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file/ */
function fileKeyErrors(ref: Readonly<corev1.FileKeySelector>, at: string, volumes: Volumes): FieldError[] {
  const { volumeName = "" } = ref;
  const errors = requiredWith(ref.key, `${at}.key`, envNameErrors);
  if (!ref.path) errors.push(required(`${at}.path`));
  else errors.push(...reservedPathErrors(ref.path, `${at}.path`));
  if (!volumeName) errors.push(required(`${at}.volumeName`));
  else if (!volumes.has(volumeName)) errors.push(fieldNotFound(`${at}.volumeName`, volumeName));
  else if (!volumes.get(volumeName)!.emptyDir)
    errors.push(invalid(`${at}.volumeName`, volumeName, "must be a volume of type emptyDir"));
  return errors;
}

function validateValueFrom(env: Readonly<corev1.EnvVar>, at: string, volumes: Volumes): FieldError[] {
  const source = env.valueFrom!;
  const errors: FieldError[] = [];
  const count = Object.values(source).filter((v) => v !== undefined).length;
  if (source.fieldRef) errors.push(...validateFieldRef(source.fieldRef, `${at}.fieldRef`));
  if (source.resourceFieldRef) {
    errors.push(...validateResourceFieldRef(source.resourceFieldRef, `${at}.resourceFieldRef`, false));
  }
  if (source.configMapKeyRef) errors.push(...keyRefErrors(source.configMapKeyRef, `${at}.configMapKeyRef`));
  if (source.secretKeyRef) errors.push(...keyRefErrors(source.secretKeyRef, `${at}.secretKeyRef`));
  if (source.fileKeyRef) errors.push(...fileKeyErrors(source.fileKeyRef, `${at}.fileKeyRef`, volumes));
  if (count === 0) {
    const detail =
      "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
    errors.push(invalid(at, "", detail));
  } else if (env.value) errors.push(invalid(at, "", "may not be specified when `value` is not empty"));
  else if (count > 1) errors.push(invalid(at, "", "may not have more than one field specified at a time"));
  return errors;
}

export function validateEnv(vars: readonly corev1.EnvVar[], path: string, volumes: Volumes): FieldError[] {
  return vars.flatMap((env, i) => {
    const at = `${path}[${i}]`;
    return [
      ...requiredWith(env.name, `${at}.name`, envNameErrors),
      ...(env.valueFrom ? validateValueFrom(env, `${at}.valueFrom`, volumes) : []),
    ];
  });
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
