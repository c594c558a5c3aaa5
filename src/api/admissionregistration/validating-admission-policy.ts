/** ValidatingAdmissionPolicy and its binding. https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ */
import type { admissionregistrationv1 } from "../generated/types/index.ts";
import {
  ageColumn,
  column,
  defineResource,
  keepAllButStatusWithMetadata,
  nameColumn,
} from "../meta/define-resource.ts";
import { duplicate, type FieldError, invalid, notSupported, required } from "../meta/field-error.ts";
import { requiredWith } from "../validation/checks.ts";
import { validateConditions } from "../validation/conditions.ts";
import { qualifiedNameErrors } from "../validation/names.ts";
import { validateMatchConditions, validateVariables } from "./expressions.ts";
import { validateParamKind, validateParamRef, validatePolicyName } from "./policy.ts";
import {
  defaultMatchResources,
  failurePolicies,
  validateMatchResources,
  validatePolicyChoice,
} from "./rules.ts";

type Policy = Readonly<admissionregistrationv1.ValidatingAdmissionPolicy>;
type Binding = Readonly<admissionregistrationv1.ValidatingAdmissionPolicyBinding>;

const reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized"];
const actions = ["Audit", "Deny", "Warn"];
const noSpec: Binding["spec"] = { policyName: "", validationActions: [] };
const messageMaxLength = 10_240;

function validateOne(validation: Readonly<admissionregistrationv1.Validation>, at: string): FieldError[] {
  const { expression, message, reason } = validation;
  const errors: FieldError[] = [];
  if (!expression?.trim()) errors.push(required(`${at}.expression`, "expression is not specified"));
  const trimmed = message?.trim() ?? "";
  if (message && !trimmed)
    errors.push(invalid(`${at}.message`, message, "message must be non-empty if specified"));
  else if (trimmed.includes("\n"))
    errors.push(invalid(`${at}.message`, message, "message must not contain line breaks"));
  else if (expression?.includes("\n") && !trimmed)
    errors.push(required(`${at}.message`, "message must be specified if expression contains line breaks"));
  if ((message?.length ?? 0) > messageMaxLength)
    errors.push(invalid(`${at}.message`, message, `message must be at most ${messageMaxLength} characters`));
  return [...errors, ...validatePolicyChoice(reason, `${at}.reason`, reasons)];
}

function validateAudit(
  annotations: readonly Readonly<admissionregistrationv1.AuditAnnotation>[] | undefined,
  at: string,
): FieldError[] {
  return (annotations ?? []).flatMap(({ key, valueExpression }, i) => {
    const path = `${at}[${i}]`;
    const errors = requiredWith(key, `${path}.key`, (value) => qualifiedNameErrors(`policy/${value}`));
    if (!valueExpression?.trim())
      errors.push(required(`${path}.valueExpression`, "valueExpression is not specified"));
    if (annotations!.findIndex((each) => each.key === key) !== i) errors.push(duplicate(`${path}.key`, key));
    return errors;
  });
}

function validatePolicy({ spec = {} }: Policy): FieldError[] {
  const errors = [
    ...validatePolicyChoice(spec.failurePolicy, "spec.failurePolicy", failurePolicies),
    ...validateParamKind(spec.paramKind, "spec.paramKind"),
    ...(spec.matchConstraints
      ? validateMatchResources(spec.matchConstraints, "spec.matchConstraints", true)
      : [required("spec.matchConstraints")]),
    ...validateMatchConditions(spec.matchConditions, "spec.matchConditions"),
    ...validateVariables(spec.variables, "spec.variables"),
    ...(spec.validations ?? []).flatMap((each, i) => validateOne(each, `spec.validations[${i}]`)),
    ...validateAudit(spec.auditAnnotations, "spec.auditAnnotations"),
  ];
  if (!spec.validations?.length && !spec.auditAnnotations?.length) {
    const why = "validations or auditAnnotations must contain at least one item";
    errors.push(required("spec.validations", why), required("spec.auditAnnotations", why));
  }
  return errors;
}

export const validatingAdmissionPolicies = defineResource<admissionregistrationv1.ValidatingAdmissionPolicy>({
  group: "admissionregistration.k8s.io",
  version: "v1",
  resource: "validatingadmissionpolicies",
  kind: "ValidatingAdmissionPolicy",
  typeName: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy",
  namespaced: false,
  categories: ["api-extensions"],
  hasGeneration: true,
  subresources: { status: { kind: "ValidatingAdmissionPolicy", verbs: ["get", "patch", "update"] } },
  onStatusUpdate: keepAllButStatusWithMetadata,
  defaults(policy) {
    policy.spec ??= {};
    policy.spec.failurePolicy ??= "Fail";
    if (policy.spec.matchConstraints) defaultMatchResources(policy.spec.matchConstraints);
  },
  validate: validatePolicy,
  validateStatusUpdate: ({ status }) => validateConditions(status?.conditions, "status.conditions"),
  columns: [
    nameColumn(),
    column(
      "Validations",
      "integer",
      "Validations indicates the number of validation rules defined in this configuration",
      (policy) => policy.spec?.validations?.length ?? 0,
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

function validateActions(given: readonly string[] | undefined, at: string): FieldError[] {
  if (!given?.length) return [required(at)];
  const errors = given.flatMap((action, i) => {
    const path = `${at}[${i}]`;
    if (!actions.includes(action)) return [notSupported(path, action, actions)];
    return given.indexOf(action) === i ? [] : [duplicate(path, action)];
  });
  if (given.includes("Deny") && given.includes("Warn")) {
    const why =
      "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
    errors.push(invalid(at, given, why));
  }
  return errors;
}

export const validatingAdmissionPolicyBindings =
  defineResource<admissionregistrationv1.ValidatingAdmissionPolicyBinding>({
    group: "admissionregistration.k8s.io",
    version: "v1",
    resource: "validatingadmissionpolicybindings",
    kind: "ValidatingAdmissionPolicyBinding",
    typeName: "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    namespaced: false,
    categories: ["api-extensions"],
    hasGeneration: true,
    defaults(binding) {
      binding.spec ??= { policyName: "", validationActions: [] };
      if (binding.spec.matchResources) defaultMatchResources(binding.spec.matchResources);
    },
    validate: ({ spec = noSpec }: Binding) => [
      ...validatePolicyName(spec.policyName, "spec.policyName"),
      ...validateParamRef(spec.paramRef, "spec.paramRef"),
      ...(spec.matchResources
        ? validateMatchResources(spec.matchResources, "spec.matchResources", false)
        : []),
      ...validateActions(spec.validationActions, "spec.validationActions"),
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
        "ParamRef indicates the param resource which sets the configration param",
        (b) => paramRefCell(b.spec?.paramRef),
      ),
      ageColumn(),
    ],
  });

/** Also of mutating policies' bindings. */
export function paramRefCell(ref: Readonly<admissionregistrationv1.ParamRef> | undefined): string {
  if (!ref) return "<unset>";
  if (!ref.name) return "*";
  return ref.namespace ? `${ref.namespace}/${ref.name}` : ref.name;
}
