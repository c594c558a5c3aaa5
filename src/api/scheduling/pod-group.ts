/** PodGroup: pods that are scheduled together. https://kubernetes.io/docs/concepts/workloads/workload-api/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { schedulingv1alpha2 } from "../generated/types/index.ts";
import { defineResource, keepAllButStatusWithMetadata } from "../meta/define-resource.ts";
import { type FieldError, invalid } from "../meta/field-error.ts";
import { validateConditions } from "../validation/conditions.ts";
import { validateSet } from "../validation/lists.ts";
import { dnsLabelErrors, dnsSubdomainErrors } from "../validation/names.ts";
import { claimsMax, requiredName, validateGroupSpec, validateUnion } from "./pod-group-spec.ts";

type PodGroup = Readonly<schedulingv1alpha2.PodGroup>;

const fixedFields = [
  "podGroupTemplateRef",
  "schedulingPolicy",
  "schedulingConstraints",
  "resourceClaims",
  "disruptionMode",
  "priorityClassName",
  "priority",
] as const;

function validatePodGroup({ spec }: PodGroup): FieldError[] {
  const errors: FieldError[] = [];
  const reference = spec.podGroupTemplateRef;
  const at = "spec.podGroupTemplateRef";
  if (reference) errors.push(...validateUnion(reference, ["workload"], at));
  if (reference?.workload) {
    const { workloadName, podGroupTemplateName } = reference.workload;
    errors.push(
      ...requiredName(workloadName, `${at}.workload.workloadName`, dnsSubdomainErrors),
      ...requiredName(podGroupTemplateName, `${at}.workload.podGroupTemplateName`, dnsLabelErrors),
    );
  }
  return [...errors, ...validateGroupSpec(spec, "spec")];
}

function validateStatus({ spec, status }: PodGroup): FieldError[] {
  const claims = new Set((spec.resourceClaims ?? []).map(({ name }) => name));
  const statuses = validateSet(
    status?.resourceClaimStatuses,
    claimsMax,
    "status.resourceClaimStatuses",
    ({ name, resourceClaimName }, at) => [
      ...(claims.has(name)
        ? []
        : [invalid(`${at}.name`, name, "must match the name of an entry in `spec.resourceClaims`")]),
      ...(resourceClaimName === undefined ? [] : dnsSubdomainErrors(resourceClaimName)).map((e) =>
        invalid(`${at}.resourceClaimName`, resourceClaimName, e),
      ),
    ],
    ({ name }) => name,
  );
  return [...validateConditions(status?.conditions, "status.conditions"), ...statuses];
}

export const podGroups = defineResource<schedulingv1alpha2.PodGroup>({
  group: "scheduling.k8s.io",
  version: "v1alpha2",
  resource: "podgroups",
  kind: "PodGroup",
  typeName: "io.k8s.api.scheduling.v1alpha2.PodGroup",
  namespaced: true,
  subresources: { status: { kind: "PodGroup", verbs: ["get", "patch", "update"] } },
  defaults(group) {
    group.spec ??= { schedulingPolicy: {} };
    group.spec.schedulingPolicy ??= {};
    group.spec.disruptionMode ??= "Pod";
    group.status ??= {};
  },
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: validatePodGroup,
  validateUpdate: (group, old) =>
    fixedFields.flatMap((field) => immutable(group.spec[field], old.spec[field], `spec.${field}`)),
  validateStatusUpdate: validateStatus,
});
