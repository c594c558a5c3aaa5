/** StatefulSet. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/stateful-set-v1/ */
import { defaultClaim } from "../core/persistent-volume-claim.ts";
import { containerColumns } from "../core/pod-spec/columns.ts";
import {
  defaultPodTemplate,
  nonNegative,
  sameJson,
  validateRunningWorkload,
} from "../core/pod-spec/template.ts";
import { claimSpecWarnings, workloadWarnings } from "../core/pod-spec/warnings.ts";
import type { appsv1, corev1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid, required } from "../meta/field-error.ts";
import { dnsSubdomainErrors, nameIsDnsLabel } from "../validation/names.ts";
import { atMostAll, isZero, validateIntOrPercent } from "./int-or-percent.ts";

type StatefulSet = Readonly<appsv1.StatefulSet>;

const emptyStatus = (): appsv1.StatefulSetStatus => ({ replicas: 0, availableReplicas: 0 });

function defaultStatefulSet(set: appsv1.StatefulSet): void {
  set.spec ??= {} as appsv1.StatefulSetSpec;
  const { spec } = set;
  spec.podManagementPolicy ??= "OrderedReady";
  spec.updateStrategy ??= {};
  const { updateStrategy } = spec;
  if (!updateStrategy.type) {
    updateStrategy.type = "RollingUpdate";
    updateStrategy.rollingUpdate ??= {};
  }
  if (updateStrategy.type === "RollingUpdate" && updateStrategy.rollingUpdate) {
    updateStrategy.rollingUpdate.partition ??= 0;
    updateStrategy.rollingUpdate.maxUnavailable ??= 1;
  }
  spec.persistentVolumeClaimRetentionPolicy ??= {};
  spec.persistentVolumeClaimRetentionPolicy.whenDeleted ??= "Retain";
  spec.persistentVolumeClaimRetentionPolicy.whenScaled ??= "Retain";
  spec.replicas ??= 1;
  spec.revisionHistoryLimit ??= 10;
  for (const claim of spec.volumeClaimTemplates ?? []) {
    claim.apiVersion ??= "v1";
    claim.kind ??= "PersistentVolumeClaim";
    defaultClaim(claim);
  }
  defaultPodTemplate(spec);
  set.status ??= emptyStatus();
}

function validateStrategy({ type, rollingUpdate }: appsv1.StatefulSetUpdateStrategy): FieldError[] {
  const path = "spec.updateStrategy";
  const at = `${path}.rollingUpdate`;
  if (!type) return [required(path)];
  if (type === "OnDelete") {
    return rollingUpdate
      ? [invalid(at, rollingUpdate, "only allowed for updateStrategy 'RollingUpdate'")]
      : [];
  }
  if (type !== "RollingUpdate")
    return [invalid(path, { type, rollingUpdate }, "must be 'RollingUpdate' or 'OnDelete'")];
  const { partition, maxUnavailable } = rollingUpdate ?? {};
  const errors = [
    ...nonNegative(partition, `${at}.partition`),
    ...validateIntOrPercent(maxUnavailable, `${at}.maxUnavailable`),
    ...atMostAll(maxUnavailable, `${at}.maxUnavailable`),
  ];
  if (maxUnavailable !== undefined && isZero(maxUnavailable))
    errors.push(invalid(`${at}.maxUnavailable`, maxUnavailable, "cannot be 0"));
  return errors;
}

const managementPolicies = ["OrderedReady", "Parallel"];
const retentionPolicies = ["Retain", "Delete"];

function validateRetention(policy: appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy): FieldError[] {
  const path = "spec.persistentVolumeClaimRetentionPolicy";
  return (["whenDeleted", "whenScaled"] as const)
    .filter((name) => !retentionPolicies.includes(policy[name] ?? "Retain"))
    .map((name) => ({
      type: "FieldValueNotSupported",
      field: `${path}.${name}`,
      message: `Unsupported value: ${JSON.stringify(policy[name])}: supported values: "Delete", "Retain"`,
    }));
}

