/** PodDisruptionBudget. https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/pod-disruption-budget-v1/ */
import { atMostAll, validateIntOrPercent } from "../apps/int-or-percent.ts";
import { nonNegative } from "../core/pod-spec/template.ts";
import type { policyv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, notSupported } from "../meta/field-error.ts";
import { validateLabelSelector } from "../meta/label-selector.ts";

type Budget = Readonly<policyv1.PodDisruptionBudget>;

const evictionPolicies = ["AlwaysAllow", "IfHealthyBudget"];

function validateBudget({ spec }: Budget): FieldError[] {
  const { minAvailable, maxUnavailable, unhealthyPodEvictionPolicy } = spec;
  const errors: FieldError[] = [];
  if (minAvailable !== undefined && maxUnavailable !== undefined)
    errors.push(invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set"));
  errors.push(
    ...validateIntOrPercent(minAvailable, "spec.minAvailable"),
    ...atMostAll(minAvailable, "spec.minAvailable"),
    ...validateIntOrPercent(maxUnavailable, "spec.maxUnavailable"),
    ...atMostAll(maxUnavailable, "spec.maxUnavailable"),
    ...validateLabelSelector(spec.selector, "spec.selector"),
  );
  if (unhealthyPodEvictionPolicy !== undefined && !evictionPolicies.includes(unhealthyPodEvictionPolicy))
    errors.push(
      notSupported("spec.unhealthyPodEvictionPolicy", unhealthyPodEvictionPolicy, evictionPolicies),
    );
  return errors;
}

function validateStatus({ status }: Budget): FieldError[] {
  const counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] as const;
  return counts.flatMap((name) => nonNegative(status?.[name], `status.${name}`));
}

const emptyStatus = (): policyv1.PodDisruptionBudgetStatus => ({
  currentHealthy: 0,
  desiredHealthy: 0,
  disruptionsAllowed: 0,
  expectedPods: 0,
});

export const podDisruptionBudgets = defineResource<policyv1.PodDisruptionBudget>({
  group: "policy",
  version: "v1",
  resource: "poddisruptionbudgets",
  kind: "PodDisruptionBudget",
  typeName: "io.k8s.api.policy.v1.PodDisruptionBudget",
  namespaced: true,
  shortNames: ["pdb"],
  hasGeneration: true,
  subresources: { status: { kind: "PodDisruptionBudget", verbs: ["get", "patch", "update"] } },
  defaults(budget) {
    budget.spec ??= {};
    budget.status ??= emptyStatus();
  },
  onCreate(budget) {
    budget.status = emptyStatus();
  },
  validate: validateBudget,
  validateStatusUpdate: validateStatus,
  columns: [
    nameColumn(),
    column("Min Available", "string", "The number of pods that must be available.", (b) =>
      String(b.spec?.minAvailable ?? "N/A"),
    ),
    column("Max Unavailable", "string", "The number of pods that can be unavailable.", (b) =>
      String(b.spec?.maxUnavailable ?? "N/A"),
    ),
    column(
      "Allowed Disruptions",
      "integer",
      "Calculated number of pods that may be disrupted at this time.",
      (b) => b.status?.disruptionsAllowed ?? 0,
    ),
    ageColumn(),
  ],
});
