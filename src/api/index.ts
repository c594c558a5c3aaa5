export {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
} from "./admissionregistration/mutating-admission-policy.ts";
export { mutatingWebhookConfigurations } from "./admissionregistration/mutating-webhook-configuration.ts";
export {
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "./admissionregistration/validating-admission-policy.ts";
export { validatingWebhookConfigurations } from "./admissionregistration/validating-webhook-configuration.ts";
export * from "./apiextensions/index.ts";
export * from "./apiregistration/api-service.ts";
export * from "./apiregistration/priorities.ts";
export { controllerRevisions } from "./apps/controller-revision.ts";
export { daemonSets } from "./apps/daemon-set.ts";
export { deployments } from "./apps/deployment.ts";
export { replicaSets } from "./apps/replica-set.ts";
export { statefulSets } from "./apps/stateful-set.ts";
export { selfSubjectReviews, tokenReviews } from "./authentication/reviews.ts";
export {
  localSubjectAccessReviews,
  selfSubjectAccessReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
} from "./authorization/reviews.ts";
export { horizontalPodAutoscalers } from "./autoscaling/horizontal-pod-autoscaler.ts";
export { horizontalPodAutoscalersV1 } from "./autoscaling/horizontal-pod-autoscaler-v1.ts";
export { cronJobs } from "./batch/cron-job.ts";
export { jobs } from "./batch/job.ts";
export { parseSchedule, type Schedule, ScheduleError } from "./batch/schedule.ts";
export {
  certificateSigningRequests,
  keepAllButApproval,
  validateApproval,
} from "./certificates/certificate-signing-request.ts";
export { clusterTrustBundles, clusterTrustBundlesV1alpha1 } from "./certificates/cluster-trust-bundle.ts";
export { pemBlocks } from "./certificates/pem.ts";
export { podCertificateRequests } from "./certificates/pod-certificate-request.ts";
export { leases } from "./coordination/lease.ts";
export { bindings } from "./core/binding.ts";
export { componentStatuses } from "./core/component-status.ts";
export { configMaps } from "./core/config-map.ts";
export { endpoints } from "./core/endpoints.ts";
export { events } from "./core/event.ts";
export { limitRanges } from "./core/limit-range.ts";
export { namespaces } from "./core/namespace.ts";
export { nodes } from "./core/node.ts";
export {
  isTolerated,
  type NodePredicate,
  type NodeTraits,
  requiredNodes,
  termMatches,
} from "./core/node-selection.ts";
export { persistentVolumes } from "./core/persistent-volume.ts";
export { persistentVolumeClaims } from "./core/persistent-volume-claim.ts";
export { pods } from "./core/pod.ts";
export { imagePullPolicyOf } from "./core/pod-spec/defaults.ts";
export { declaredFeatures, featuresOfPod, featuresOfUpdate } from "./core/pod-spec/node-features.ts";
export { qosClassOf } from "./core/pod-spec/qos.ts";
export { keepAllButResources, validateResize } from "./core/pod-spec/resize.ts";
export { sameJson } from "./core/pod-spec/template.ts";
export {
  keepAllButEphemeralContainers,
  validateEphemeralContainersUpdate,
} from "./core/pod-spec/validate-pod.ts";
export { podTemplates } from "./core/pod-template.ts";
export { replicationControllers } from "./core/replication-controller.ts";
export { resourceQuotas } from "./core/resource-quota.ts";
export { secrets } from "./core/secret.ts";
export { services } from "./core/service.ts";
export { serviceAccounts } from "./core/service-account.ts";
export {
  dayMs,
  dayOf,
  invalidSinceLabel,
  lastUsedLabel,
  secretNamesOf,
  serviceAccountTokenType,
  tokenTracking,
} from "./core/service-account-tokens.ts";
export { validateClusterAddresses } from "./core/service-addresses.ts";
export { tolerates } from "./core/taints.ts";
export { storageClassOf } from "./core/volume-claims.ts";
export { endpointSlices } from "./discovery/endpoint-slice.ts";
export { eventsV1 } from "./events/event.ts";
export {
  autoUpdateAnnotation,
  mandatoryFlowSchemas,
  mandatoryPriorityLevels,
  suggestedFlowSchemas,
  suggestedPriorityLevels,
} from "./flowcontrol/defaults.ts";
export { flowSchemas } from "./flowcontrol/flow-schema.ts";
export { priorityLevelConfigurations } from "./flowcontrol/priority-level.ts";
export { servedResources } from "./generated/resources.ts";
export type * from "./generated/types/index.ts";
export * from "./meta/copy.ts";
export * from "./meta/decode.ts";
export { ageColumn, column, defineResource, nameColumn } from "./meta/define-resource.ts";
export { defineVersion, storedOf } from "./meta/define-version.ts";
export * from "./meta/definition.ts";
export * from "./meta/descriptions.ts";
export * from "./meta/field-error.ts";
export * from "./meta/field-selector.ts";
export * from "./meta/int-or-string.ts";
export * from "./meta/label-selector.ts";
export * from "./meta/parse-json.ts";
export * from "./meta/protobuf.ts";
export { WireReader, WireWriter } from "./meta/protobuf-wire.ts";
export * from "./meta/quantity.ts";
export * from "./meta/resource-type.ts";
export * from "./meta/schema.ts";
export type * from "./meta/served-resource.ts";
export * from "./meta/status.ts";
export * from "./meta/table.ts";
export * from "./meta/time.ts";
export { ingresses } from "./networking/ingress.ts";
export { ingressClasses } from "./networking/ingress-class.ts";
export { ipAddresses } from "./networking/ip-address.ts";
export { networkPolicies } from "./networking/network-policy.ts";
export { defaultServiceCidrName, serviceCidrs } from "./networking/service-cidr.ts";
export { runtimeClasses } from "./node/runtime-class.ts";
export { podDisruptionBudgets } from "./policy/pod-disruption-budget.ts";
export {
  type Amounts,
  addAmounts,
  formatAmounts,
  maxAmounts,
  pickAmounts,
  subtractAmounts,
} from "./quota/amounts.ts";
export { podAmounts } from "./quota/pod-amounts.ts";
export { countName, isInScope, quotaUsage, unspecified } from "./quota/usage.ts";
export { clusterRoles } from "./rbac/cluster-role.ts";
export { clusterRoleBindings } from "./rbac/cluster-role-binding.ts";
export { roles } from "./rbac/role.ts";
export { roleBindings } from "./rbac/role-binding.ts";
export * from "./registry.ts";
export { deviceClasses } from "./resource/device-class.ts";
export { deviceTaintRules } from "./resource/device-taint-rule.ts";
export { resourceClaims } from "./resource/resource-claim.ts";
export { resourceClaimTemplates } from "./resource/resource-claim-template.ts";
export { resourceSlices } from "./resource/resource-slice.ts";
export { ruleTaintsDevice, toleratesDeviceTaint } from "./resource/taints.ts";
export { podGroups } from "./scheduling/pod-group.ts";
export { priorityClasses, systemPriorityClasses } from "./scheduling/priority-class.ts";
export { csiDrivers } from "./storage/csi-driver.ts";
export { csiNodes } from "./storage/csi-node.ts";
export { csiStorageCapacities } from "./storage/csi-storage-capacity.ts";
export { isDefaultStorageClass, storageClasses } from "./storage/storage-class.ts";
export { volumeAttachments } from "./storage/volume-attachment.ts";
export { volumeAttributesClasses } from "./storage/volume-attributes-class.ts";
export { storageVersionMigrations } from "./storagemigration/storage-version-migration.ts";
export { cidrRange, formatAddress, parseAddress } from "./validation/addresses.ts";
export * from "./validation/names.ts";
export * from "./validation/object-meta.ts";
