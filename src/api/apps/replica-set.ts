/** ReplicaSet. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/replica-set-v1/ */
import { containerColumns } from "../core/pod-spec/columns.ts";
import {
  defaultPodTemplate,
  immutable,
  nonNegative,
  validateReplicaCounts,
  validateRunningWorkload,
} from "../core/pod-spec/template.ts";
import { namedWorkloadWarnings } from "../core/pod-spec/warnings.ts";
import type { appsv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import type { FieldError } from "../meta/field-error.ts";
import { formatLabelSelector } from "../meta/label-selector.ts";

type ReplicaSet = Readonly<appsv1.ReplicaSet>;

function validateReplicaSet(set: ReplicaSet): FieldError[] {
  return [
    ...nonNegative(set.spec.replicas, "spec.replicas"),
    ...nonNegative(set.spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateRunningWorkload(set.spec, "ReplicaSet"),
  ];
}

export const replicaSets = defineResource<appsv1.ReplicaSet>({
  group: "apps",
  version: "v1",
  resource: "replicasets",
  kind: "ReplicaSet",
  typeName: "io.k8s.api.apps.v1.ReplicaSet",
  namespaced: true,
  shortNames: ["rs"],
  categories: ["all"],
  hasGeneration: true,
  subresources: {
    scale: { kind: "Scale", group: "autoscaling", version: "v1", verbs: ["get", "patch", "update"] },
    status: { kind: "ReplicaSet", verbs: ["get", "patch", "update"] },
  },
  defaults(set) {
    set.spec ??= {} as appsv1.ReplicaSetSpec;
    set.spec.replicas ??= 1;
    defaultPodTemplate(set.spec as { template: NonNullable<appsv1.ReplicaSetSpec["template"]> });
    set.status ??= { replicas: 0 };
  },
  onCreate(set) {
    set.status = { replicas: 0 };
  },
  validate: validateReplicaSet,
  warnings: namedWorkloadWarnings,
  validateUpdate: (set, old) => [
    ...validateReplicaSet(set),
    ...immutable(set.spec.selector, old.spec.selector, "spec.selector"),
  ],
  validateStatusUpdate: ({ status }) => validateReplicaCounts(status ?? { replicas: 0 }),
  selectableFields: { "status.replicas": (set) => String(set.status?.replicas ?? 0) },
  columns: [
    nameColumn(),
    column("Desired", "integer", "The number of desired pods.", (s) => s.spec.replicas ?? 0),
    column(
      "Current",
      "integer",
      "The most recently observed number of pods.",
      (s) => s.status?.replicas ?? 0,
    ),
    column("Ready", "integer", "The number of pods that are ready.", (s) => s.status?.readyReplicas ?? 0),
    ageColumn(),
    ...containerColumns<appsv1.ReplicaSet>((s) => s.spec.template?.spec),
    column("Selector", "string", "Label selector for pods.", (s) => formatLabelSelector(s.spec.selector), 1),
  ],
});
