/** DaemonSet. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/daemon-set-v1/ */
import { containerColumns } from "../core/pod-spec/columns.ts";
import {
  defaultPodTemplate,
  immutable,
  nonNegative,
  sameJson,
  validateRunningWorkload,
} from "../core/pod-spec/template.ts";
import { workloadWarnings } from "../core/pod-spec/warnings.ts";
import type { appsv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { formatLabelSelector } from "../meta/label-selector.ts";
import { atMostAll, isZero, validateIntOrPercent } from "./int-or-percent.ts";

type DaemonSet = Readonly<appsv1.DaemonSet>;

/** Counts the templates; its pods carry it as a label. Older than ControllerRevisions and still written. */
const generationAnnotation = "deprecated.daemonset.template.generation";

const emptyStatus = (): appsv1.DaemonSetStatus => ({
  currentNumberScheduled: 0,
  desiredNumberScheduled: 0,
  numberMisscheduled: 0,
  numberReady: 0,
});

function defaultDaemonSet(set: appsv1.DaemonSet): void {
  set.spec ??= {} as appsv1.DaemonSetSpec;
  const { spec } = set;
  spec.revisionHistoryLimit ??= 10;
  spec.updateStrategy ??= {};
  const { updateStrategy } = spec;
  updateStrategy.type ??= "RollingUpdate";
  if (updateStrategy.type === "RollingUpdate") {
    updateStrategy.rollingUpdate ??= {};
    updateStrategy.rollingUpdate.maxUnavailable ??= 1;
    updateStrategy.rollingUpdate.maxSurge ??= 0;
  }
  defaultPodTemplate(spec);
  set.status ??= emptyStatus();
}

function templateGeneration(set: DaemonSet): number {
  return Number.parseInt(set.metadata.annotations?.[generationAnnotation] ?? "", 10) || 0;
}

function setTemplateGeneration(set: appsv1.DaemonSet, generation: number): void {
  set.metadata.annotations = { ...set.metadata.annotations, [generationAnnotation]: String(generation) };
}

function validateRollingUpdate(rolling: Readonly<appsv1.RollingUpdateDaemonSet>, at: string): FieldError[] {
  const { maxUnavailable, maxSurge } = rolling;
  const errors = [
    ...validateIntOrPercent(maxUnavailable, `${at}.maxUnavailable`),
    ...validateIntOrPercent(maxSurge, `${at}.maxSurge`),
    ...atMostAll(maxUnavailable, `${at}.maxUnavailable`),
    ...atMostAll(maxSurge, `${at}.maxSurge`),
  ];
  if (!isZero(maxUnavailable) && !isZero(maxSurge)) {
    errors.push(invalid(`${at}.maxSurge`, maxSurge, "may not be set when maxUnavailable is non-zero"));
  } else if (isZero(maxUnavailable) && isZero(maxSurge)) {
    errors.push(required(`${at}.maxUnavailable`, "cannot be 0 when maxSurge is 0"));
  }
  return errors;
}

function validateStrategy(strategy: Readonly<appsv1.DaemonSetUpdateStrategy>): FieldError[] {
  const path = "spec.updateStrategy";
  if (strategy.type === "OnDelete") return [];
  if (strategy.type !== "RollingUpdate") return [notSupported(path, strategy, ["OnDelete", "RollingUpdate"])];
  const at = `${path}.rollingUpdate`;
  return strategy.rollingUpdate ? validateRollingUpdate(strategy.rollingUpdate, at) : [required(at)];
}

function validateDaemonSet(set: DaemonSet): FieldError[] {
  const { spec } = set;
  return [
    ...validateRunningWorkload(spec, "DaemonSet"),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...validateStrategy(spec.updateStrategy ?? {}),
    ...nonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
  ];
}

function validateStatus(set: DaemonSet): FieldError[] {
  const counts = [
    "currentNumberScheduled",
    "numberMisscheduled",
    "desiredNumberScheduled",
    "numberReady",
    "observedGeneration",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "collisionCount",
  ] as const;
  return counts.flatMap((name) => nonNegative(set.status?.[name], `status.${name}`));
}

/** Labels as kubectl prints them in one cell. */
function labelsText(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([name, value]) => `${name}=${value}`);
  return pairs.length > 0 ? pairs.sort().join(",") : "<none>";
}

export const daemonSets = defineResource<appsv1.DaemonSet>({
  group: "apps",
  version: "v1",
  resource: "daemonsets",
  kind: "DaemonSet",
  typeName: "io.k8s.api.apps.v1.DaemonSet",
  namespaced: true,
  shortNames: ["ds"],
  categories: ["all"],
  hasGeneration: true,
  subresources: { status: { kind: "DaemonSet", verbs: ["get", "patch", "update"] } },
  defaults: defaultDaemonSet,
  onCreate(set) {
    set.status = emptyStatus();
    setTemplateGeneration(set, Math.max(1, templateGeneration(set)));
  },
  onUpdate(set, old) {
    set.status = old.status ?? emptyStatus();
    const changed = !sameJson(set.spec?.template, old.spec?.template);
    setTemplateGeneration(set, Math.max(1, templateGeneration(old)) + (changed ? 1 : 0));
  },
  validate: validateDaemonSet,
  warnings: workloadWarnings,
  validateUpdate: (set, old) => [
    ...validateDaemonSet(set),
    ...immutable(set.spec.selector, old.spec.selector, "spec.selector"),
  ],
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column(
      "Desired",
      "integer",
      "The total number of nodes that should be running the daemon pod.",
      (s) => s.status?.desiredNumberScheduled ?? 0,
    ),
    column(
      "Current",
      "integer",
      "The number of nodes that run at least one daemon pod and are supposed to.",
      (s) => s.status?.currentNumberScheduled ?? 0,
    ),
    column(
      "Ready",
      "integer",
      "The number of nodes that should run the daemon pod and have it ready.",
      (s) => s.status?.numberReady ?? 0,
    ),
    column(
      "Up-to-date",
      "integer",
      "The total number of nodes that are running updated daemon pod.",
      (s) => s.status?.updatedNumberScheduled ?? 0,
    ),
    column(
      "Available",
      "integer",
      "The number of nodes that should run the daemon pod and have it available.",
      (s) => s.status?.numberAvailable ?? 0,
    ),
    column("Node Selector", "string", "Labels that a node must have for the pods to run on it.", (s) =>
      labelsText(s.spec?.template.spec?.nodeSelector),
    ),
    ageColumn(),
    ...containerColumns<appsv1.DaemonSet>((s) => s.spec.template.spec),
    column("Selector", "string", "Label selector for pods.", (s) => formatLabelSelector(s.spec.selector), 1),
  ],
});
