/** How containers use the volumes of their pod. https://kubernetes.io/docs/concepts/storage/volumes/ */
import type { corev1 } from "../../generated/types/index.ts";
import {
  type FieldError,
  fieldNotFound,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../../meta/field-error.ts";
import { backstepErrors } from "../volume-sources.ts";

const propagations = ["Bidirectional", "HostToContainer", "None"];
const recursiveModes = ["Disabled", "Enabled", "IfPossible"];

/** A pod's volumes by name. */
export type Volumes = ReadonlyMap<string, Readonly<corev1.Volume>>;
type Container = Readonly<Pick<corev1.Container, "volumeMounts" | "volumeDevices" | "securityContext">>;

/** A path below a volume's root that cannot leave it. */
export function descendingPathErrors(path: string, field: string): FieldError[] {
  return [
    ...(path.startsWith("/") ? [invalid(field, path, "must be a relative path")] : []),
    ...backstepErrors(path, field),
  ];
}

/** As `descendingPathErrors`; names that begin with two dots are the kubelet's own. */
export function reservedPathErrors(path: string, field: string): FieldError[] {
  const errors = descendingPathErrors(path, field);
  if (path.startsWith("..") && path !== ".." && !path.startsWith("../"))
    errors.push(invalid(field, path, "must not start with '..'"));
  return errors;
}

export function validateMounts(container: Container, volumes: Volumes, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const devices = container.volumeDevices ?? [];
  const paths = new Set<string>();
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    const at = `${path}[${i}]`;
    const { name = "", mountPath = "" } = mount;
    if (!name) errors.push(required(`${at}.name`));
    if (!volumes.has(name)) errors.push(fieldNotFound(`${at}.name`, name));
    if (!mountPath) errors.push(required(`${at}.mountPath`));
    if (paths.has(mountPath)) errors.push(invalid(`${at}.mountPath`, mountPath, "must be unique"));
    paths.add(mountPath);
    if (devices.some((device) => device.name === name))
      errors.push(invalid(`${at}.name`, name, "must not already exist in volumeDevices"));
    if (devices.some((device) => device.devicePath === mountPath)) {
      const detail = "must not already exist as a path in volumeDevices";
      errors.push(invalid(`${at}.mountPath`, mountPath, detail));
    }
    // Upstream names no index from here on, but for one field.
    errors.push(...validateSubPaths(mount, at, path));
    errors.push(...validatePropagation(mount, container, `${path}.mountPropagation`));
    errors.push(...validateRecursive(mount, `${path}.recursiveReadOnly`));
  }
  return errors;
}

function validateSubPaths(mount: Readonly<corev1.VolumeMount>, at: string, path: string): FieldError[] {
  const { subPath, subPathExpr } = mount;
  const errors = subPath ? descendingPathErrors(subPath, `${path}.subPath`) : [];
  if (!subPathExpr) return errors;
  if (subPath) {
    const detail = "subPathExpr and subPath are mutually exclusive";
    errors.push(invalid(`${at}.subPathExpr`, subPathExpr, detail));
  }
  return [...errors, ...descendingPathErrors(subPathExpr, `${path}.subPathExpr`)];
}

function validatePropagation(
  { mountPropagation }: Readonly<corev1.VolumeMount>,
  container: Container,
  field: string,
): FieldError[] {
  if (mountPropagation === undefined) return [];
  const errors: FieldError[] = [];
  if (!propagations.includes(mountPropagation))
    errors.push(notSupported(field, mountPropagation, propagations));
  if (mountPropagation === "Bidirectional" && !container.securityContext?.privileged) {
    const detail = "Bidirectional mount propagation is available only to privileged containers";
    errors.push(forbiddenField(field, detail));
  }
  return errors;
}

function validateRecursive(mount: Readonly<corev1.VolumeMount>, field: string): FieldError[] {
  const { recursiveReadOnly: mode, readOnly, mountPropagation = "None" } = mount;
  if (mode === undefined || mode === "Disabled") return [];
  if (!recursiveModes.includes(mode)) return [notSupported(field, mode, recursiveModes)];
  const errors: FieldError[] = [];
  if (!readOnly) errors.push(forbiddenField(field, "may only be specified when readOnly is true"));
  if (mountPropagation !== "None") {
    const detail = "may only be specified when mountPropagation is None or not specified";
    errors.push(forbiddenField(field, detail));
  }
  return errors;
}

export function validateDevices(container: Container, volumes: Volumes, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const mounts = container.volumeMounts ?? [];
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const [i, { name = "", devicePath = "" }] of (container.volumeDevices ?? []).entries()) {
    const at = `${path}[${i}]`;
    const volume = volumes.get(name);
    if (!name) errors.push(required(`${at}.name`));
    if (names.has(name)) errors.push(invalid(`${at}.name`, name, "must be unique"));
    if (!volume) errors.push(fieldNotFound(`${at}.name`, name));
    else if (!volume.persistentVolumeClaim && !volume.ephemeral) {
      const detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
      errors.push(invalid(`${at}.name`, name, detail));
    }
    if (!devicePath) errors.push(required(`${at}.devicePath`));
    if (paths.has(devicePath)) errors.push(invalid(`${at}.devicePath`, devicePath, "must be unique"));
    if (backstepErrors(devicePath, at).length > 0)
      errors.push(invalid(`${at}.devicePath`, devicePath, "can not contain backsteps ('..')"));
    if (mounts.some((mount) => mount.name === name))
      errors.push(invalid(`${at}.name`, name, "must not already exist in volumeMounts"));
    if (mounts.some((mount) => mount.mountPath === devicePath)) {
      const detail = "must not already exist as a path in volumeMounts";
      errors.push(invalid(`${at}.devicePath`, devicePath, detail));
    }
    names.add(name);
    paths.add(devicePath);
  }
  return errors;
}
