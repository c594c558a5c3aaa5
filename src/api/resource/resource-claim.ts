/** ResourceClaim. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-claim-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { resourcev1, resourcev1beta1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithMetadata,
  nameColumn,
} from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { dropDeallocatedDevices, validateClaimStatus } from "./allocation.ts";
import { deprecationOf } from "./lifecycle.ts";
import { defaultDeviceClaim, validateDeviceClaim } from "./requests.ts";
import { defaultTolerations } from "./taints.ts";
import { claimFromStored, claimToStored, defaultOldClaim } from "./v1beta1-requests.ts";

function stateText({ metadata, status }: Readonly<resourcev1.ResourceClaim>): string {
  const states: string[] = [];
  if (metadata.deletionTimestamp) states.push("deleted");
  if (status?.allocation) {
    states.push("allocated");
    if (status.reservedFor?.length) states.push("reserved");
  } else if (!metadata.deletionTimestamp) states.push("pending");
  return states.join(",");
}

export const resourceClaims = defineResource<resourcev1.ResourceClaim>({
  group: "resource.k8s.io",
  version: "v1",
  resource: "resourceclaims",
  kind: "ResourceClaim",
  typeName: "io.k8s.api.resource.v1.ResourceClaim",
  namespaced: true,
  subresources: { status: { kind: "ResourceClaim", verbs: ["get", "patch", "update"] } },
  defaults(claim) {
    claim.spec ??= {};
    claim.spec.devices ??= {};
    claim.status ??= {};
    defaultDeviceClaim(claim.spec.devices);
    for (const { tolerations } of claim.status.allocation?.devices?.results ?? [])
      defaultTolerations(tolerations);
  },
  onStatusUpdate(claim, old) {
    keepAllButStatusWithMetadata(claim, old);
    dropDeallocatedDevices(claim, old);
  },
  validate: ({ spec }) => validateDeviceClaim(spec?.devices, "spec.devices"),
  validateUpdate: (claim, old) => immutable(claim.spec, old.spec, "spec"),
  validateStatusUpdate: validateClaimStatus,
  columns: [
    nameColumn(),
    column(
      "State",
      "string",
      "A summary of the current state (allocated, pending, reserved, etc.).",
      stateText,
    ),
    ageColumn(),
  ],
});

export const resourceClaimsV1beta2 = defineVersion(resourceClaims, {
  version: "v1beta2",
  typeName: "io.k8s.api.resource.v1beta2.ResourceClaim",
  deprecation: deprecationOf("v1beta2", "ResourceClaim"),
});

export const resourceClaimsV1beta1 = defineVersion<resourcev1beta1.ResourceClaim, resourcev1.ResourceClaim>(
  resourceClaims,
  {
    version: "v1beta1",
    typeName: "io.k8s.api.resource.v1beta1.ResourceClaim",
    deprecation: deprecationOf("v1beta1", "ResourceClaim"),
    defaults: (claim) => defaultOldClaim(claim.spec?.devices),
    toStored: (claim) => ({ ...claim, spec: { devices: claimToStored(claim.spec?.devices ?? {}) } }),
    fromStored: (claim) => ({ ...claim, spec: { devices: claimFromStored(claim.spec?.devices ?? {}) } }),
  },
);
