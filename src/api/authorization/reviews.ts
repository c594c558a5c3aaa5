/**
 * Questions about what somebody may do. They are answered, never stored.
 * https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/
 */
import type { authorizationv1 } from "../generated/types/index.ts";
import { defineResource } from "../meta/define-resource.ts";
import type { Verb } from "../meta/definition.ts";
import { type FieldError, invalid, required } from "../meta/field-error.ts";

const common: { group: string; version: string; verbs: readonly Verb[] } = {
  group: "authorization.k8s.io",
  version: "v1",
  verbs: ["create"],
};

/** May I? */
export const selfSubjectAccessReviews = defineResource<authorizationv1.SelfSubjectAccessReview>({
  ...common,
  resource: "selfsubjectaccessreviews",
  kind: "SelfSubjectAccessReview",
  typeName: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
  namespaced: false,
  validate: ({ spec }) => validateAction(spec),
});

/** May that user? */
export const subjectAccessReviews = defineResource<authorizationv1.SubjectAccessReview>({
  ...common,
  resource: "subjectaccessreviews",
  kind: "SubjectAccessReview",
  typeName: "io.k8s.api.authorization.v1.SubjectAccessReview",
  namespaced: false,
  validate: ({ spec }) => validateSubject(spec),
});

/** May that user, in this namespace? */
export const localSubjectAccessReviews = defineResource<authorizationv1.LocalSubjectAccessReview>({
  ...common,
  resource: "localsubjectaccessreviews",
  kind: "LocalSubjectAccessReview",
  typeName: "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
  namespaced: true,
  validate: ({ spec, metadata }) => [...validateSubject(spec), ...validateLocal(spec, metadata.namespace)],
});

/** What may I do in a namespace? */
export const selfSubjectRulesReviews = defineResource<authorizationv1.SelfSubjectRulesReview>({
  ...common,
  resource: "selfsubjectrulesreviews",
  kind: "SelfSubjectRulesReview",
  typeName: "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
  namespaced: false,
});

type Spec = Readonly<authorizationv1.SubjectAccessReviewSpec> | undefined;

function validateAction(spec: Spec): FieldError[] {
  const { resourceAttributes, nonResourceAttributes } = spec ?? {};
  if (resourceAttributes && nonResourceAttributes) {
    const why = "cannot be specified in combination with resourceAttributes";
    return [invalid("spec.nonResourceAttributes", nonResourceAttributes, why)];
  }
  if (resourceAttributes || nonResourceAttributes) return [];
  const why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
  return [invalid("spec.resourceAttributes", resourceAttributes ?? null, why)];
}

function validateSubject(spec: Spec): FieldError[] {
  const errors = validateAction(spec);
  const isNamed = Boolean(spec?.user) || (spec?.groups ?? []).length > 0;
  return isNamed
    ? errors
    : [...errors, required("spec.user", "at least one of user or group must be specified")];
}

function validateLocal(spec: Spec, namespace: string | undefined): FieldError[] {
  if (spec?.nonResourceAttributes) {
    const why = "disallowed on this kind of request";
    return [invalid("spec.nonResourceAttributes", spec.nonResourceAttributes, why)];
  }
  const wanted = spec?.resourceAttributes?.namespace;
  if (!spec?.resourceAttributes || wanted === namespace) return [];
  return [invalid("spec.resourceAttributes.namespace", wanted ?? "", "must match metadata.namespace")];
}
