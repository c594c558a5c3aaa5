/** Volumes and their mounts. https://kubernetes.io/docs/concepts/storage/volumes/ */
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
import { compareQuantities } from "../../meta/quantity.ts";
import { dnsLabelErrors } from "../../validation/names.ts";
import { validateFieldRef, validateResourceFieldRef, volumeFieldPaths } from "./validate-env.ts";

const hostPathTypes = [
  "",
  "BlockDevice",
  "CharDevice",
  "Directory",
  "DirectoryOrCreate",
  "File",
  "FileOrCreate",
  "Socket",
];
const propagations = ["Bidirectional", "HostToContainer", "None"];
const tokenSecondsMin = 600;
const modeDetail = "must be a number between 0 and 0777 (octal), both inclusive";

export function validateVolumes(volumes: readonly corev1.Volume[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const names = new Set<string>();
  for (const [i, volume] of volumes.entries()) {
    const at = `${path}[${i}]`;
    errors.push(...validateSource(volume, at));
    if (!volume.name) errors.push(required(`${at}.name`));
    else {
      for (const e of dnsLabelErrors(volume.name)) errors.push(invalid(`${at}.name`, volume.name, e));
      if (names.has(volume.name)) errors.push(duplicate(`${at}.name`, volume.name));
    }
    names.add(volume.name);
  }
  return errors;
}

type Check<K extends keyof corev1.Volume> = (
  source: NonNullable<corev1.Volume[K]>,
  at: string,
) => FieldError[];

const checks: { [K in keyof corev1.Volume]?: Check<K> } = {
  emptyDir: (source, at) =>
    source.sizeLimit !== undefined && compareQuantities(source.sizeLimit, 0) < 0
      ? [forbiddenField(`${at}.sizeLimit`, "SizeLimit field must be a valid resource quantity")]
      : [],
  hostPath(source, at) {
    const errors: FieldError[] = [];
    if (!source.path) errors.push(required(`${at}.path`));
    else if (source.path.split("/").includes(".."))
      errors.push(invalid(`${at}.path`, source.path, "must not contain '..'"));
    if (source.type !== undefined && !hostPathTypes.includes(source.type)) {
      errors.push(notSupported(`${at}.type`, source.type, hostPathTypes));
    }
    return errors;
  },
  secret: (source, at) => [
    ...(source.secretName ? [] : [required(`${at}.secretName`)]),
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...itemErrors(source.items, at),
  ],
  configMap: (source, at) => [
    ...(source.name ? [] : [required(`${at}.name`)]),
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...itemErrors(source.items, at),
  ],
  downwardAPI: (source, at) => [
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...downwardErrors(source.items, at),
  ],
  projected: (source, at) => [
    ...modeErrors(source.defaultMode, `${at}.defaultMode`),
    ...(source.sources ?? []).flatMap((s, i) => projectionErrors(s, `${at}.sources[${i}]`)),
  ],
  persistentVolumeClaim: (source, at) => (source.claimName ? [] : [required(`${at}.claimName`)]),
  nfs: (source, at) => [
    ...(source.server ? [] : [required(`${at}.server`)]),
    ...(source.path ? [] : [required(`${at}.path`)]),
    ...(source.path && !source.path.startsWith("/")
      ? [invalid(`${at}.path`, source.path, "must be an absolute path")]
      : []),
  ],
  csi: (source, at) => (source.driver ? [] : [required(`${at}.driver`)]),
  image: (source, at) => (source.reference ? [] : [required(`${at}.reference`)]),
  ephemeral: (source, at) => (source.volumeClaimTemplate ? [] : [required(`${at}.volumeClaimTemplate`)]),
};

function validateSource(volume: Readonly<corev1.Volume>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const kinds = (Object.keys(volume) as (keyof corev1.Volume)[]).filter(
    (key) => key !== "name" && volume[key] !== undefined,
  );
  if (kinds.length === 0) return [required(at, "must specify a volume type")];
  for (const [i, kind] of kinds.entries()) {
    if (i > 0) errors.push(forbiddenField(`${at}.${kind}`, "may not specify more than 1 volume type"));
    else {
      const check = checks[kind] as ((source: unknown, at: string) => FieldError[]) | undefined;
      errors.push(...(check?.(volume[kind], `${at}.${kind}`) ?? []));
    }
  }
  return errors;
}

function modeErrors(mode: number | undefined, field: string): FieldError[] {
  return mode !== undefined && (mode < 0 || mode > 0o777) ? [invalid(field, mode, modeDetail)] : [];
}

/** A path inside a volume that cannot leave it. */
function localPathErrors(path: string, field: string, reserved: boolean): FieldError[] {
  if (path.startsWith("/")) return [invalid(field, path, "must be a relative path")];
  if (path.split("/").includes("..")) return [invalid(field, path, "must not contain '..'")];
  return reserved && path.startsWith("..") ? [invalid(field, path, "must not start with '..'")] : [];
}

function itemErrors(items: readonly corev1.KeyToPath[] | undefined, path: string): FieldError[] {
  return (items ?? []).flatMap((item, i) => {
    const at = `${path}.items[${i}]`;
    return [
      ...(item.key ? [] : [required(`${at}.key`)]),
      ...(item.path ? localPathErrors(item.path, `${at}.path`, true) : [required(`${at}.path`)]),
      ...modeErrors(item.mode, `${at}.mode`),
    ];
  });
}

function downwardErrors(
  items: readonly corev1.DownwardAPIVolumeFile[] | undefined,
  path: string,
): FieldError[] {
  return (items ?? []).flatMap((item, i) => {
    const at = path;
    const errors = item.path ? localPathErrors(item.path, `${at}.path`, true) : [required(`${at}.path`)];
    if (item.fieldRef) {
      errors.push(...validateFieldRef(item.fieldRef, `${at}.fieldRef`, volumeFieldPaths));
      if (item.resourceFieldRef) {
        errors.push(
          invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"),
        );
      }
    } else if (item.resourceFieldRef) {
      errors.push(...validateResourceFieldRef(item.resourceFieldRef, `${at}.resourceFieldRef`, true));
    } else errors.push(required(at, "one of fieldRef and resourceFieldRef is required"));
    return [...errors, ...modeErrors(item.mode, `${at}.items[${i}].mode`)];
  });
}

function projectionErrors(source: Readonly<corev1.VolumeProjection>, at: string): FieldError[] {
  const errors: FieldError[] = [];
  const kinds = Object.keys(source);
  if (kinds.length === 0) errors.push(forbiddenField(at, "must specify one of the projected source types"));
  for (const kind of kinds.slice(1))
    errors.push(forbiddenField(`${at}.${kind}`, "may not specify more than 1 volume type"));
  if (source.secret) {
    if (!source.secret.name) errors.push(required(`${at}.secret.name`));
    errors.push(...itemErrors(source.secret.items, `${at}.secret`));
  }
  if (source.configMap) {
    if (!source.configMap.name) errors.push(required(`${at}.configMap.name`));
    errors.push(...itemErrors(source.configMap.items, `${at}.configMap`));
  }
  if (source.downwardAPI) errors.push(...downwardErrors(source.downwardAPI.items, `${at}.downwardAPI`));
  const token = source.serviceAccountToken;
  if (token) {
    const seconds = token.expirationSeconds ?? 3600;
    const field = `${at}.serviceAccountToken`;
    if (seconds < tokenSecondsMin) {
      errors.push(
        invalid(`${field}.expirationSeconds`, seconds, "may not specify a duration less than 10 minutes"),
      );
    }
    if (!token.path) errors.push(required(`${field}.path`));
    else errors.push(...localPathErrors(token.path, `${field}.path`, true));
  }
  return errors;
}

export function validateMounts(
  mounts: readonly corev1.VolumeMount[],
  volumes: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors: FieldError[] = [];
  const mountPaths = new Set<string>();
  for (const [i, mount] of mounts.entries()) {
    const at = `${path}[${i}]`;
    if (!mount.name) errors.push(required(`${at}.name`));
    else if (!volumes.has(mount.name)) errors.push(fieldNotFound(`${at}.name`, mount.name));
    if (!mount.mountPath) errors.push(required(`${at}.mountPath`));
    if (mountPaths.has(mount.mountPath))
      errors.push(invalid(`${at}.mountPath`, mount.mountPath, "must be unique"));
    mountPaths.add(mount.mountPath);
    if (mount.subPath) errors.push(...localPathErrors(mount.subPath, `${at}.subPath`, false));
    if (mount.subPathExpr) {
      if (mount.subPath)
        errors.push(
          invalid(`${at}.subPathExpr`, mount.subPathExpr, "subPathExpr and subPath are mutually exclusive"),
        );
      errors.push(...localPathErrors(mount.subPathExpr, `${at}.subPathExpr`, false));
    }
    if (mount.mountPropagation && !propagations.includes(mount.mountPropagation)) {
      errors.push(notSupported(`${at}.mountPropagation`, mount.mountPropagation, propagations));
    }
  }
  return errors;
}
