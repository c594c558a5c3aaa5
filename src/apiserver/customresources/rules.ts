/** `x-kubernetes-validations`: rules in CEL. https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules */
import type { FieldError, KubernetesObject } from "#api";

export interface Rules {
  readonly isEmpty: boolean;
  /** `old` is undefined for a creation. */
  validate(object: Readonly<KubernetesObject>, old: Readonly<KubernetesObject> | undefined): FieldError[];
}

export const noRules: Rules = { isEmpty: true, validate: () => [] };
