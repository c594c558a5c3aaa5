/** PersistentVolumeClaim. https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/persistent-volume-claim-v1/ */
import type { corev1, metav1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { compareQuantities, quantityValue } from "../meta/quantity.ts";
import { invalidEach } from "../validation/checks.ts";
import { qualifiedNameErrors } from "../validation/names.ts";
import { immutable, sameJson } from "./pod-spec/template.ts";
import { claimSpecWarnings } from "./pod-spec/warnings.ts";
import { isNativeResource, resourceAmountErrors } from "./resource-names.ts";
import {
  accessModesText,
  classAnnotation,
  classAnnotationWarnings,
  storageClassOf,
  validateClaimSpec,
} from "./volume-claims.ts";

type Claim = Readonly<corev1.PersistentVolumeClaim>;
type Spec = corev1.PersistentVolumeClaimSpec;

export function defaultClaim(claim: corev1.PersistentVolumeClaim): void {
  claim.spec ??= {};
  claim.spec.volumeMode ??= "Filesystem";
  claim.status ??= {};
  claim.status.phase ??= "Pending";
}

/** `dataSource` knows claims and snapshots only; what it cannot say, it does not say. */
function isOldSource({ apiGroup = "", kind }: Readonly<corev1.TypedLocalObjectReference>): boolean {
  if (kind === "PersistentVolumeClaim") return apiGroup === "";
  return kind === "VolumeSnapshot" && apiGroup === "snapshot.storage.k8s.io";
}

/** Two fields for one thing: whichever is given, both say it. */
function alignSources(spec: Spec, old?: Readonly<Spec>): void {
  if (spec.dataSourceRef?.namespace && !old?.dataSourceRef) delete spec.dataSourceRef;
  if (spec.dataSource && !old?.dataSource && !spec.dataSourceRef && !isOldSource(spec.dataSource))
    delete spec.dataSource;
  if (spec.dataSourceRef?.namespace) return;
  if (spec.dataSource && !spec.dataSourceRef) spec.dataSourceRef = { ...spec.dataSource };
  else if (spec.dataSourceRef && !spec.dataSource) {
    const { namespace, ...rest } = spec.dataSourceRef;
    spec.dataSource = rest;
  }
}

function validateUpdate(claim: Claim, old: Claim): FieldError[] {
  return [
    ...validateClaimSpec(claim.spec, "spec"),
    ...validateAnnotation(claim, old),
    ...validateFixed(claim, old),
    ...validateSize(claim, old),
    ...immutable(claim.spec.volumeMode, old.spec.volumeMode, "volumeMode"),
    ...validateAttributesClass(claim.spec, old.spec),
  ];
}

/** The class may move from the annotation to the field, and be given where none was. */
function mayNameClass({ metadata, spec }: Claim, old: Claim): boolean {
  if (spec.storageClassName === undefined || old.spec.storageClassName !== undefined) return false;
  const before = old.metadata.annotations?.[classAnnotation];
  const now = metadata.annotations?.[classAnnotation];
  if (before === undefined) return true;
  return spec.storageClassName === before && (now === undefined || now === before);
}

function validateAnnotation(claim: Claim, old: Claim): FieldError[] {
  const before = old.metadata.annotations?.[classAnnotation] ?? "";
  const now = claim.metadata.annotations?.[classAnnotation] ?? "";
  if (now === before || (before !== "" && mayNameClass(claim, old))) return [];
  return [invalid(`metadata.annotations[${classAnnotation}]`, now, "field is immutable")];
}

function validateFixed(claim: Claim, old: Claim): FieldError[] {
  const now: Spec = { ...claim.spec };
  const before: Spec = { ...old.spec };
  // Whoever binds the claim names its volume, once.
  if (!before.volumeName && now.volumeName) before.volumeName = now.volumeName;
  if (mayNameClass(claim, old)) delete now.storageClassName;
  const size = before.resources?.requests?.storage;
  if (claim.status?.phase === "Bound" && now.resources?.requests && size !== undefined)
    now.resources = { ...now.resources, requests: { ...now.resources.requests, storage: size } };
  delete now.volumeAttributesClassName;
  delete before.volumeAttributesClassName;
  if (sameJson(now, before)) return [];
  const detail =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
  return [forbiddenField("spec", detail)];
}

/** A claim grows; it shrinks only back from a growth that failed. */
function validateSize(claim: Claim, old: Claim): FieldError[] {
  const size = claim.spec.resources?.requests?.storage ?? 0;
  if (compareQuantities(size, old.spec.resources?.requests?.storage ?? 0) >= 0) return [];
  if (compareQuantities(size, old.status?.capacity?.storage ?? 0) > 0) return [];
  return [forbiddenField("spec.resources.requests.storage", "field can not be less than status.capacity")];
}

function validateAttributesClass(spec: Readonly<Spec>, old: Readonly<Spec>): FieldError[] {
  const { volumeAttributesClassName: name } = spec;
  if (old.volumeAttributesClassName === undefined || name) return [];
  const what = name === undefined ? "nil" : "an empty string";
  return [
    forbiddenField("spec.volumeAttributesClassName", `update from non-nil value to ${what} is forbidden`),
  ];
}

const resizeStatuses = [
  "ControllerResizeInProgress",
  "ControllerResizeInfeasible",
  "NodeResizePending",
  "NodeResizeInProgress",
  "NodeResizeInfeasible",
].sort();

function resourceKeyErrors(name: string, field: string): FieldError[] {
  const errors = invalidEach(field, name, qualifiedNameErrors(name));
  if (errors.length > 0 || !isNativeResource(name) || name === "storage") return errors;
  return [notSupported(field, name, ["storage"])];
}

function basicErrors(amount: metav1.Quantity, field: string): FieldError[] {
  if (compareQuantities(amount, 0) >= 0) return [];
  return [invalid(field, quantityValue(amount), "must be a valid resource quantity")];
}

function validateStatus(claim: Claim): FieldError[] {
  const { capacity = {}, allocatedResourceStatuses = {}, allocatedResources = {} } = claim.status ?? {};
  const errors: FieldError[] = claim.spec.accessModes?.length ? [] : [required("Spec.accessModes")];
  for (const [name, amount] of Object.entries(capacity))
    errors.push(...basicErrors(amount, `status.capacity[${name}]`));
  const statusField = "status.allocatedResourceStatus";
  for (const [name, status] of Object.entries(allocatedResourceStatuses)) {
    errors.push(...resourceKeyErrors(name, statusField));
    if (!resizeStatuses.includes(status)) errors.push(notSupported(statusField, name, resizeStatuses));
  }
  for (const [name, amount] of Object.entries(allocatedResources)) {
    const field = `status.allocatedResources[${name}]`;
    const wrong = resourceKeyErrors(name, "status.allocatedResources");
    if (wrong.length === 0) wrong.push(...basicErrors(amount, field));
    errors.push(...(wrong.length > 0 ? wrong : resourceAmountErrors("storage", amount, field)));
  }
  return errors;
}

export const persistentVolumeClaims = defineResource<corev1.PersistentVolumeClaim>({
  group: "",
  version: "v1",
  resource: "persistentvolumeclaims",
  kind: "PersistentVolumeClaim",
  typeName: "io.k8s.api.core.v1.PersistentVolumeClaim",
  namespaced: true,
  shortNames: ["pvc"],
  subresources: { status: { kind: "PersistentVolumeClaim", verbs: ["get", "patch", "update"] } },
  defaults: defaultClaim,
  onCreate(claim) {
    claim.status = { phase: "Pending" };
    alignSources(claim.spec);
  },
  onUpdate(claim, old) {
    claim.status = old.status;
    alignSources(claim.spec, old.spec);
  },
  validate: ({ spec }) => validateClaimSpec(spec, "spec"),
  warnings: ({ metadata, spec }) => [
    ...classAnnotationWarnings(metadata),
    ...claimSpecWarnings(spec, "spec"),
  ],
  validateUpdate,
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column("Status", "string", "Whether it has a volume.", (c) =>
      c.metadata.deletionTimestamp ? "Terminating" : (c.status?.phase ?? ""),
    ),
    column("Volume", "string", "The volume it is bound to.", (c) => c.spec.volumeName ?? ""),
    column("Capacity", "string", "How much its volume holds.", (c) =>
      c.spec.volumeName ? String(c.status?.capacity?.storage ?? 0) : "",
    ),
    column("Access Modes", "string", "The ways its volume can be mounted.", (c) =>
      c.spec.volumeName ? accessModesText(c.status?.accessModes) : "",
    ),
    column("StorageClass", "string", "StorageClass of the pvc", (c) => storageClassOf(c)),
    column(
      "VolumeAttributesClass",
      "string",
      "VolumeAttributesClass of the pvc",
      (c) => c.spec.volumeAttributesClassName ?? "<unset>",
    ),
    ageColumn(),
    column(
      "VolumeMode",
      "string",
      "Whether it wants a file system or a raw block device.",
      (c) => c.spec.volumeMode ?? "<unset>",
      1,
    ),
  ],
});
