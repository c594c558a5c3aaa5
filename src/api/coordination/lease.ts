/** Lease. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/ */
import type { coordinationv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, invalid } from "../meta/field-error.ts";
import { validateLeaseStrategy } from "./strategy-names.ts";

function validateLease(lease: Readonly<coordinationv1.Lease>): FieldError[] {
  const errors: FieldError[] = [];
  const { leaseDurationSeconds, leaseTransitions, strategy, preferredHolder } = lease.spec ?? {};
  if (leaseDurationSeconds !== undefined && leaseDurationSeconds <= 0) {
    errors.push(invalid("spec.leaseDurationSeconds", leaseDurationSeconds, "must be greater than 0"));
  }
  if (leaseTransitions !== undefined && leaseTransitions < 0) {
    errors.push(invalid("spec.leaseTransitions", leaseTransitions, "must be greater than or equal to 0"));
  }
  if (strategy !== undefined) errors.push(...validateLeaseStrategy(strategy));
  if (preferredHolder && !strategy) {
    const why = "may only be specified if `strategy` is defined";
    errors.push(forbiddenField("spec.preferredHolder", why));
  }
  return errors;
}

export const leases = defineResource<coordinationv1.Lease>({
  group: "coordination.k8s.io",
  version: "v1",
  resource: "leases",
  kind: "Lease",
  typeName: "io.k8s.api.coordination.v1.Lease",
  namespaced: true,
  defaults(lease) {
    lease.spec ??= {};
  },
  validate: validateLease,
  columns: [
    nameColumn(),
    column("Holder", "string", "The holder of the lease.", (l) => l.spec?.holderIdentity ?? ""),
    ageColumn(),
  ],
});
