/** Every controller there is. One line each; the contract suite runs on all of them. */
import { admissionPolicyStatusController } from "./admission-policy-status.ts";
import { horizontalPodAutoscalerController } from "./autoscaling/controller.ts";
import {
  csrApprovingController,
  csrCleanerController,
  csrSigningController,
  podCertificateCleanerController,
} from "./certificates/controllers.ts";
import { clusterRoleAggregationController } from "./cluster-role-aggregation.ts";
import { cronJobController } from "./cron-job/controller.ts";
import { daemonSetController } from "./daemon-set/controller.ts";
import { deploymentController } from "./deployment/controller.ts";
import { deviceTaintEvictionController } from "./devices/device-taint-eviction.ts";
import { disruptionController } from "./disruption.ts";
import { endpointSliceController } from "./endpoints/endpoint-slice.ts";
import { endpointSliceMirroringController } from "./endpoints/endpoint-slice-mirroring.ts";
import { endpointsController } from "./endpoints/endpoints.ts";
import { garbageCollector } from "./garbage-collector.ts";
import { jobController } from "./job/controller.ts";
import { jobOrphanPodController } from "./job/orphan-pods.ts";
import type { Controller } from "./kit/define-controller.ts";
import { legacyTokenCleanerController } from "./legacy-token-cleaner.ts";
import { namespaceController } from "./namespace.ts";
import { loadBalancerController } from "./network/load-balancer.ts";
import { serviceCidrController } from "./network/service-cidr.ts";
import { nodeIpamController } from "./node/node-ipam.ts";
import { nodeLifecycleController } from "./node/node-lifecycle.ts";
import { taintEvictionController } from "./node/taint-eviction.ts";
import { ttlController } from "./node/ttl.ts";
import { podGarbageCollector } from "./pod-garbage-collector.ts";
import { podGroupProtectionController } from "./pod-group-protection.ts";
import { replicaSetController } from "./replicas/replica-set.ts";
import { replicationController } from "./replicas/replication-controller.ts";
import { resourceClaimController } from "./resource-claims.ts";
import { resourceQuotaController } from "./resource-quota.ts";
import { rootCaController } from "./root-ca.ts";
import { serviceAccountController } from "./service-account.ts";
import { serviceAccountTokenController } from "./service-account-token.ts";
import { statefulSetController } from "./stateful-set/controller.ts";
import { storageVersionMigrationController } from "./storage-version-migration.ts";
import { tokenCleanerController } from "./token-cleaner.ts";
import { ttlAfterFinishedController } from "./ttl-after-finished.ts";
import { attachDetachController } from "./volumes/attach-detach.ts";
import { persistentVolumeController } from "./volumes/binder.ts";
import { ephemeralVolumeController } from "./volumes/ephemeral.ts";
import { volumeExpandController } from "./volumes/expand.ts";
import { localPathController } from "./volumes/local-path.ts";
import {
  attributesClassProtectionController,
  claimProtectionController,
  volumeProtectionController,
} from "./volumes/protection.ts";

export const controllers: readonly Controller[] = [
  deploymentController,
  replicaSetController,
  replicationController,
  daemonSetController,
  statefulSetController,
  jobController,
  cronJobController,
  jobOrphanPodController,
  ttlAfterFinishedController,
  disruptionController,
  horizontalPodAutoscalerController,
  endpointSliceController,
  endpointsController,
  endpointSliceMirroringController,
  persistentVolumeController,
  claimProtectionController,
  volumeProtectionController,
  attributesClassProtectionController,
  ephemeralVolumeController,
  volumeExpandController,
  localPathController,
  attachDetachController,
  resourceClaimController,
  podGroupProtectionController,
  deviceTaintEvictionController,
  serviceCidrController,
  loadBalancerController,
  admissionPolicyStatusController,
  tokenCleanerController,
  storageVersionMigrationController,
  serviceAccountController,
  serviceAccountTokenController,
  legacyTokenCleanerController,
  resourceQuotaController,
  rootCaController,
  csrApprovingController,
  csrSigningController,
  csrCleanerController,
  podCertificateCleanerController,
  clusterRoleAggregationController,
  namespaceController,
  garbageCollector,
  nodeLifecycleController,
  nodeIpamController,
  taintEvictionController,
  ttlController,
  podGarbageCollector,
];
