/** Validation of a pod's spec. https://github.com/kubernetes/kubernetes/blob/master/pkg/apis/core/validation/validation.go */
import type { corev1 } from "../../generated/types/index.ts";
import { type FieldError, required } from "../../meta/field-error.ts";

export function validatePodSpec(spec: Readonly<corev1.PodSpec>, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if ((spec.containers ?? []).length === 0) errors.push(required(`${path}.containers`));
  for (const [i, container] of (spec.containers ?? []).entries()) {
    if (!container.name) errors.push(required(`${path}.containers[${i}].name`));
    if (!container.image) errors.push(required(`${path}.containers[${i}].image`));
  }
  return errors;
}
