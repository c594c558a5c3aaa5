/** Workload: templates of the groups of pods that belong together. https://kubernetes.io/docs/concepts/workloads/workload-api/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { schedulingv1alpha2 } from "../generated/types/index.ts";
import { defineResource } from "../meta/define-resource.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { validateSet } from "../validation/lists.ts";
import { dnsLabelErrors, dnsSubdomainErrors, pathSegmentErrors } from "../validation/names.ts";
import { requiredName, validateGroupSpec } from "./pod-group-spec.ts";

type Workload = Readonly<schedulingv1alpha2.Workload>;
type Reference = Readonly<schedulingv1alpha2.TypedLocalObjectReference>;

const templatesMax = 8;

function validateReference({ apiGroup = "", kind, name }: Reference, at: string): FieldError[] {
  const group = apiGroup === "" ? [] : dnsSubdomainErrors(apiGroup);
  return [
    ...group.map((e) => invalid(`${at}.apiGroup`, apiGroup, e)),
    ...requiredName(kind, `${at}.kind`, pathSegmentErrors),
    ...requiredName(name, `${at}.name`, pathSegmentErrors),
  ];
}

function validateWorkload({ spec }: Workload): FieldError[] {
  const { controllerRef, podGroupTemplates = [] } = spec;
  const at = "spec.podGroupTemplates";
  const errors = controllerRef ? validateReference(controllerRef, "spec.controllerRef") : [];
  if (podGroupTemplates.length === 0) return [...errors, required(at)];
  const templates = validateSet(
    podGroupTemplates,
    templatesMax,
    at,
    (template, field) => [
      ...requiredName(template.name, `${field}.name`, dnsLabelErrors),
      ...validateGroupSpec(template, field),
    ],
    ({ name }) => name,
  );
  return [...errors, ...templates];
}

export const workloads = defineResource<schedulingv1alpha2.Workload>({
  group: "scheduling.k8s.io",
  version: "v1alpha2",
  resource: "workloads",
  kind: "Workload",
  typeName: "io.k8s.api.scheduling.v1alpha2.Workload",
  namespaced: true,
  defaults(workload) {
    workload.spec ??= { podGroupTemplates: [] };
    workload.spec.podGroupTemplates ??= [];
    for (const template of workload.spec.podGroupTemplates) template.schedulingPolicy ??= {};
  },
  validate: validateWorkload,
  validateUpdate: (workload, old) => [
    ...immutable(workload.spec.controllerRef, old.spec.controllerRef, "spec.controllerRef"),
    ...immutable(workload.spec.podGroupTemplates, old.spec.podGroupTemplates, "spec.podGroupTemplates"),
  ],
});
