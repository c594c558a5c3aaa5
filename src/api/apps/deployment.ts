/** Deployment. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/ */
import { containerColumns } from "../core/pod-spec/columns.ts";
import {
  defaultPodTemplate,
  immutable,
  nonNegative,
  validateRunningWorkload,
} from "../core/pod-spec/template.ts";
import { namedWorkloadWarnings } from "../core/pod-spec/warnings.ts";
import type { appsv1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithLabels,
  nameColumn,
} from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, notSupported, required } from "../meta/field-error.ts";
import { scaledValue } from "../meta/int-or-string.ts";
import { formatLabelSelector } from "../meta/label-selector.ts";
import { atMostAll, validateIntOrPercent } from "./int-or-percent.ts";

type Deployment = Readonly<appsv1.Deployment>;

function defaultDeployment(deployment: appsv1.Deployment): void {
  deployment.spec ??= {} as appsv1.DeploymentSpec;
  const { spec } = deployment;
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  spec.progressDeadlineSeconds ??= 600;
  spec.strategy ??= {};
  const { strategy } = spec;
  strategy.type ??= "RollingUpdate";
  if (strategy.type === "RollingUpdate") {
    strategy.rollingUpdate ??= {};
    strategy.rollingUpdate.maxUnavailable ??= "25%";
    strategy.rollingUpdate.maxSurge ??= "25%";
  }
  defaultPodTemplate(spec);
  deployment.status ??= {};
}

function validateStrategy(strategy: Readonly<appsv1.DeploymentStrategy>): FieldError[] {
  const path = "spec.strategy";
  const rolling = strategy.rollingUpdate;
  if (strategy.type === "Recreate") {
    if (!rolling) return [];
    return [
      forbiddenField(`${path}.rollingUpdate`, "may not be specified when strategy `type` is 'Recreate'"),
    ];
  }
  if (strategy.type !== "RollingUpdate") return [notSupported(path, strategy, ["Recreate", "RollingUpdate"])];
  if (!rolling) return [required(`${path}.rollingUpdate`, "this should be defaulted and never be nil")];
  const at = `${path}.rollingUpdate`;
  const errors = [
    ...validateIntOrPercent(rolling.maxUnavailable, `${at}.maxUnavailable`),
    ...validateIntOrPercent(rolling.maxSurge, `${at}.maxSurge`),
    ...atMostAll(rolling.maxUnavailable, `${at}.maxUnavailable`),
  ];
  if (
    scaledValue(rolling.maxUnavailable, 100, false) === 0 &&
    scaledValue(rolling.maxSurge, 100, true) === 0
  ) {
    errors.push(invalid(`${at}.maxUnavailable`, rolling.maxUnavailable, "may not be 0 when `maxSurge` is 0"));
  }
  return errors;
}

function validateDeployment(deployment: Deployment): FieldError[] {
  const { spec } = deployment;
  const errors = [
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...validateRunningWorkload(spec, "Deployment"),
    ...validateStrategy(spec.strategy ?? {}),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...nonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
    ...nonNegative(spec.progressDeadlineSeconds, "spec.progressDeadlineSeconds"),
  ];
  if (
    spec.progressDeadlineSeconds !== undefined &&
    spec.progressDeadlineSeconds <= (spec.minReadySeconds ?? 0)
  ) {
    errors.push(
      invalid(
        "spec.progressDeadlineSeconds",
        spec.progressDeadlineSeconds,
        "must be greater than minReadySeconds",
      ),
    );
  }
  return errors;
}

function validateStatus(deployment: Deployment): FieldError[] {
  const status = deployment.status ?? {};
  const counts = [
    "observedGeneration",
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
  ] as const;
  const errors = counts.flatMap((name) => nonNegative(status[name], `status.${name}`));
  const replicas = status.replicas ?? 0;
  for (const name of ["updatedReplicas", "readyReplicas", "availableReplicas"] as const) {
    if ((status[name] ?? 0) > replicas) {
      errors.push(invalid(`status.${name}`, status[name], "cannot be greater than status.replicas"));
    }
  }
  if ((status.availableReplicas ?? 0) > (status.readyReplicas ?? 0)) {
    errors.push(
      invalid("status.availableReplicas", status.availableReplicas, "cannot be greater than readyReplicas"),
    );
  }
  return errors;
}

export const deployments = defineResource<appsv1.Deployment>({
  group: "apps",
  version: "v1",
  resource: "deployments",
  kind: "Deployment",
  typeName: "io.k8s.api.apps.v1.Deployment",
  namespaced: true,
  shortNames: ["deploy"],
  categories: ["all"],
  hasGeneration: true,
  subresources: {
    scale: { kind: "Scale", group: "autoscaling", version: "v1", verbs: ["get", "patch", "update"] },
    status: { kind: "Deployment", verbs: ["get", "patch", "update"] },
  },
  defaults: defaultDeployment,
  validate: validateDeployment,
  warnings: namedWorkloadWarnings,
  validateUpdate: (deployment, old) => [
    ...validateDeployment(deployment),
    ...immutable(deployment.spec.selector, old.spec.selector, "spec.selector"),
  ],
  onStatusUpdate: keepAllButStatusWithLabels,
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column(
      "Ready",
      "string",
      "Number of the pod with ready state",
      (d) => `${d.status?.readyReplicas ?? 0}/${d.spec.replicas ?? 0}`,
    ),
    column("Up-to-date", "string", "Number of pods that have the desired template.", (d) =>
      String(d.status?.updatedReplicas ?? 0),
    ),
    column("Available", "string", "Number of pods that are available.", (d) =>
      String(d.status?.availableReplicas ?? 0),
    ),
    ageColumn(),
    ...containerColumns<appsv1.Deployment>((d) => d.spec.template.spec),
    column("Selector", "string", "Label selector for pods.", (d) => formatLabelSelector(d.spec.selector), 1),
  ],
});
