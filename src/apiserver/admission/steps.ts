/**
 * Every admission step, in the order in which they decide: one line each.
 * https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
 */
import { type ResourceDefinition, storedOf } from "#api";
import type { Authorizer } from "../authorization/authorizer.ts";
import { privilegeEscalation } from "../authorization/escalation.ts";
import type { RbacAuthorizer } from "../authorization/rbac.ts";
import { customOf } from "../customresources/custom-definition.ts";
import { celRules } from "../customresources/rules-admission.ts";
import { podSecurity } from "../podsecurity/pod-security.ts";
import { checkExpressions } from "../policies/check-expressions.ts";
import { mutatingPolicies } from "../policies/mutating.ts";
import { validatingPolicies } from "../policies/validating.ts";
import type { Registry } from "../registry/context.ts";
import type { Storage } from "../registry/storage.ts";
import { mutatingWebhooks } from "../webhooks/mutating.ts";
import { validatingWebhooks } from "../webhooks/validating.ts";
import type { WebhookClient } from "../webhooks/webhook-client.ts";
import type { AdmissionStep } from "./admission.ts";
import { claimStatus } from "./claim-status.ts";
import { defaultIngressClass, defaultStorageClass } from "./default-class.ts";
import { deviceClaims } from "./device-claims.ts";
import { limitRanger } from "./limit-ranger.ts";
import { namespaceLifecycle } from "./namespace-lifecycle.ts";
import { nodeDeclaredFeatures } from "./node-declared-features.ts";
import { nodeRestriction } from "./node-restriction.ts";
import { defaultTolerationSeconds } from "./pod-defaults.ts";
import { priority } from "./priority.ts";
import { resourceQuota } from "./resource-quota.ts";
import { runtimeClass } from "./runtime-class.ts";
import { serviceAccount } from "./service-account.ts";
import { type ServiceAllocationOptions, serviceAllocation } from "./service-allocation.ts";
import { persistentVolumeClaimResize, storageObjectInUseProtection } from "./storage-objects.ts";

interface AdmissionParts {
  storage: Storage;
  rbac: RbacAuthorizer;
  authorizer: Authorizer;
  webhooks: WebhookClient;
  services: ServiceAllocationOptions;
  /** Asked for with the first write: it is made of these steps. */
  registry(): Registry;
}

export function admissionSteps(parts: AdmissionParts): readonly AdmissionStep[] {
  const { storage, rbac, authorizer, webhooks, services, registry } = parts;
  const asked = { storage, authorizer, client: webhooks, versionsOf: versionsIn(storage) };
  return [
    namespaceLifecycle(storage),
    serviceAccount(storage),
    priority(storage),
    defaultTolerationSeconds,
    runtimeClass(storage),
    limitRanger(storage),
    defaultStorageClass(storage),
    persistentVolumeClaimResize(storage),
    storageObjectInUseProtection,
    defaultIngressClass(storage),
    mutatingPolicies(asked, authorizer),
    mutatingWebhooks(asked),
    validatingPolicies(asked, authorizer),
    validatingWebhooks(asked),
    serviceAllocation(storage, services),
    celRules,
    deviceClaims(storage),
    claimStatus(authorizer),
    nodeDeclaredFeatures(storage),
    nodeRestriction(storage, authorizer),
    podSecurity(storage),
    checkExpressions,
    privilegeEscalation(rbac, authorizer),
    resourceQuota(storage, registry),
  ];
}

/** The served versions of the same objects. */
function versionsIn(storage: Storage): (definition: ResourceDefinition) => readonly ResourceDefinition[] {
  const homeOf = (definition: ResourceDefinition) => customOf(definition)?.storage ?? storedOf(definition);
  return (definition) => {
    const home = homeOf(definition);
    return storage.resources.definitions.filter((each) => homeOf(each) === home);
  };
}