/** The template as its pods will be: with a volume for each claim. */
function withClaimVolumes({ template, volumeClaimTemplates = [] }: appsv1.StatefulSetSpec) {
  const claims = volumeClaimTemplates.map((claim) => claim.metadata?.name ?? "");
  const own = (template.spec?.volumes ?? []).filter((volume) => !claims.includes(volume.name));
  const volumes: corev1.Volume[] = [
    ...own,
    ...claims.map((name) => ({ name, persistentVolumeClaim: { claimName: name } })),
  ];
  return { ...template, spec: { ...(template.spec as corev1.PodSpec), volumes } };
}

function validateStatefulSet(set: StatefulSet): FieldError[] {
  const { spec } = set;
  const policy = spec.podManagementPolicy;
  const errors: FieldError[] = [];
  if (!policy) errors.push(required("spec.podManagementPolicy"));
  else if (!managementPolicies.includes(policy))
    errors.push(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"));
  errors.push(
    ...validateStrategy(spec.updateStrategy ?? {}),
    ...validateRetention(spec.persistentVolumeClaimRetentionPolicy ?? {}),
    ...nonNegative(spec.replicas, "spec.replicas"),
    ...nonNegative(spec.minReadySeconds, "spec.minReadySeconds"),
    ...nonNegative(spec.ordinals?.start, "spec.ordinals.start"),
    ...nonNegative(spec.revisionHistoryLimit, "spec.revisionHistoryLimit"),
    ...(spec.serviceName ? dnsSubdomainErrors(spec.serviceName) : []).map((e) =>
      invalid("spec.serviceName", spec.serviceName, e),
    ),
    ...validateRunningWorkload({ ...spec, template: withClaimVolumes(spec) }, "StatefulSet"),
  );
  return errors;
}

const forbiddenUpdate =
  "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

function fixedPart(spec: Readonly<appsv1.StatefulSetSpec>): unknown {
  const { podManagementPolicy, selector, serviceName, volumeClaimTemplates } = spec;
  return { podManagementPolicy, selector, serviceName, volumeClaimTemplates };
}

function validateStatus(set: StatefulSet): FieldError[] {
  const status = set.status ?? emptyStatus();
  const counts = [
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
  ] as const;
  const errors = counts.flatMap((name) => nonNegative(status[name], `status.${name}`));
  for (const name of ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] as const) {
    if ((status[name] ?? 0) > (status.replicas ?? 0))
      errors.push(invalid(`status.${name}`, status[name], "cannot be greater than status.replicas"));
  }
  return errors;
}

function statefulSetWarnings(set: StatefulSet, old: StatefulSet | undefined): string[] {
  const claims = (set.spec.volumeClaimTemplates ?? []).flatMap(({ spec }, i) =>
    spec ? claimSpecWarnings(spec, `spec.volumeClaimTemplates[${i}]`) : [],
  );
  const limit =
    (set.spec.revisionHistoryLimit ?? 0) < 0
      ? [
          "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended",
        ]
      : [];
  return [...workloadWarnings(set, old), ...claims, ...limit];
}

export const statefulSets = defineResource<appsv1.StatefulSet>({
  group: "apps",
  version: "v1",
  resource: "statefulsets",
  kind: "StatefulSet",
  typeName: "io.k8s.api.apps.v1.StatefulSet",
  namespaced: true,
  shortNames: ["sts"],
  categories: ["all"],
  hasGeneration: true,
  subresources: {
    scale: { kind: "Scale", group: "autoscaling", version: "v1", verbs: ["get", "patch", "update"] },
    status: { kind: "StatefulSet", verbs: ["get", "patch", "update"] },
  },
  // Pods take their host name from it.
  validateName: nameIsDnsLabel,
  defaults: defaultStatefulSet,
  onCreate(set) {
    set.status = emptyStatus();
  },
  validate: validateStatefulSet,
  warnings: statefulSetWarnings,
  validateUpdate: (set, old) => [
    ...validateStatefulSet(set),
    ...(sameJson(fixedPart(set.spec), fixedPart(old.spec)) ? [] : [forbiddenField("spec", forbiddenUpdate)]),
  ],
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column(
      "Ready",
      "string",
      "Number of the pod with ready state",
      (s) => `${s.status?.readyReplicas ?? 0}/${s.spec.replicas ?? 0}`,
    ),
    ageColumn(),
    ...containerColumns<appsv1.StatefulSet>((s) => s.spec.template.spec),
  ],
});
