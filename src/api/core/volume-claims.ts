/**
 * What claims and volumes share, and the spec of a claim: of a PersistentVolumeClaim and of a template for one.
 * https://kubernetes.io/docs/concepts/storage/persistent-volumes/
 */
import type { corev1, metav1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { validateLabelSelector } from "../meta/label-selector.ts";
import type { KubernetesObject } from "../meta/resource-type.ts";
import { invalidEach, positiveQuantity, requiredTexts } from "../validation/checks.ts";
import {
  dnsLabelErrors,
  dnsSubdomainErrors,
  validateAnnotations,
  validateLabels,
} from "../validation/names.ts";

const accessModes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const volumeModes = ["Block", "Filesystem"];
export const classAnnotation = "volume.beta.kubernetes.io/storage-class";

const shortModes: readonly (readonly [string, string])[] = [
  ["ReadWriteOnce", "RWO"],
  ["ReadOnlyMany", "ROX"],
  ["ReadWriteMany", "RWX"],
  ["ReadWriteOncePod", "RWOP"],
];

/** `RWO,ROX`. */
export function accessModesText(modes: readonly string[] | undefined): string {
  return shortModes
    .filter(([mode]) => modes?.includes(mode))
    .map(([, short]) => short)
    .join(",");
}

interface Classed extends KubernetesObject {
  spec: { storageClassName?: string };
}

/** The annotation is older than the field, and still counts first. */
export function storageClassOf({ metadata, spec }: Readonly<Classed>): string {
  return metadata.annotations?.[classAnnotation] ?? spec.storageClassName ?? "";
}

export function classAnnotationWarnings({ annotations }: Readonly<metav1.ObjectMeta>): string[] {
  if (annotations?.[classAnnotation] === undefined) return [];
  return [
    `metadata.annotations[${classAnnotation}]: deprecated since v1.8; use "storageClassName" attribute instead`,
  ];
}

export function validateAccessModes(modes: readonly string[] | undefined, field: string): FieldError[] {
  const errors = (modes ?? [])
    .filter((mode) => !accessModes.includes(mode))
    .map((mode) => notSupported(field, mode, accessModes));
  const isAlone = modes?.every((mode) => mode === "ReadWriteOncePod" || !accessModes.includes(mode));
  if (modes?.includes("ReadWriteOncePod") && !isAlone)
    errors.push(forbiddenField(field, "may not use ReadWriteOncePod with other access modes"));
  return errors;
}

export function validateVolumeMode(mode: string | undefined, field: string): FieldError[] {
  return mode === undefined || volumeModes.includes(mode) ? [] : [notSupported(field, mode, volumeModes)];
}

export function validateClassName(name: string | undefined, field: string): FieldError[] {
  return name ? invalidEach(field, name, dnsSubdomainErrors(name)) : [];
}

export function validateClaimSpec(
  spec: Readonly<corev1.PersistentVolumeClaimSpec>,
  at: string,
): FieldError[] {
  const storage = spec.resources?.requests?.storage;
  const storageField = `${at}.resources[storage]`;
  return [
    ...(spec.accessModes?.length
      ? []
      : [required(`${at}.accessModes`, "at least 1 access mode is required")]),
    ...validateLabelSelector(spec.selector, `${at}.selector`),
    ...validateAccessModes(spec.accessModes, `${at}.accessModes`),
    ...(storage === undefined ? [required(storageField)] : positiveQuantity(storage, storageField)),
    ...validateClassName(spec.storageClassName, `${at}.storageClassName`),
    ...validateVolumeMode(spec.volumeMode, `${at}.volumeMode`),
    ...validateDataSource(spec.dataSource, `${at}.dataSource`),
    ...validateDataSource(spec.dataSourceRef, `${at}.dataSourceRef`),
    ...validateSameSource(spec, at),
    ...validateClassName(spec.volumeAttributesClassName, `${at}.volumeAttributesClassName`),
  ];
}

function validateDataSource(
  source: Readonly<corev1.TypedObjectReference> | undefined,
  at: string,
): FieldError[] {
  if (!source) return [];
  const { apiGroup = "", kind = "", namespace } = source;
  const errors = requiredTexts(source, at, ["name", "kind"]);
  if (!apiGroup && kind !== "PersistentVolumeClaim")
    errors.push(invalid(at, kind, "must be 'PersistentVolumeClaim' when referencing the default apiGroup"));
  if (apiGroup) errors.push(...invalidEach(`${at}.apiGroup`, apiGroup, dnsSubdomainErrors(apiGroup)));
  if (namespace) errors.push(...invalidEach(`${at}.namespace`, namespace, dnsLabelErrors(namespace)));
  return errors;
}

function validateSameSource(spec: Readonly<corev1.PersistentVolumeClaimSpec>, at: string): FieldError[] {
  const { dataSource, dataSourceRef } = spec;
  if (!dataSource || !dataSourceRef) return [];
  const field = `${at}.dataSource`;
  if (dataSourceRef.namespace)
    return [invalid(at, field, "may not be specified when dataSourceRef.namespace is specified")];
  const same = (["apiGroup", "kind", "name"] as const).every((k) => dataSource[k] === dataSourceRef[k]);
  return same ? [] : [invalid(at, field, "must match dataSourceRef")];
}

/** The claim that a pod's ephemeral volume becomes: of its metadata only labels and annotations are taken over. */
export function validateClaimTemplate(
  template: Readonly<corev1.PersistentVolumeClaimTemplate>,
  at: string,
): FieldError[] {
  const { labels, annotations, ...others } = template.metadata ?? ({} as metav1.ObjectMeta);
  const path = `${at}.metadata`;
  return [
    ...validateAnnotations(annotations, `${path}.annotations`),
    ...validateLabels(labels, `${path}.labels`),
    ...Object.keys(others).map((name) => forbiddenField(`${path}.${name}`, "cannot be set")),
    ...validateClaimSpec(template.spec ?? {}, `${at}.spec`),
  ];
}
