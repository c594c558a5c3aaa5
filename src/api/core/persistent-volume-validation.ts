/** https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go (ValidatePersistentVolume) */
import type { corev1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { compareQuantities, quantityValue } from "../meta/quantity.ts";
import { invalidEach, positiveQuantity, requiredTexts, requiredWith } from "../validation/checks.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "../validation/names.ts";
import { immutable, sameJson } from "./pod-spec/template.ts";
import { validateNodeSelector } from "./pod-spec/validate-scheduling.ts";
import { validateAccessModes, validateClassName, validateVolumeMode } from "./volume-claims.ts";
import {
  backstepErrors,
  csiDriverNameErrors,
  flexErrors,
  iscsiErrors,
  type SourceChecks,
  sharedSourceChecks,
  storageOsErrors,
  validateSource,
} from "./volume-sources.ts";

type Volume = Readonly<corev1.PersistentVolume>;
type Spec = Readonly<corev1.PersistentVolumeSpec>;

const reclaimPolicies = ["Delete", "Recycle", "Retain"];
const { hostPath, gcePersistentDisk, awsElasticBlockStore, flocker, nfs, quobyte, fc, ...later } =
  sharedSourceChecks;
const { vsphereVolume, photonPersistentDisk, portworxVolume, azureDisk } = later;

type NamedSecret = Readonly<{ name?: string; namespace?: string }>;

function secretErrors(secret: NamedSecret | undefined, at: string): FieldError[] {
  return secret ? requiredTexts(secret, `${at}.secretRef`, ["name", "namespace"]) : [];
}

function namedSecretErrors(secret: NamedSecret | undefined, at: string): FieldError[] {
  if (!secret) return [];
  return [
    ...requiredWith(secret.name, `${at}.name`, dnsSubdomainErrors),
    ...requiredWith(secret.namespace, `${at}.namespace`, dnsLabelErrors),
  ];
}

const sourceChecks: SourceChecks<corev1.PersistentVolumeSource> = {
  hostPath,
  gcePersistentDisk,
  awsElasticBlockStore,
  glusterfs: (source, at) => [
    ...requiredTexts(source, at, ["endpoints", "path"]),
    ...glusterNamespaceErrors(source.endpointsNamespace, `${at}.endpointsNamespace`),
  ],
  flocker,
  nfs,
  rbd: (source, at) => [
    ...(source.monitors?.length ? [] : [required(`${at}.monitors`)]),
    ...requiredTexts(source, at, ["image"]),
  ],
  quobyte,
  cephfs: (source, at) => (source.monitors?.length ? [] : [required(`${at}.monitors`)]),
  iscsi: (source, at) => [
    ...iscsiErrors(source, at, "must be valid format"),
    ...(source.secretRef && !source.secretRef.name ? [required(`${at}.secretRef.name`)] : []),
  ],
  cinder: (source, at) => [...requiredTexts(source, at, ["volumeID"]), ...secretErrors(source.secretRef, at)],
  fc,
  flexVolume: flexErrors,
  azureFile: (source, at) => [
    ...requiredTexts(source, at, ["secretName", "shareName"]),
    ...(source.secretNamespace === "" ? [required(`${at}.secretNamespace`)] : []),
  ],
  vsphereVolume,
  photonPersistentDisk,
  portworxVolume,
  azureDisk,
  scaleIO: (source, at) => requiredTexts(source, at, ["gateway", "system", "volumeName"]),
  local: (source, at) => (source.path ? backstepErrors(source.path, `${at}.path`) : [required(`${at}.path`)]),
  storageos: (source, at) => [...storageOsErrors(source, at), ...secretErrors(source.secretRef, at)],
  csi: (source, at) => [
    ...csiDriverNameErrors(source.driver ?? "", `${at}.driver`),
    ...requiredTexts(source, at, ["volumeHandle"]),
    ...namedSecretErrors(source.controllerPublishSecretRef, `${at}.controllerPublishSecretRef`),
    ...namedSecretErrors(source.controllerExpandSecretRef, `${at}.controllerExpandSecretRef`),
    ...namedSecretErrors(source.nodePublishSecretRef, `${at}.nodePublishSecretRef`),
    ...namedSecretErrors(source.nodeExpandSecretRef, `${at}.nodeExpandSecretRef`),
  ],
};

const sourceNames = Object.keys(sourceChecks) as (keyof corev1.PersistentVolumeSource)[];

function glusterNamespaceErrors(namespace: string | undefined, field: string): FieldError[] {
  if (namespace === undefined) return [];
  if (namespace === "") {
    const detail = "if the endpointnamespace is set, it must be a valid namespace name";
    return [invalid(field, namespace, detail)];
  }
  return invalidEach(field, namespace, dnsLabelErrors(namespace));
}

export function validateVolume({ spec, metadata }: Volume): FieldError[] {
  return [
    ...(spec.accessModes?.length ? [] : [required("spec.accessModes")]),
    ...validateAccessModes(spec.accessModes, "spec.accessModes"),
    ...validateCapacity(spec),
    ...validatePolicy(spec),
    ...validateAffinity(spec.nodeAffinity),
    ...validateSource(spec, sourceChecks, "spec"),
    ...validatePortal(spec, metadata.name ?? ""),
    ...(spec.local && !spec.nodeAffinity
      ? [required("spec.nodeAffinity", "Local volume requires node affinity")]
      : []),
    ...validateRecycling(spec),
    ...validateClassName(spec.storageClassName, "spec.storageClassName"),
    ...validateVolumeMode(spec.volumeMode, "spec.volumeMode"),
    ...validateAttributesClass(spec),
  ];
}

function validateCapacity({ capacity = {} }: Spec): FieldError[] {
  const field = "spec.capacity";
  const names = Object.keys(capacity);
  const errors: FieldError[] = names.length > 0 ? [] : [required(field)];
  if (capacity.storage === undefined || names.length > 1)
    errors.push(notSupported(field, capacity, ["storage"]));
  for (const [name, amount] of Object.entries(capacity)) {
    const at = `${field}[${name}]`;
    if (compareQuantities(amount, 0) < 0)
      errors.push(invalid(at, quantityValue(amount), "must be a valid resource quantity"));
    errors.push(...positiveQuantity(amount, at));
  }
  return errors;
}

function validatePolicy({ persistentVolumeReclaimPolicy: policy }: Spec): FieldError[] {
  if (!policy || reclaimPolicies.includes(policy)) return [];
  return [notSupported("spec.persistentVolumeReclaimPolicy", policy, reclaimPolicies)];
}

function validateAffinity(affinity: Readonly<corev1.VolumeNodeAffinity> | undefined): FieldError[] {
  if (!affinity) return [];
  const path = "spec.nodeAffinity.required";
  if (!affinity.required) return [required(path, "must specify required node constraints")];
  return validateNodeSelector(affinity.required, path);
}

const portalMaxLength = 64;

/** An initiator's name stands with both in one file name. */
function validatePortal({ iscsi }: Spec, name: string): FieldError[] {
  const { initiatorName, targetPortal = "" } = iscsi ?? {};
  if (initiatorName === undefined || `${name}:${targetPortal}`.length <= portalMaxLength) return [];
  const detail =
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
  return [invalid("spec.iscsi.targetportal", targetPortal, detail)];
}

/** To recycle a volume is to delete what is in it. */
function validateRecycling(spec: Spec): FieldError[] {
  const isRoot = /^\/+(\.\/*)*$/.test(spec.hostPath?.path ?? "");
  if (!isRoot || spec.persistentVolumeReclaimPolicy !== "Recycle") return [];
  const detail = "may not be 'recycle' for a hostPath mount of '/'";
  return [forbiddenField("spec.persistentVolumeReclaimPolicy", detail)];
}

function validateAttributesClass(spec: Spec): FieldError[] {
  const { volumeAttributesClassName: name, csi } = spec;
  if (name === undefined) return [];
  const field = "spec.volumeAttributesClassName";
  const errors =
    name === "" ? [required(field, "an empty string is disallowed")] : validateClassName(name, field);
  if (!csi) errors.push(required("spec.csi", "has to be specified when using volumeAttributesClassName"));
  return errors;
}

function sourceOf(spec: Spec): Partial<corev1.PersistentVolumeSource> {
  return Object.fromEntries(sourceNames.map((name) => [name, spec[name]]));
}

export function validateVolumeUpdate(volume: Volume, old: Volume): FieldError[] {
  const errors = validateVolume(volume);
  const source = sourceOf(volume.spec);
  const before = sourceOf(old.spec);
  // The secret for expansion may be added once.
  if (source.csi && before.csi && !before.csi.controllerExpandSecretRef) {
    const { controllerExpandSecretRef, ...csi } = source.csi;
    source.csi = csi;
  }
  if (!sameJson(source, before)) {
    const detail = "spec.persistentvolumesource is immutable after creation";
    errors.push(forbiddenField("spec.persistentvolumesource", detail));
  }
  errors.push(...immutable(volume.spec.volumeMode, old.spec.volumeMode, "volumeMode"));
  if (old.spec.nodeAffinity)
    errors.push(...immutable(volume.spec.nodeAffinity, old.spec.nodeAffinity, "nodeAffinity"));
  if (
    old.spec.volumeAttributesClassName !== undefined &&
    volume.spec.volumeAttributesClassName === undefined
  ) {
    const detail = "update from non-nil value to nil is forbidden";
    errors.push(forbiddenField("spec.volumeAttributesClassName", detail));
  }
  return errors;
}
