/**
 * Questions about who somebody is. They are answered, never stored.
 * https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/
 */
import type { authenticationv1 } from "../generated/types/index.ts";
import { defineResource } from "../meta/define-resource.ts";

const group = "authentication.k8s.io";

/** Whose token is this? */
export const tokenReviews = defineResource<authenticationv1.TokenReview>({
  group,
  version: "v1",
  resource: "tokenreviews",
  kind: "TokenReview",
  typeName: "io.k8s.api.authentication.v1.TokenReview",
  namespaced: false,
  verbs: ["create"],
});

/** Who am I? */
export const selfSubjectReviews = defineResource<authenticationv1.SelfSubjectReview>({
  group,
  version: "v1",
  resource: "selfsubjectreviews",
  kind: "SelfSubjectReview",
  typeName: "io.k8s.api.authentication.v1.SelfSubjectReview",
  namespaced: false,
  verbs: ["create"],
});
