/**
 * The question an admission webhook is asked, and what its answer means.
 * https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
 */
import {
  type admissionregistrationv1,
  type GroupVersionKind,
  isObject,
  type KubernetesObject,
  type metav1,
  type ResourceDefinition,
  StatusError,
  type StatusReason,
} from "#api";
import type { Attributes } from "../admission/admission.ts";
import { userInfoOf } from "../user.ts";

/** The object in the version that the webhook is to see. */
export interface Question {
  uid: string;
  attributes: Attributes;
  version: ResourceDefinition;
  object: KubernetesObject | undefined;
  old: Readonly<KubernetesObject> | undefined;
}

export interface Verdict {
  allowed: boolean;
  status: Partial<metav1.Status> | undefined;
  /** Operations of a JSON patch. */
  patch: unknown;
  warnings: readonly string[];
}

/** The newest version of the question that both sides know; undefined if there is none. */
export function reviewVersionOf(
  hook: Readonly<admissionregistrationv1.ValidatingWebhook>,
): "v1" | "v1beta1" | undefined {
  return hook.admissionReviewVersions.find((version) => version === "v1" || version === "v1beta1") as
    | "v1"
    | "v1beta1"
    | undefined;
}

const kindOf = ({ group, version, kind }: GroupVersionKind) => ({ group, version, kind });
const resourceOf = ({ group, version, resource }: ResourceDefinition) => ({ group, version, resource });

export function reviewOf(question: Question, apiVersion: string): Record<string, unknown> {
  const { object, old, uid } = question;
  const request = { uid, ...admissionRequestOf(question), object: object ?? null, oldObject: old ?? null };
  return { kind: "AdmissionReview", apiVersion: `admission.k8s.io/${apiVersion}`, request };
}

/** The request without its objects. */
export function admissionRequestOf(question: Question): Record<string, unknown> {
  const { attributes, version } = question;
  const { subresource, operation, dryRun, user, namespace } = attributes;
  const requested = attributes.requested ?? attributes.definition;
  const kind = subresource ? subresourceKind(version, subresource) : kindOf(version);
  const requestKind = subresource ? subresourceKind(requested, subresource) : kindOf(requested);
  return {
    kind: attributes.kind ?? kind,
    resource: resourceOf(version),
    ...(subresource ? { subResource: subresource } : {}),
    requestKind: attributes.kind ?? requestKind,
    requestResource: resourceOf(requested),
    ...(subresource ? { requestSubResource: subresource } : {}),
    ...(attributes.name ? { name: attributes.name } : {}),
    ...(namespace ? { namespace } : {}),
    operation,
    userInfo: userInfoOf(user),
    dryRun,
    options: attributes.options ?? null,
  };
}

/** `status` speaks of the object itself, the others of a kind of their own. */
function subresourceKind(definition: ResourceDefinition, subresource: string): GroupVersionKind {
  const own = definition.subresources[subresource];
  const { group, version } = definition;
  return { group: own?.group ?? group, version: own?.version ?? version, kind: own?.kind ?? definition.kind };
}

/** Throws what upstream says of an answer that is none. */
export function verdictOf(answer: unknown, uid: string, apiVersion: string): Verdict {
  if (!isObject(answer)) throw new Error("webhook response is not an AdmissionReview");
  const expected = `admission.k8s.io/${apiVersion}, Kind=AdmissionReview`;
  const got = `${answer.apiVersion ?? ""}, Kind=${answer.kind ?? ""}`;
  if (got !== expected) throw new Error(`expected webhook response of ${expected}, got ${got}`);
  const { response } = answer;
  if (!isObject(response)) throw new Error("webhook response was absent");
  if (response.uid !== uid)
    throw new Error(
      `expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid ?? "")}`,
    );
  return {
    allowed: response.allowed === true,
    status: isObject(response.status) ? (response.status as Partial<metav1.Status>) : undefined,
    patch: patchOf(response),
    warnings: Array.isArray(response.warnings) ? response.warnings.map(String) : [],
  };
}

function patchOf({ patch, patchType }: Record<string, unknown>): unknown {
  if (patch === undefined || patch === null || patch === "") {
    if (patchType !== undefined && patchType !== null)
      throw new Error("webhook response contains patchType but not patch");
    return undefined;
  }
  if (patchType === undefined || patchType === null || patchType === "")
    throw new Error("webhook returned response.patch but not response.patchType");
  if (patchType !== "JSONPatch")
    throw new Error(`webhook returned invalid response.patchType of ${JSON.stringify(patchType)}`);
  return JSON.parse(Buffer.from(String(patch), "base64").toString("utf8")) as unknown;
}

/** The refusal of a webhook, with its own code and words. */
export function denial(hookName: string, status: Partial<metav1.Status> | undefined): StatusError {
  const denied = `admission webhook ${JSON.stringify(hookName)} denied the request`;
  const why = status?.message || status?.reason;
  const message = why ? `${denied}: ${why}` : `${denied} without explanation`;
  const code = Number(status?.code) || 0;
  const refusal = StatusError.of(code >= 400 && code <= 599 ? code : 400, "" as StatusReason, message);
  const reason = status?.reason ? { reason: String(status.reason) } : {};
  const details = isObject(status?.details) ? { details: status.details as metav1.StatusDetails } : {};
  return new StatusError({ ...refusal.status, reason: "", ...reason, ...details });
}
