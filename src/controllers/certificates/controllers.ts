/**
 * Approves kubelets' requests for certificates, signs what is approved, and removes what is over.
 * https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
import { X509Certificate } from "node:crypto";
import {
  type authorizationv1,
  certificateSigningRequests,
  type certificatesv1,
  type certificatesv1beta1,
  isStatus,
  podCertificateRequests,
  subjectAccessReviews,
} from "#api";
import { messageOf } from "#base";
import { isConditionTrue } from "../kit/conditions.ts";
import {
  after,
  type ControllerContext,
  defineController,
  done,
  type Outcome,
  readVerbs,
  rule,
} from "../kit/define-controller.ts";
import { createdMs } from "../kit/pods.ts";
import { kubeletClientSigner, recognize, signerError, signers } from "./signers.ts";
import type { SigningAuthority } from "./x509.ts";

/** Loads the certificate library with the first request: most clusters never see one. */
const certificates = () => import("./x509.ts");

type Request = Readonly<certificatesv1.CertificateSigningRequest>;

const group = "certificates.k8s.io";
const secondMs = 1000;
const hourMs = 3600 * secondMs;
const yearMs = 365 * 24 * hourMs;
const shortestMs = 600 * secondMs;
/** Clocks of those who look at it differ a little. */
const backdateMs = 5 * 60 * secondMs;

function isDecided({ status }: Request): boolean {
  return isConditionTrue(status?.conditions, "Approved") || isConditionTrue(status?.conditions, "Denied");
}

function pemOf({ spec }: Request): string {
  return Buffer.from(spec.request, "base64").toString("latin1");
}

function signerRule(verb: string, names: readonly string[]) {
  return { apiGroups: [group], resources: ["signers"], verbs: [verb], resourceNames: [...names] };
}

export const csrApprovingController = defineController<Request, Request>({
  name: "certificatesigningrequest-approving-controller",
  primary: certificateSigningRequests,
  concurrency: 1,
  rules: [
    rule(group, ["certificatesigningrequests"], [...readVerbs, "update"]),
    rule(group, ["certificatesigningrequests/approval"], ["update"]),
    rule("authorization.k8s.io", ["subjectaccessreviews"], ["create"]),
    signerRule("approve", [kubeletClientSigner]),
  ],
  observe: ({ informers }, key) => informers.of(certificateSigningRequests).byKey(key),
  decide: (request) => {
    const isOurs = request.spec.signerName === kubeletClientSigner;
    return isOurs && !isDecided(request) && !request.status?.certificate ? request : undefined;
  },
  async act(request, context): Promise<Outcome> {
    const { readRequest } = await certificates();
    const read = readRequest(pemOf(request));
    const tried: string[] = [];
    for (const { subresource, message } of recognize(request, read)) {
      tried.push(subresource);
      if (await mayCreate(request, subresource, context)) {
        const condition = { type: "Approved", status: "True", reason: "AutoApproved", message };
        return addCondition(request, condition, "approval", context);
      }
    }
    if (tried.length === 0) return done;
    const why = `recognized csr "${request.metadata.name}" as [${tried.join(" ")}] but subject access review was not approved`;
    return { kind: "retry", why };
  },
});

async function mayCreate(
  { spec }: Request,
  subresource: string,
  { client }: ControllerContext,
): Promise<boolean> {
  const { username, uid, groups, extra } = spec;
  const review = await client.create(subjectAccessReviews, {
    spec: {
      ...(username ? { user: username } : {}),
      ...(uid ? { uid } : {}),
      ...(groups ? { groups } : {}),
      ...(extra ? { extra } : {}),
      resourceAttributes: { group, resource: "certificatesigningrequests", verb: "create", subresource },
    },
  } as unknown as authorizationv1.SubjectAccessReview);
  return review.status?.allowed === true;
}

async function addCondition(
  request: Request,
  condition: Pick<
    certificatesv1.CertificateSigningRequestCondition,
    "type" | "status" | "reason" | "message"
  >,
  subresource: "approval" | "status",
  { client }: ControllerContext,
): Promise<Outcome> {
  const conditions = [...(request.status?.conditions ?? []), condition];
  await client.update(
    certificateSigningRequests,
    { ...request, status: { ...request.status, conditions } },
    { subresource },
  );
  return done;
}

interface Signing {
  request: Request;
  authority: SigningAuthority;
  longestMs: number;
}

