/** PriorityClass. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/priority-class-v1/ */
import { immutable } from "../core/pod-spec/template.ts";
import type { schedulingv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, forbiddenField, notSupported } from "../meta/field-error.ts";

type PriorityClass = Readonly<schedulingv1.PriorityClass>;

const userMax = 1_000_000_000;
const systemPrefix = "system-";
const policies = ["Never", "PreemptLowerPriority"];

/** The classes that every cluster has from its start. */
export const systemPriorityClasses: readonly { name: string; value: number; description: string }[] = [
  {
    name: "system-node-critical",
    value: 2_000_001_000,
    description: "Used for system critical pods that must not be moved from their current node.",
  },
  {
    name: "system-cluster-critical",
    value: 2_000_000_000,
    description:
      "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
  },
];

function systemNameError({ metadata, value, globalDefault }: PriorityClass): string | undefined {
  const known = systemPriorityClasses.find((each) => each.name === metadata.name);
  if (!known) return `${metadata.name} is not a known system priority class`;
  if (value !== known.value) return `value of ${known.name} PriorityClass must be ${known.value}`;
  return globalDefault ? `globalDefault of ${known.name} PriorityClass must be false` : undefined;
}

function validatePriorityClass(priorityClass: PriorityClass): FieldError[] {
  const errors: FieldError[] = [];
  const { metadata, value = 0, preemptionPolicy } = priorityClass;
  if (metadata.name?.startsWith(systemPrefix)) {
    const why = systemNameError(priorityClass);
    const reserved = "priority class names with 'system-' prefix are reserved for system use only";
    if (why) errors.push(forbiddenField("metadata.name", `${reserved}. error: ${why}`));
  } else if (value > userMax) {
    const detail = `maximum allowed value of a user defined priority is ${userMax}`;
    errors.push(forbiddenField("value", detail));
  }
  if (preemptionPolicy !== undefined && !policies.includes(preemptionPolicy))
    errors.push(notSupported("preemptionPolicy", preemptionPolicy, policies));
  return errors;
}

export const priorityClasses = defineResource<schedulingv1.PriorityClass>({
  group: "scheduling.k8s.io",
  version: "v1",
  resource: "priorityclasses",
  kind: "PriorityClass",
  typeName: "io.k8s.api.scheduling.v1.PriorityClass",
  namespaced: false,
  shortNames: ["pc"],
  hasGeneration: true,
  defaults(priorityClass) {
    priorityClass.value ??= 0;
    priorityClass.preemptionPolicy ??= "PreemptLowerPriority";
  },
  validate: validatePriorityClass,
  validateUpdate: (priorityClass, old) => [
    ...validatePriorityClass(priorityClass),
    ...(priorityClass.value === old.value
      ? []
      : [forbiddenField("value", "may not be changed in an update.")]),
    ...immutable(priorityClass.preemptionPolicy, old.preemptionPolicy, "preemptionPolicy"),
  ],
  columns: [
    nameColumn(),
    column("Value", "integer", "The priority that pods of this class have.", (c) => c.value ?? 0),
    column(
      "Global-Default",
      "boolean",
      "Whether it is the class of pods that name none.",
      (c) => c.globalDefault ?? false,
    ),
    ageColumn(),
    column(
      "PreemptionPolicy",
      "string",
      "Whether its pods may displace pods of lower priority.",
      (c) => c.preemptionPolicy ?? "",
    ),
  ],
});
