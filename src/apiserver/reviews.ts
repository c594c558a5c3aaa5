/**
 * Answers about who somebody is and what they may do, from the authenticator and the authorizer that stand.
 * https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
 */
import {
  type authenticationv1,
  type authorizationv1,
  badRequest,
  formatTime,
  invalidObject,
  type KubernetesObject,
  localSubjectAccessReviews,
  type ResourceDefinition,
  selfSubjectAccessReviews,
  selfSubjectReviews,
  selfSubjectRulesReviews,
  subjectAccessReviews,
  tokenReviews,
} from "#api";
import type { Authenticator } from "./authentication/authenticator.ts";
import type { Attributes } from "./authorization/attributes.ts";
import type { Authorizer } from "./authorization/authorizer.ts";
import { expectedKindOf } from "./http/body.ts";
import type { ApiResponse } from "./http/exchange.ts";
import { type Call, plainOutcome, readObject, targetOf, withWarnings } from "./http/verbs.ts";
import { type User, userInfoOf } from "./user.ts";

interface Judges {
  authenticator: Authenticator;
  authorizer: Authorizer;
}

type Review = KubernetesObject & { spec?: object; status?: object };
type Answer = (review: Review, call: Call, judges: Judges) => object | Promise<object>;

const answers: ReadonlyMap<ResourceDefinition, Answer> = new Map<ResourceDefinition, Answer>([
  [tokenReviews as ResourceDefinition, tokenStatus],
  [selfSubjectReviews as ResourceDefinition, (_, { request }) => ({ userInfo: userInfoOf(request.user) })],
  [
    selfSubjectAccessReviews as ResourceDefinition,
    (review, { request }, { authorizer }) => accessStatus(authorizer, request.user, review.spec),
  ],
  [subjectAccessReviews as ResourceDefinition, subjectStatus],
  [localSubjectAccessReviews as ResourceDefinition, subjectStatus],
  [selfSubjectRulesReviews as ResourceDefinition, rulesStatus],
]);

/** Undefined for resources that are stored. */
export function answerReview(call: Call, judges: Judges): Promise<ApiResponse> | undefined {
  const answer = answers.get(call.definition);
  return answer && respond(call, judges, answer);
}

async function respond(call: Call, judges: Judges, answer: Answer): Promise<ApiResponse> {
  const { definition, registry } = call;
  const warnings: string[] = [];
  const review: Review = await readObject(call, expectedKindOf(definition), warnings);
  const { namespace } = targetOf(call);
  const given = review.metadata.namespace;
  if (definition.namespaced && given && given !== namespace) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
  const creationTimestamp = formatTime(registry.world.clock.now());
  const metadata = { ...(definition.namespaced ? { namespace } : {}), creationTimestamp };
  const object = { ...review, metadata } as Review;
  const errors = definition.validate(object);
  if (errors.length > 0) throw invalidObject(definition, "", errors);
  object.status = await answer(object, call, judges);
  return withWarnings(await plainOutcome(call, { code: 201, object }), warnings);
}

async function tokenStatus(
  review: Review,
  _: Call,
  { authenticator }: Judges,
): Promise<authenticationv1.TokenReviewStatus> {
  const { token = "", audiences = [] } = (review as Partial<authenticationv1.TokenReview>).spec ?? {};
  if (!token) throw badRequest("token is required for TokenReview in authentication");
  const found = await authenticator.review(token, audiences);
  if (!found) return { user: {}, error: "invalid bearer token" };
  return { authenticated: true, user: userInfoOf(found.user), audiences: found.audiences };
}

function accessStatus(
  authorizer: Authorizer,
  user: User,
  spec: Readonly<authorizationv1.SubjectAccessReviewSpec> = {},
): authorizationv1.SubjectAccessReviewStatus {
  const { allowed, reason } = authorizer.authorize(askedOf(user, spec));
  return { allowed, ...(reason ? { reason } : {}) };
}

function askedOf(user: User, spec: Readonly<authorizationv1.SubjectAccessReviewSpec>): Attributes {
  const { resourceAttributes: asked, nonResourceAttributes: other } = spec;
  if (!asked) return { user, verb: other?.verb ?? "", path: other?.path ?? "" };
  const {
    verb = "",
    group = "",
    version = "",
    resource = "",
    subresource = "",
    namespace = "",
    name = "",
  } = asked;
  return { user, verb, path: "", resource: { group, version, resource, subresource, namespace, name } };
}

function subjectStatus(
  review: Review,
  _: Call,
  { authorizer }: Judges,
): authorizationv1.SubjectAccessReviewStatus {
  const spec = review.spec as authorizationv1.SubjectAccessReviewSpec;
  const { user: username = "", groups = [], uid, extra } = spec;
  const user = { username, groups, ...(uid ? { uid } : {}), ...(extra ? { extra } : {}) };
  return accessStatus(authorizer, user, spec);
}

function rulesStatus(
  review: Review,
  { request }: Call,
  { authorizer }: Judges,
): authorizationv1.SubjectRulesReviewStatus {
  const { spec } = review as Partial<authorizationv1.SelfSubjectRulesReview>;
  if (!spec?.namespace) throw badRequest("no namespace on request");
  const { rules, errors } = authorizer.rulesFor(request.user, spec.namespace);
  const status: authorizationv1.SubjectRulesReviewStatus = {
    resourceRules: rules
      .filter((rule) => rule.resources?.length)
      .map(({ verbs, apiGroups = [], resources = [], resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames?.length ? { resourceNames } : {}),
      })),
    nonResourceRules: rules
      .filter((rule) => rule.nonResourceURLs?.length)
      .map(({ verbs, nonResourceURLs = [] }) => ({ verbs, nonResourceURLs })),
    incomplete: errors.length > 0,
  };
  return errors.length > 0 ? { ...status, evaluationError: errors.join(", ") } : status;
}
