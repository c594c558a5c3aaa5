/** Every resource this project serves: one line each. Discovery, OpenAPI and the API server read nothing else. */

import {
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  olderMutatingAdmissionPolicies,
} from "./admissionregistration/mutating-admission-policy.ts";
import { mutatingWebhookConfigurations } from "./admissionregistration/mutating-webhook-configuration.ts";
import {
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
} from "./admissionregistration/validating-admission-policy.ts";
import { validatingWebhookConfigurations } from "./admissionregistration/validating-webhook-configuration.ts";
import { customResourceDefinitions } from "./apiextensions/index.ts";
import { apiServices } from "./apiregistration/api-service.ts";
import { controllerRevisions } from "./apps/controller-revision.ts";
import { daemonSets } from "./apps/daemon-set.ts";
import { deployments } from "./apps/deployment.ts";
import { replicaSets } from "./apps/replica-set.ts";
import { statefulSets } from "./apps/stateful-set.ts";
import { selfSubjectReviews, tokenReviews } from "./authentication/reviews.ts";
import {
  localSubjectAccessReviews,
  selfSubjectAccessReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
} from "./authorization/reviews.ts";
import { horizontalPodAutoscalers } from "./autoscaling/horizontal-pod-autoscaler.ts";
import { horizontalPodAutoscalersV1 } from "./autoscaling/horizontal-pod-autoscaler-v1.ts";
import { cronJobs } from "./batch/cron-job.ts";
import { jobs } from "./batch/job.ts";
import { certificateSigningRequests } from "./certificates/certificate-signing-request.ts";
import { clusterTrustBundles, clusterTrustBundlesV1alpha1 } from "./certificates/cluster-trust-bundle.ts";
import { podCertificateRequests } from "./certificates/pod-certificate-request.ts";
import { leases } from "./coordination/lease.ts";
import { leaseCandidates, leaseCandidatesV1alpha2 } from "./coordination/lease-candidate.ts";
import { bindings } from "./core/binding.ts";
import { componentStatuses } from "./core/component-status.ts";
import { configMaps } from "./core/config-map.ts";
import { endpoints } from "./core/endpoints.ts";
import { events } from "./core/event.ts";
import { limitRanges } from "./core/limit-range.ts";
import { namespaces } from "./core/namespace.ts";
import { nodes } from "./core/node.ts";
import { persistentVolumes } from "./core/persistent-volume.ts";
import { persistentVolumeClaims } from "./core/persistent-volume-claim.ts";
import { pods } from "./core/pod.ts";
import { podTemplates } from "./core/pod-template.ts";
import { replicationControllers } from "./core/replication-controller.ts";
import { resourceQuotas } from "./core/resource-quota.ts";
import { secrets } from "./core/secret.ts";
import { services } from "./core/service.ts";
import { serviceAccounts } from "./core/service-account.ts";
import { endpointSlices } from "./discovery/endpoint-slice.ts";
import { eventsV1 } from "./events/event.ts";
import { flowSchemas } from "./flowcontrol/flow-schema.ts";
import { priorityLevelConfigurations } from "./flowcontrol/priority-level.ts";
import { storageVersions } from "./internal/storage-version.ts";
import type { ResourceDefinition } from "./meta/definition.ts";
import type { GroupVersionKind } from "./meta/schema.ts";
import { ingresses } from "./networking/ingress.ts";
import { ingressClasses } from "./networking/ingress-class.ts";
import { ipAddresses, ipAddressesV1beta1 } from "./networking/ip-address.ts";
import { networkPolicies } from "./networking/network-policy.ts";
import { serviceCidrs, serviceCidrsV1beta1 } from "./networking/service-cidr.ts";
import { runtimeClasses } from "./node/runtime-class.ts";
import { podDisruptionBudgets } from "./policy/pod-disruption-budget.ts";
import { clusterRoles } from "./rbac/cluster-role.ts";
import { clusterRoleBindings } from "./rbac/cluster-role-binding.ts";
import { roles } from "./rbac/role.ts";
import { roleBindings } from "./rbac/role-binding.ts";
import { deviceClasses, deviceClassesV1beta1, deviceClassesV1beta2 } from "./resource/device-class.ts";
import { deviceTaintRules, deviceTaintRulesV1alpha3 } from "./resource/device-taint-rule.ts";
import { resourceClaims, resourceClaimsV1beta1, resourceClaimsV1beta2 } from "./resource/resource-claim.ts";
import {
  resourceClaimTemplates,
  resourceClaimTemplatesV1beta1,
  resourceClaimTemplatesV1beta2,
} from "./resource/resource-claim-template.ts";
import { resourcePoolStatusRequests } from "./resource/resource-pool-status-request.ts";
import { resourceSlices, resourceSlicesV1beta1, resourceSlicesV1beta2 } from "./resource/resource-slice.ts";
import { podGroups } from "./scheduling/pod-group.ts";
import { priorityClasses } from "./scheduling/priority-class.ts";
import { workloads } from "./scheduling/workload.ts";
import { csiDrivers } from "./storage/csi-driver.ts";
import { csiNodes } from "./storage/csi-node.ts";
import { csiStorageCapacities } from "./storage/csi-storage-capacity.ts";
import { storageClasses } from "./storage/storage-class.ts";
import { volumeAttachments } from "./storage/volume-attachment.ts";
import {
  volumeAttributesClasses,
  volumeAttributesClassesV1beta1,
} from "./storage/volume-attributes-class.ts";
import { storageVersionMigrations } from "./storagemigration/storage-version-migration.ts";

