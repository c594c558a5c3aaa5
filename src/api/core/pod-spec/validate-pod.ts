/** Validation of pods. https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go */
import type { corev1 } from "../../generated/types/index.ts";
import type { FieldError } from "../../meta/field-error.ts";
import { validatePodSpec } from "./validate-spec.ts";

export function validatePod(pod: Readonly<corev1.Pod>): FieldError[] {
  return validatePodSpec(pod.spec, "spec");
}

export function validatePodUpdate(pod: Readonly<corev1.Pod>, _old: Readonly<corev1.Pod>): FieldError[] {
  return validatePod(pod);
}

export function validatePodStatusUpdate(): FieldError[] {
  return [];
}