export const csrSigningController = defineController<Signing, Signing>({
  name: "certificatesigningrequest-signing-controller",
  primary: certificateSigningRequests,
  concurrency: 2,
  rules: [
    rule(group, ["certificatesigningrequests"], readVerbs),
    rule(group, ["certificatesigningrequests/status"], ["update"]),
    signerRule("sign", signers),
  ],
  observe({ informers, options }, key) {
    const request = informers.of(certificateSigningRequests).byKey(key);
    const { authority, signingDurationMs: longestMs = yearMs } = options;
    return request && authority && { request, authority, longestMs };
  },
  decide(state) {
    const { spec, status } = state.request;
    const isApproved = isConditionTrue(status?.conditions, "Approved");
    const isOver = status?.certificate || isConditionTrue(status?.conditions, "Failed");
    return signers.includes(spec.signerName) && isApproved && !isOver ? state : undefined;
  },
  async act({ request, authority, longestMs }, context) {
    const { readRequest, sign } = await certificates();
    const pem = pemOf(request);
    let why: string | undefined;
    try {
      why = signerError(request, readRequest(pem));
    } catch (error) {
      why = `unable to parse csr "${request.metadata.name}": ${messageOf(error)}`;
    }
    if (why !== undefined) {
      const condition = { type: "Failed", status: "True", reason: "SignerValidationFailure", message: why };
      return addCondition(request, condition, "status", context);
    }
    const nowMs = context.world.clock.now();
    const order = {
      pem,
      usages: request.spec.usages ?? [],
      ...validity(request, authority, longestMs, nowMs),
    };
    const certificate = await sign(authority, order, context.world.random);
    const status = { ...request.status, certificate: Buffer.from(certificate).toString("base64") };
    await context.client.update(
      certificateSigningRequests,
      { ...request, status },
      { subresource: "status" },
    );
    return done;
  },
});

/** As long as was asked for, within bounds, and never longer than the authority itself. */
function validity({ spec }: Request, authority: SigningAuthority, longestMs: number, nowMs: number) {
  const askedMs = spec.expirationSeconds === undefined ? longestMs : spec.expirationSeconds * secondMs;
  const ttlMs = Math.min(longestMs, Math.max(shortestMs, askedMs));
  const { validTo } = new X509Certificate(authority.cert);
  return { notBeforeMs: nowMs - backdateMs, notAfterMs: Math.min(nowMs + ttlMs, Date.parse(validTo)) };
}

/** When a request is over, by what became of it: undefined while nothing tells. */
export function requestEndsMs(request: Request): number {
  const { conditions = [], certificate } = request.status ?? {};
  const since = (type: string) => {
    const condition = conditions.find((each) => each.type === type && each.status === "True");
    return condition && (Date.parse(condition.lastUpdateTime ?? "") || createdMs(request));
  };
  const ends = [since("Denied"), since("Failed"), certificate ? since("Approved") : undefined]
    .filter((ms) => ms !== undefined)
    .map((ms) => ms + hourMs);
  if (certificate) ends.push(expiryMs(certificate));
  // Nobody has decided, or whoever should sign does not.
  if (conditions.length === 0) ends.push(createdMs(request) + 24 * hourMs);
  return Math.min(...ends);
}

function expiryMs(certificate: string): number {
  try {
    const { validTo } = new X509Certificate(Buffer.from(certificate, "base64"));
    return Date.parse(validTo) || Number.POSITIVE_INFINITY;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Looked at so often at the latest: a timer of days would be no timer. */
const longestWaitMs = hourMs;

export const csrCleanerController = defineController<Request, { waitMs: number }>({
  name: "certificatesigningrequest-cleaner-controller",
  primary: certificateSigningRequests,
  concurrency: 1,
  rules: [rule(group, ["certificatesigningrequests"], [...readVerbs, "delete"])],
  observe: ({ informers }, key) => informers.of(certificateSigningRequests).byKey(key),
  decide: (request, nowMs) => ({ waitMs: requestEndsMs(request) - nowMs }),
  async act({ waitMs }, { client }, { metadata }) {
    if (waitMs > 0) return after(Math.min(longestWaitMs, waitMs));
    try {
      await client.delete(certificateSigningRequests, metadata, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
    return done;
  },
});

/** A kubelet waits for no request that is older: it has been answered, or nobody answers. */
const podRequestMs = 15 * 60 * secondMs;

export const podCertificateCleanerController = defineController<
  Readonly<certificatesv1beta1.PodCertificateRequest>,
  { waitMs: number }
>({
  name: "podcertificaterequest-cleaner-controller",
  primary: podCertificateRequests,
  concurrency: 1,
  rules: [rule(group, ["podcertificaterequests"], [...readVerbs, "delete"])],
  observe: ({ informers }, key) => informers.of(podCertificateRequests).byKey(key),
  decide: (request, nowMs) => ({ waitMs: createdMs(request) + podRequestMs - nowMs }),
  async act({ waitMs }, { client }, { metadata }) {
    if (waitMs > 0) return after(waitMs);
    try {
      await client.delete(podCertificateRequests, metadata, { preconditions: { uid: metadata.uid } });
    } catch (error) {
      if (!isStatus(error, "NotFound")) throw error;
    }
    return done;
  },
});