export const resourceDefinitions: readonly ResourceDefinition[] = [
  configMaps,
  endpoints,
  events,
  namespaces,
  nodes,
  pods,
  secrets,
  serviceAccounts,
  services,
  controllerRevisions,
  daemonSets,
  deployments,
  replicaSets,
  statefulSets,
  cronJobs,
  jobs,
  leases,
  endpointSlices,
  podDisruptionBudgets,
  priorityClasses,
  ingresses,
  ingressClasses,
  networkPolicies,
  ipAddresses,
  ipAddressesV1beta1,
  serviceCidrs,
  serviceCidrsV1beta1,
  storageClasses,
  volumeAttachments,
  csiDrivers,
  csiNodes,
  csiStorageCapacities,
  volumeAttributesClasses,
  volumeAttributesClassesV1beta1,
  customResourceDefinitions,
  apiServices,
  mutatingWebhookConfigurations,
  validatingWebhookConfigurations,
  validatingAdmissionPolicies,
  validatingAdmissionPolicyBindings,
  mutatingAdmissionPolicies,
  mutatingAdmissionPolicyBindings,
  ...olderMutatingAdmissionPolicies,
  leaseCandidates,
  leaseCandidatesV1alpha2,
  podGroups,
  workloads,
  storageVersionMigrations,
  storageVersions,
  deviceClasses,
  deviceClassesV1beta1,
  deviceClassesV1beta2,
  resourceClaims,
  resourceClaimsV1beta1,
  resourceClaimsV1beta2,
  resourceClaimTemplates,
  resourceClaimTemplatesV1beta1,
  resourceClaimTemplatesV1beta2,
  resourceSlices,
  resourceSlicesV1beta1,
  resourceSlicesV1beta2,
  deviceTaintRules,
  deviceTaintRulesV1alpha3,
  resourcePoolStatusRequests,
  selfSubjectReviews,
  tokenReviews,
  localSubjectAccessReviews,
  selfSubjectAccessReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
  bindings,
  componentStatuses,
  limitRanges,
  podTemplates,
  replicationControllers,
  resourceQuotas,
  runtimeClasses,
  clusterRoles,
  clusterRoleBindings,
  roles,
  roleBindings,
  persistentVolumes,
  persistentVolumeClaims,
  horizontalPodAutoscalers,
  horizontalPodAutoscalersV1,
  certificateSigningRequests,
  clusterTrustBundles,
  clusterTrustBundlesV1alpha1,
  podCertificateRequests,
  eventsV1,
  flowSchemas,
  priorityLevelConfigurations,
];

/** Those with objects, each storage once: reviews are only answered, further versions live in their stored one's. */
export const storedDefinitions: readonly ResourceDefinition[] = resourceDefinitions.filter(
  (definition) =>
    definition.verbs.includes("create") && definition.verbs.includes("list") && !definition.storedAs,
);

const byResource = new Map(resourceDefinitions.map((d) => [`${d.group}/${d.version}/${d.resource}`, d]));
const byKind = new Map(resourceDefinitions.map((d) => [`${d.group}/${d.version}/${d.kind}`, d]));

/** By the plural in paths. */
export function definitionOf(
  group: string,
  version: string,
  resource: string,
): ResourceDefinition | undefined {
  return byResource.get(`${group}/${version}/${resource}`);
}

export function definitionOfKind(gvk: GroupVersionKind): ResourceDefinition | undefined {
  return byKind.get(`${gvk.group}/${gvk.version}/${gvk.kind}`);
}
