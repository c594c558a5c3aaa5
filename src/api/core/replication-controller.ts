/** ReplicationController. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/replication-controller-v1/ */
import type { corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { formatLabels } from "../validation/checks.ts";
import { containerColumns } from "./pod-spec/columns.ts";
import { defaultPodSpec } from "./pod-spec/defaults.ts";
import { nonNegative, validatePodTemplate, validateReplicaCounts } from "./pod-spec/template.ts";
import { namedWorkloadWarnings } from "./pod-spec/warnings.ts";

type Controller = Readonly<corev1.ReplicationController>;
const path = "spec.template";

function defaultController(controller: corev1.ReplicationController): void {
  controller.spec ??= {};
  const { spec } = controller;
  spec.replicas ??= 1;
  if (spec.template) {
    spec.template.spec ??= {} as corev1.PodSpec;
    defaultPodSpec(spec.template.spec);
  }
  takeTemplateLabels(controller);
  controller.status ??= { replicas: 0 };
}

/** A controller that says nothing of its own selects its template's labels, and bears them. */
function takeTemplateLabels({ spec, metadata }: corev1.ReplicationController): void {
  const labels = spec.template?.metadata?.labels;
  if (!labels) return;
  if (Object.keys(spec.selector ?? {}).length === 0) spec.selector = { ...labels };
  if (Object.keys(metadata.labels ?? {}).length === 0) metadata.labels = { ...labels };
}

function validateController({ spec }: Controller): FieldError[] {
  return [
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...(Object.keys(spec.selector ?? {}).length > 0 ? [] : [required("spec.selector")]),
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...(spec.template ? validateTemplate(spec.template, spec.selector ?? {}) : [required(path)]),
  ];
}

function validateTemplate(
  template: Readonly<corev1.PodTemplateSpec>,
  selector: Readonly<Record<string, string>>,
): FieldError[] {
  const errors: FieldError[] = [];
  const labels = template.metadata?.labels ?? {};
  if (!Object.entries(selector).every(([key, value]) => labels[key] === value)) {
    const detail = "`selector` does not match template `labels`";
    errors.push(invalid(`${path}.metadata.labels`, labels, detail));
  }
  errors.push(...validatePodTemplate(template, path));
  const policy = template.spec?.restartPolicy;
  if (policy !== "Always") errors.push(notSupported(`${path}.spec.restartPolicy`, policy, ["Always"]));
  if (template.spec?.activeDeadlineSeconds !== undefined) {
    const detail = "activeDeadlineSeconds in ReplicationController is not Supported";
    errors.push(forbiddenField(`${path}.spec.activeDeadlineSeconds`, detail));
  }
  return errors;
}

export const replicationControllers = defineResource<corev1.ReplicationController>({
  group: "",
  version: "v1",
  resource: "replicationcontrollers",
  kind: "ReplicationController",
  typeName: "io.k8s.api.core.v1.ReplicationController",
  namespaced: true,
  shortNames: ["rc"],
  categories: ["all"],
  hasGeneration: true,
  subresources: {
    scale: { kind: "Scale", group: "autoscaling", version: "v1", verbs: ["get", "patch", "update"] },
    status: { kind: "ReplicationController", verbs: ["get", "patch", "update"] },
  },
  defaults: defaultController,
  onCreate(controller) {
    controller.status = { replicas: 0 };
  },
  validate: validateController,
  warnings: namedWorkloadWarnings,
  validateStatusUpdate: ({ status }) => validateReplicaCounts(status ?? { replicas: 0 }),
  selectableFields: { "status.replicas": (c) => String(c.status?.replicas ?? 0) },
  columns: [
    nameColumn(),
    column("Desired", "integer", "The number of desired pods.", (c) => c.spec.replicas ?? 0),
    column(
      "Current",
      "integer",
      "The most recently observed number of pods.",
      (c) => c.status?.replicas ?? 0,
    ),
    column("Ready", "integer", "The number of pods that are ready.", (c) => c.status?.readyReplicas ?? 0),
    ageColumn(),
    ...containerColumns<corev1.ReplicationController>((c) => c.spec.template?.spec),
    column("Selector", "string", "Label selector for pods.", (c) => formatLabels(c.spec.selector), 1),
  ],
});
