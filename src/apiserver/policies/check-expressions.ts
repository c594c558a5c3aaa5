/**
 * Refuses webhook configurations and policies whose expressions cannot be compiled.
 * https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
 */
import {
  type admissionregistrationv1,
  type FieldError,
  invalid,
  invalidObject,
  mutatingAdmissionPolicies,
  mutatingWebhookConfigurations,
  type ResourceDefinition,
  validatingAdmissionPolicies,
  validatingWebhookConfigurations,
} from "#api";
import { messageOf } from "#base";
import type { AdmissionStep } from "../admission/admission.ts";
import { PolicyEnvironment } from "./expressions.ts";

/** An expression, where it stands, and what it must come to; any type where none is named. */
type Expression = [field: string, text: string | undefined, type?: string];
type Conditions = readonly Readonly<admissionregistrationv1.MatchCondition>[] | undefined;
type Variables = readonly Readonly<admissionregistrationv1.Variable>[];

export const checkExpressions: AdmissionStep = {
  name: "AdmissionExpressions",
  validate({ definition, object, old, name, subresource }) {
    const expressionsOf = readers.get(definition);
    if (!expressionsOf || !object || subresource !== "") return;
    // What was accepted once stays good as it is.
    const known = old ? new Set(expressionsOf(old as never).all.map(([, text]) => text)) : new Set();
    const { all, variables } = expressionsOf(object as never);
    const fresh = all.filter(([, text]) => text?.trim() && !known.has(text));
    if (fresh.length === 0) return;
    const environment = new PolicyEnvironment(variables);
    const errors = fresh.flatMap(([field, text, type]) => problem(environment, field, text!, type));
    if (errors.length > 0) throw invalidObject(definition, name, errors);
  },
};

function problem(environment: PolicyEnvironment, field: string, text: string, type?: string): FieldError[] {
  try {
    const program = environment.compile(text);
    if (!type || program.type === type || program.type === "dyn") return [];
    return [invalid(field, text, `must evaluate to ${type}`)];
  } catch (error) {
    return [invalid(field, text, messageOf(error))];
  }
}

interface Expressions {
  all: Expression[];
  variables?: Variables;
}

function conditions(given: Conditions, at: string): Expression[] {
  return (given ?? []).map(({ expression }, i) => [`${at}[${i}].expression`, expression, "bool"]);
}

function ofWebhooks({ webhooks = [] }: admissionregistrationv1.ValidatingWebhookConfiguration): Expressions {
  return {
    all: webhooks.flatMap((each, i) => conditions(each.matchConditions, `webhooks[${i}].matchConditions`)),
  };
}

function variablesOf(variables: Variables): Expression[] {
  return variables.map(({ expression }, i) => [`spec.variables[${i}].expression`, expression]);
}

function ofValidating({ spec }: admissionregistrationv1.ValidatingAdmissionPolicy): Expressions {
  const { variables = [], validations = [], auditAnnotations = [], matchConditions } = spec;
  const all: Expression[] = [
    ...conditions(matchConditions, "spec.matchConditions"),
    ...variablesOf(variables),
    ...validations.flatMap(({ expression, messageExpression }, i): Expression[] => [
      [`spec.validations[${i}].expression`, expression, "bool"],
      [`spec.validations[${i}].messageExpression`, messageExpression, "string"],
    ]),
    ...auditAnnotations.map(
      ({ valueExpression }, i): Expression => [
        `spec.auditAnnotations[${i}].valueExpression`,
        valueExpression,
      ],
    ),
  ];
  return { all, variables };
}

function ofMutating({ spec }: admissionregistrationv1.MutatingAdmissionPolicy): Expressions {
  const { variables = [], mutations = [], matchConditions } = spec;
  const all: Expression[] = [
    ...conditions(matchConditions, "spec.matchConditions"),
    ...variablesOf(variables),
    ...mutations.flatMap(({ jsonPatch, applyConfiguration }, i): Expression[] => [
      [`spec.mutations[${i}].jsonPatch.expression`, jsonPatch?.expression],
      [`spec.mutations[${i}].applyConfiguration.expression`, applyConfiguration?.expression],
    ]),
  ];
  return { all, variables };
}

const readers = new Map<ResourceDefinition, (object: never) => Expressions>([
  [mutatingWebhookConfigurations as ResourceDefinition, ofWebhooks],
  [validatingWebhookConfigurations as ResourceDefinition, ofWebhooks],
  [validatingAdmissionPolicies as ResourceDefinition, ofValidating],
  [mutatingAdmissionPolicies as ResourceDefinition, ofMutating],
]);
