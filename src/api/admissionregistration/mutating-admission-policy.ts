/** MutatingAdmissionPolicy and its binding. https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/ */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import { defineVersion } from "../meta/define-version.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";
import { validateMatchConditions, validateVariables } from "./expressions.ts";
import { reinvocationPolicies } from "./mutating-webhook-configuration.ts";
import { validateParamKind, validateParamRef, validatePolicyName } from "./policy.ts";
import {
  defaultMatchResources,
  failurePolicies,
  validateMatchResources,
  validatePolicyChoice,
} from "./rules.ts";
import { paramRefCell } from "./validating-admission-policy.ts";

type Policy = Readonly<admissionregistrationv1.MutatingAdmissionPolicy>;
type Binding = Readonly<admissionregistrationv1.MutatingAdmissionPolicyBinding>;

const group = "admissionregistration.k8s.io";
const patchTypes = ["ApplyConfiguration", "JSONPatch"];

function validateMutation(mutation: Readonly<admissionregistrationv1.Mutation>, at: string): FieldError[] {
  const { patchType, applyConfiguration, jsonPatch } = mutation;
  if (!patchType) return [required(`${at}.patchType`)];
  const wrong = validatePolicyChoice(patchType, `${at}.patchType`, patchTypes);
  if (wrong.length > 0) return wrong;
  const [wanted, other] =
    patchType === "JSONPatch"
      ? (["jsonPatch", "applyConfiguration"] as const)
      : (["applyConfiguration", "jsonPatch"] as const);
  const given = { applyConfiguration, jsonPatch };
  const errors: FieldError[] = [];
  if (!given[wanted]) {
    errors.push(required(`${at}.${wanted}`, `must be specified when patchType is ${patchType}`));
  } else if (!given[wanted].expression?.trim())
    errors.push(required(`${at}.${wanted}.expression`, "expression is not specified"));
  if (given[other])
    errors.push(
      invalid(`${at}.${other}`, "{}", `${other} must not be specified when patchType is ${patchType}`),
    );
  return errors;
}

function validatePolicy({ spec = {} }: Policy): FieldError[] {
  return [
    ...(spec.failurePolicy === undefined
      ? [required("spec.failurePolicy")]
      : validatePolicyChoice(spec.failurePolicy, "spec.failurePolicy", failurePolicies)),
    ...validateParamKind(spec.paramKind, "spec.paramKind"),
    ...(spec.matchConstraints
      ? validateMatchResources(spec.matchConstraints, "spec.matchConstraints", true)
      : [required("spec.matchConstraints")]),
    ...validateMatchConditions(spec.matchConditions, "spec.matchConditions"),
    ...validateVariables(spec.variables, "spec.variables"),
    ...(spec.mutations?.length
      ? spec.mutations.flatMap((each, i) => validateMutation(each, `spec.mutations[${i}]`))
      : [required("spec.mutations", "mutations must contain at least one item")]),
    ...(spec.reinvocationPolicy === undefined
      ? [required("spec.reinvocationPolicy")]
      : validatePolicyChoice(spec.reinvocationPolicy, "spec.reinvocationPolicy", reinvocationPolicies)),
  ];
}

export const mutatingAdmissionPolicies = defineResource<admissionregistrationv1.MutatingAdmissionPolicy>({
  group,
  version: "v1",
  resource: "mutatingadmissionpolicies",
  kind: "MutatingAdmissionPolicy",
  typeName: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy",
  namespaced: false,
  categories: ["api-extensions"],
  hasGeneration: true,
  defaults(policy) {
    policy.spec ??= {};
    policy.spec.failurePolicy ??= "Fail";
    if (policy.spec.matchConstraints) defaultMatchResources(policy.spec.matchConstraints);
  },
  validate: validatePolicy,
  columns: [
    nameColumn(),
    column(
      "Mutations",
      "integer",
      "Mutation indicates the number of mutations rules defined in this configuration",
      (policy) => policy.spec?.mutations?.length ?? 0,
    ),
    column(
      "ParamKind",
      "string",
      "ParamKind specifies the kind of resources used to parameterize this policy",
      (policy) =>
        policy.spec.paramKind
          ? `${policy.spec.paramKind.apiVersion}/${policy.spec.paramKind.kind}`
          : "<unset>",
    ),
    ageColumn(),
  ],
});

export const mutatingAdmissionPolicyBindings =
  defineResource<admissionregistrationv1.MutatingAdmissionPolicyBinding>({
    group,
    version: "v1",
    resource: "mutatingadmissionpolicybindings",
    kind: "MutatingAdmissionPolicyBinding",
    typeName: "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding",
    namespaced: false,
    categories: ["api-extensions"],
    hasGeneration: true,
    defaults(binding) {
      binding.spec ??= {};
      if (binding.spec.matchResources) defaultMatchResources(binding.spec.matchResources);
    },
    validate: ({ spec = {} }: Binding) => [
      ...validatePolicyName(spec.policyName, "spec.policyName"),
      ...validateParamRef(spec.paramRef, "spec.paramRef"),
      ...(spec.matchResources
        ? validateMatchResources(spec.matchResources, "spec.matchResources", false)
        : []),
    ],
    columns: [
      nameColumn(),
      column(
        "PolicyName",
        "string",
        "PolicyName indicates the policy definition which the policy binding binded to",
        (b) => b.spec?.policyName ?? "",
      ),
      column(
        "ParamRef",
        "string",
        "ParamRef indicates the param resource which sets the configuration param",
        (b) => paramRefCell(b.spec?.paramRef),
      ),
      ageColumn(),
    ],
  });

const older = ["v1beta1", "v1alpha1"] as const;

/** The same shapes under the names they had before. */
export const olderMutatingAdmissionPolicies = older.flatMap((version) => [
  defineVersion(mutatingAdmissionPolicies, {
    version,
    typeName: `io.k8s.api.admissionregistration.${version}.MutatingAdmissionPolicy`,
    defaults: mutatingAdmissionPolicies.defaults,
  }),
  defineVersion(mutatingAdmissionPolicyBindings, {
    version,
    typeName: `io.k8s.api.admissionregistration.${version}.MutatingAdmissionPolicyBinding`,
    defaults: mutatingAdmissionPolicyBindings.defaults,
  }),
]);
