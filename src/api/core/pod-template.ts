/** PodTemplate. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-template-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { formatLabels } from "../validation/checks.ts";
import { containerColumns } from "./pod-spec/columns.ts";
import { defaultPodTemplate, validatePodTemplate } from "./pod-spec/template.ts";
import { isUnchanged, podTemplateWarnings } from "./pod-spec/warnings.ts";

export const podTemplates = defineResource<corev1.PodTemplate>({
  group: "",
  version: "v1",
  resource: "podtemplates",
  kind: "PodTemplate",
  typeName: "io.k8s.api.core.v1.PodTemplate",
  namespaced: true,
  hasGeneration: true,
  defaults: (object) => defaultPodTemplate(object as { template: corev1.PodTemplateSpec }),
  validate: (object) => validatePodTemplate(object.template!, "template"),
  warnings: (object, old) =>
    isUnchanged(object, old) ? [] : podTemplateWarnings(object.template, "template"),
  columns: [
    nameColumn(),
    ...containerColumns<corev1.PodTemplate>((t) => t.template?.spec).map((c) => ({
      ...c,
      priority: 0 as const,
    })),
    column("Pod Labels", "string", "The labels for the pod template.", (t) =>
      formatLabels(t.template?.metadata?.labels),
    ),
  ],
});
