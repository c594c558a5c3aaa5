/** ResourceClaimTemplate. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-template-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { resourcev1, resourcev1beta1 } from "../generated/types/index.ts";
import { defineResource } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { validateAnnotations, validateLabels } from "../validation/names.ts";
import { deprecationOf } from "./lifecycle.ts";
import { defaultDeviceClaim, validateDeviceClaim } from "./requests.ts";
import { claimFromStored, claimToStored, defaultOldClaim } from "./v1beta1-requests.ts";

type Old = resourcev1beta1.ResourceClaimTemplate;
type New = resourcev1.ResourceClaimTemplate;

export const resourceClaimTemplates = defineResource<New>({
  group: "resource.k8s.io",
  version: "v1",
  resource: "resourceclaimtemplates",
  kind: "ResourceClaimTemplate",
  typeName: "io.k8s.api.resource.v1.ResourceClaimTemplate",
  namespaced: true,
  defaults(template) {
    template.spec ??= { spec: {} };
    template.spec.spec ??= {};
    template.spec.spec.devices ??= {};
    defaultDeviceClaim(template.spec.spec.devices);
  },
  validate: ({ spec }) => [
    ...validateLabels(spec?.metadata?.labels, "spec.metadata.labels"),
    ...validateAnnotations(spec?.metadata?.annotations, "spec.metadata.annotations"),
    ...validateDeviceClaim(spec?.spec?.devices, "spec.spec.devices"),
  ],
  validateUpdate: (template, old) => immutable(template.spec, old.spec, "spec"),
});

export const resourceClaimTemplatesV1beta2 = defineVersion(resourceClaimTemplates, {
  version: "v1beta2",
  typeName: "io.k8s.api.resource.v1beta2.ResourceClaimTemplate",
  deprecation: deprecationOf("v1beta2", "ResourceClaimTemplate"),
});

export const resourceClaimTemplatesV1beta1 = defineVersion<Old, New>(resourceClaimTemplates, {
  version: "v1beta1",
  typeName: "io.k8s.api.resource.v1beta1.ResourceClaimTemplate",
  deprecation: deprecationOf("v1beta1", "ResourceClaimTemplate"),
  defaults: (template) => defaultOldClaim(template.spec?.spec?.devices),
  toStored: (template) => ({
    ...template,
    spec: { ...template.spec, spec: { devices: claimToStored(template.spec?.spec?.devices ?? {}) } },
  }),
  fromStored: (template) => ({
    ...template,
    spec: { ...template.spec, spec: { devices: claimFromStored(template.spec?.spec?.devices ?? {}) } },
  }),
});
