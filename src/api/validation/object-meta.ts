/**
 * Validation of `metadata`, the same for every kind.
 * https://github.com/kubernetes/apimachinery/blob/master/pkg/api/validation/objectmeta.go
 */
import type { metav1 } from "../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, required } from "../meta/field-error.ts";
import { dnsLabelErrors, qualifiedNameErrors, validateAnnotations, validateLabels } from "./names.ts";

/** What the validation must know of the kind. */
export interface NamedKind {
  readonly namespaced: boolean;
  /** Finalizers need no domain: custom resources and their definitions. */
  readonly plainFinalizers?: boolean;
  validateName(name: string, prefix: boolean): string[];
}

const standardFinalizers = new Set(["kubernetes", "orphan", "foregroundDeletion"]);

/** All errors of a new object's metadata. */
export function validateObjectMeta(
  meta: Readonly<metav1.ObjectMeta>,
  kind: NamedKind,
  path = "metadata",
): FieldError[] {
  const errors: FieldError[] = [];
  if (meta.generateName) {
    for (const e of kind.validateName(meta.generateName, true))
      errors.push(invalid(`${path}.generateName`, meta.generateName, e));
  }
  if (!meta.name) errors.push(required(`${path}.name`, "name or generateName is required"));
  else
    for (const e of kind.validateName(meta.name, false)) errors.push(invalid(`${path}.name`, meta.name, e));
  if (kind.namespaced) {
    if (!meta.namespace) errors.push(required(`${path}.namespace`));
    else
      for (const e of dnsLabelErrors(meta.namespace))
        errors.push(invalid(`${path}.namespace`, meta.namespace, e));
  } else if (meta.namespace) errors.push(forbiddenField(`${path}.namespace`, "not allowed on this type"));
  errors.push(...validateCommon(meta, path, kind));
  return errors;
}

function validateCommon(
  meta: Readonly<metav1.ObjectMeta>,
  path: string,
  { plainFinalizers = false }: Pick<NamedKind, "plainFinalizers">,
): FieldError[] {
  const errors: FieldError[] = [];
  if ((meta.generation ?? 0) < 0) {
    errors.push(invalid(`${path}.generation`, meta.generation, "must be greater than or equal to 0"));
  }
  errors.push(...validateLabels(meta.labels, `${path}.labels`));
  errors.push(...validateAnnotations(meta.annotations, `${path}.annotations`));
  errors.push(...validateOwners(meta.ownerReferences ?? [], `${path}.ownerReferences`));
  errors.push(...validateFinalizers(meta.finalizers ?? [], `${path}.finalizers`, plainFinalizers));
  return errors;
}

function validateOwners(owners: readonly metav1.OwnerReference[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  let controller: metav1.OwnerReference | undefined;
  for (const [i, owner] of owners.entries()) {
    // Upstream names no index here but for the empty fields.
    const at = `${path}[${i}]`;
    if (!owner.apiVersion)
      errors.push(invalid(`${at}.apiVersion`, owner.apiVersion ?? "", "version must not be empty"));
    if (!owner.kind) errors.push(invalid(`${at}.kind`, owner.kind ?? "", "must not be empty"));
    if (!owner.name) errors.push(invalid(`${at}.name`, owner.name ?? "", "must not be empty"));
    if (!owner.uid) errors.push(invalid(`${at}.uid`, owner.uid ?? "", "must not be empty"));
    if (owner.kind === "Event" && (owner.apiVersion === "v1" || owner.apiVersion === "events.k8s.io/v1")) {
      errors.push(invalid(at, owner, `${owner.apiVersion}, Kind=Event is disallowed from being an owner`));
    }
    if (!owner.controller) continue;
    if (controller) {
      const detail = `Only one reference can have Controller set to true. Found "true" in references for ${controller.kind}/${controller.name} and ${owner.kind}/${owner.name}`;
      errors.push(invalid(path, owners, detail));
    } else controller = owner;
  }
  return errors;
}

function validateFinalizers(finalizers: readonly string[], path: string, plain: boolean): FieldError[] {
  const errors: FieldError[] = [];
  for (const finalizer of finalizers) {
    for (const e of qualifiedNameErrors(finalizer)) errors.push(invalid(path, finalizer, e));
    if (!plain && !finalizer.includes("/") && !standardFinalizers.has(finalizer)) {
      errors.push(
        invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified"),
      );
    }
  }
  if (finalizers.includes("orphan") && finalizers.includes("foregroundDeletion")) {
    errors.push(invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set"));
  }
  return errors;
}

const immutableFields = [
  "name",
  "namespace",
  "uid",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
] as const;

/** All errors of a change of metadata. */
export function validateObjectMetaUpdate(
  meta: Readonly<metav1.ObjectMeta>,
  old: Readonly<metav1.ObjectMeta>,
  kind: Pick<NamedKind, "plainFinalizers"> = {},
  path = "metadata",
): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of immutableFields) {
    if ((meta[name] ?? "") !== (old[name] ?? ""))
      errors.push(invalid(`${path}.${name}`, meta[name], "field is immutable"));
  }
  if ((meta.generation ?? 0) < (old.generation ?? 0)) {
    errors.push(invalid(`${path}.generation`, meta.generation ?? 0, "must not be decremented"));
  }
  if (!meta.resourceVersion)
    errors.push(invalid(`${path}.resourceVersion`, "", "must be specified for an update"));
  if (old.deletionTimestamp) {
    const added = (meta.finalizers ?? []).filter((f) => !old.finalizers?.includes(f));
    if (added.length > 0) {
      const list = added.map((f) => JSON.stringify(f)).join(", ");
      const detail = `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`;
      errors.push(forbiddenField(`${path}.finalizers`, detail));
    }
  }
  errors.push(...validateCommon(meta, path, kind));
  return errors;
}
