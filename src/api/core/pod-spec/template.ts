/** Rules of pod templates inside workloads. */
import type { corev1, metav1 } from "../../generated/types/index.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../../meta/field-error.ts";
import { isEmptySelector, selectorMatches, validateLabelSelector } from "../../meta/label-selector.ts";
import { validateAnnotations, validateLabels } from "../../validation/names.ts";
import { nonNegative } from "../../validation/numbers.ts";
import { defaultPodSpec } from "./defaults.ts";
import { validatePodSpec } from "./validate-spec.ts";

export function defaultPodTemplate(holder: { template: corev1.PodTemplateSpec }): void {
  holder.template ??= {} as corev1.PodTemplateSpec;
  holder.template.metadata ??= {} as metav1.ObjectMeta;
  holder.template.spec ??= {} as corev1.PodSpec;
  defaultPodSpec(holder.template.spec);
}

export function validatePodTemplate(template: Readonly<corev1.PodTemplateSpec>, path: string): FieldError[] {
  const errors = [
    ...validateLabels(template.metadata?.labels, `${path}.labels`),
    ...validateAnnotations(template.metadata?.annotations, `${path}.annotations`),
    ...validatePodSpec(template.spec!, `${path}.spec`),
  ];
  if (template.spec?.ephemeralContainers?.length) {
    errors.push(
      forbiddenField(`${path}.spec.ephemeralContainers`, "ephemeral containers not allowed in pod template"),
    );
  }
  return errors;
}

export { nonNegative };

interface Workload {
  selector: metav1.LabelSelector;
  template?: corev1.PodTemplateSpec;
}

/** Selector and template of what keeps pods running for ever: they must fit, and pods always restart. */
export function validateRunningWorkload(
  spec: Readonly<Workload>,
  kind: "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet",
): FieldError[] {
  const errors: FieldError[] = [];
  const path = "spec.template";
  const template = spec.template ?? ({} as corev1.PodTemplateSpec);
  if (!spec.selector) errors.push(required("spec.selector"));
  else {
    errors.push(...validateLabelSelector(spec.selector, "spec.selector"));
    if (isEmptySelector(spec.selector)) {
      errors.push(
        invalid("spec.selector", spec.selector, `empty selector is invalid for ${kind.toLowerCase()}`),
      );
    } else if (!selectorMatches(spec.selector, template.metadata?.labels)) {
      const detail = "`selector` does not match template `labels`";
      errors.push(invalid(`${path}.metadata.labels`, template.metadata?.labels ?? null, detail));
    }
  }
  errors.push(...validatePodTemplate(template, path));
  const policy = template.spec?.restartPolicy;
  if (policy !== "Always") errors.push(notSupported(`${path}.spec.restartPolicy`, policy, ["Always"]));
  if (template.spec?.activeDeadlineSeconds !== undefined) {
    errors.push(
      forbiddenField(
        `${path}.spec.activeDeadlineSeconds`,
        `activeDeadlineSeconds in ${kind} is not Supported`,
      ),
    );
  }
  return errors;
}

interface ReplicaCounts {
  replicas: number;
  fullyLabeledReplicas?: number;
  readyReplicas?: number;
  availableReplicas?: number;
  observedGeneration?: number;
}

/** The counts of those that keep a number of equal pods: no part is more than the whole. */
export function validateReplicaCounts(status: Readonly<ReplicaCounts>): FieldError[] {
  const { replicas = 0, readyReplicas = 0, availableReplicas = 0 } = status;
  const errors = nonNegative(replicas, "status.replicas");
  const parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"] as const;
  for (const name of [...parts, "observedGeneration"] as const)
    errors.push(...nonNegative(status[name], `status.${name}`));
  for (const name of parts) {
    if ((status[name] ?? 0) > replicas)
      errors.push(invalid(`status.${name}`, status[name], "cannot be greater than status.replicas"));
  }
  if (availableReplicas > readyReplicas)
    errors.push(
      invalid("status.availableReplicas", availableReplicas, "cannot be greater than readyReplicas"),
    );
  return errors;
}

/** Deep equality of plain JSON, whatever the order of keys; absent equals undefined. Every write compares objects by it. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  return Array.isArray(a) ? sameLists(a, b as unknown[]) : sameMaps(a as Json, b as Json);
}

type Json = Record<string, unknown>;

function sameLists(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (!sameJson(a[i], b[i])) return false;
  return true;
}

function sameMaps(a: Json, b: Json): boolean {
  for (const key in a) {
    // The one name whose absence reads as an object.
    const other = key === "__proto__" && !Object.hasOwn(b, key) ? undefined : b[key];
    if (!sameJson(a[key], other)) return false;
  }
  for (const key in b) if (b[key] !== undefined && !Object.hasOwn(a, key)) return false;
  return true;
}

export function immutable(value: unknown, old: unknown, field: string): FieldError[] {
  return sameJson(value, old) ? [] : [invalid(field, value, "field is immutable")];
}
