/** CertificateSigningRequest. https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/certificate-signing-request-v1/ */
import { X509Certificate } from "node:crypto";
import { sameJson } from "../core/pod-spec/template.ts";
import type { certificatesv1 } from "../generated/types/index.ts";
import { ageColumn, column, defineResource, nameColumn } from "../meta/define-resource.ts";
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from "../meta/field-error.ts";
import { formatAge, formatTime } from "../meta/time.ts";
import { signerNameErrors } from "../validation/signer-name.ts";
import { pemBlocks } from "./pem.ts";
import { parseSigningRequest } from "./pkcs10.ts";

type Request = Readonly<certificatesv1.CertificateSigningRequest>;
type Condition = certificatesv1.CertificateSigningRequestCondition;

const expirationSecondsMin = 600;
const legacySigner = "kubernetes.io/legacy-unknown";
const usages = [
  "any",
  "cert sign",
  "client auth",
  "code signing",
  "content commitment",
  "crl sign",
  "data encipherment",
  "decipher only",
  "digital signature",
  "email protection",
  "encipher only",
  "ipsec end system",
  "ipsec tunnel",
  "ipsec user",
  "key agreement",
  "key encipherment",
  "microsoft sgc",
  "netscape sgc",
  "ocsp signing",
  "s/mime",
  "server auth",
  "signing",
  "timestamping",
];
const decisions = ["Approved", "Denied"];
const onlyTrue = ["Approved", "Denied", "Failed"];

/** Undefined when the request is one, signed by the owner of its key. */
function requestError(base64: string): string | undefined {
  const [block] = pemBlocks(Buffer.from(base64, "base64").toString("latin1"));
  if (block?.type !== "CERTIFICATE REQUEST") return "PEM block type must be CERTIFICATE REQUEST";
  try {
    return parseSigningRequest(block.bytes).signatureError;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function certificateError(base64: string): string | undefined {
  if (!base64) return undefined;
  const blocks = pemBlocks(Buffer.from(base64, "base64").toString("latin1"));
  if (blocks.length === 0) return "must contain at least one CERTIFICATE PEM block";
  for (const { type, hasHeaders, bytes } of blocks) {
    if (type !== "CERTIFICATE")
      return `only CERTIFICATE PEM blocks are allowed, found ${JSON.stringify(type)}`;
    if (hasHeaders) return "no PEM block headers are permitted";
    try {
      new X509Certificate(bytes);
    } catch {
      return "x509: malformed certificate";
    }
  }
  return undefined;
}

/** What was wrong already may stay as it is. */
function validateRequest(request: Request, old?: Request): FieldError[] {
  const { spec, status = {} } = request;
  const errors: FieldError[] = [];
  const wrong = requestError(spec.request ?? "");
  if (wrong) errors.push(invalid("spec.request", spec.request ?? "", wrong));
  const given = spec.usages ?? [];
  if (given.length === 0) errors.push(required("spec.usages"));
  for (const [i, usage] of given.entries()) {
    const field = `spec.usages[${i}]`;
    if (!usages.includes(usage)) errors.push(notSupported(field, usage, usages));
    if (given.indexOf(usage) < i) errors.push(duplicate(field, usage));
  }
  errors.push(...validateSigner(spec.signerName ?? ""));
  const seconds = spec.expirationSeconds;
  if (seconds !== undefined && seconds < expirationSecondsMin) {
    const detail = "may not specify a duration less than 600 seconds (10 minutes)";
    errors.push(invalid("spec.expirationSeconds", seconds, detail));
  }
  errors.push(...validateConditions(status.conditions ?? []));
  const certificate = status.certificate ?? "";
  const before = old?.status?.certificate ?? "";
  const tolerated = old && (certificate === before || certificateError(before) !== undefined);
  const why = tolerated ? undefined : certificateError(certificate);
  if (why) errors.push(invalid("status.certificate", "<certificate data>", why));
  return errors;
}

function validateSigner(name: string): FieldError[] {
  if (name !== legacySigner) return signerNameErrors(name, "spec.signerName");
  return [invalid("spec.signerName", name, "the legacy signerName is not allowed via this API version")];
}

function validateConditions(conditions: readonly Condition[]): FieldError[] {
  const path = "status.conditions";
  const seen = new Set<string>();
  return conditions.flatMap(({ type = "", status = "" }, i) => {
    const at = `${path}[${i}]`;
    const errors: FieldError[] = type ? [] : [required(`${at}.type`)];
    const allowed = onlyTrue.includes(type) ? ["True"] : ["False", "True", "Unknown"];
    if (!status) errors.push(required(`${at}.status`));
    else if (!allowed.includes(status)) errors.push(notSupported(`${at}.status`, status, allowed));
    const other = decisions.find((decision) => decision !== type);
    if (decisions.includes(type) && other && seen.has(other)) {
      const detail = "Approved and Denied conditions are mutually exclusive";
      errors.push(invalid(path, type, detail));
    }
    if (seen.has(type)) errors.push(duplicate(`${at}.type`, type));
    seen.add(type);
    return errors;
  });
}

const ofType = ({ status }: Request, type: string) =>
  (status?.conditions ?? []).filter((condition) => condition.type === type);

interface Powers {
  decide?: boolean;
  issue?: boolean;
}

function validateChange(request: Request, old: Request, { decide, issue }: Powers): FieldError[] {
  const path = "status.conditions";
  const errors = validateRequest(request, old);
  for (const type of onlyTrue) {
    if (ofType(request, type).length < ofType(old, type).length)
      errors.push(forbiddenField(path, `updates may not remove a condition of type "${type}"`));
  }
  for (const type of decide ? [] : decisions) {
    const [now, before] = [ofType(request, type), ofType(old, type)];
    if (now.length > before.length)
      errors.push(forbiddenField(path, `updates may not add a condition of type "${type}"`));
    else if (now.length === before.length && !sameJson(now, before))
      errors.push(forbiddenField(path, `updates may not modify a condition of type "${type}"`));
  }
  const [certificate, before] = [request.status?.certificate ?? "", old.status?.certificate ?? ""];
  if (certificate === before) return errors;
  if (!issue) errors.push(forbiddenField("status.certificate", "updates may not set certificate content"));
  else if (before)
    errors.push(forbiddenField("status.certificate", "updates may not modify existing certificate content"));
  return errors;
}

/** Times that nobody told: of the update now, of a transition when the condition came. */
function fillTimes(request: certificatesv1.CertificateSigningRequest, old: Request, nowMs: number): void {
  const now = formatTime(nowMs);
  for (const condition of request.status?.conditions ?? []) {
    condition.lastUpdateTime ??= now;
    const before = ofType(old, condition.type).find(
      (each) => each.status === condition.status && each.lastTransitionTime,
    );
    condition.lastTransitionTime ??= before?.lastTransitionTime ?? now;
  }
}

/** A status may not touch decisions: where their number is the same, they stay as they were. */
function keepDecisions(request: certificatesv1.CertificateSigningRequest, old: Request): void {
  for (const type of decisions) {
    const before = ofType(old, type);
    if (before.length === 0 || before.length !== ofType(request, type).length) continue;
    let next = 0;
    request.status.conditions = (request.status.conditions ?? []).map((condition) =>
      condition.type === type ? { ...before[next++]! } : condition,
    );
  }
}

/** The `approval` subresource: only conditions change. In place. */
export function keepAllButApproval(
  request: certificatesv1.CertificateSigningRequest,
  old: Request,
  nowMs: number,
): void {
  request.status ??= {};
  fillTimes(request, old, nowMs);
  const { conditions } = request.status;
  request.spec = old.spec;
  request.status = { ...old.status, ...(conditions ? { conditions } : {}) };
  if (!conditions) delete request.status.conditions;
}

export function validateApproval(request: Request, old: Request): FieldError[] {
  return validateChange(request, old, { decide: true });
}

function conditionText(request: Request): string {
  const has = (type: string) => ofType(request, type).length > 0;
  let text = "Pending";
  if (has("Denied")) text = "Denied";
  else if (has("Approved")) text = "Approved";
  if (has("Failed")) text += ",Failed";
  return request.status?.certificate ? `${text},Issued` : text;
}

export const certificateSigningRequests = defineResource<certificatesv1.CertificateSigningRequest>({
  group: "certificates.k8s.io",
  version: "v1",
  resource: "certificatesigningrequests",
  kind: "CertificateSigningRequest",
  typeName: "io.k8s.api.certificates.v1.CertificateSigningRequest",
  namespaced: false,
  shortNames: ["csr"],
  subresources: {
    approval: { kind: "CertificateSigningRequest", verbs: ["get", "patch", "update"] },
    status: { kind: "CertificateSigningRequest", verbs: ["get", "patch", "update"] },
  },
  // Any name that can stand in a path.
  validateName: () => [],
  defaults(request) {
    request.spec ??= {} as certificatesv1.CertificateSigningRequestSpec;
  },
  onCreate(request, { user }) {
    const { username, uid, groups, extra, ...spec } = request.spec;
    request.spec = {
      ...spec,
      ...(user?.username ? { username: user.username } : {}),
      ...(user?.uid ? { uid: user.uid } : {}),
      ...(user?.groups.length ? { groups: [...user.groups] } : {}),
      ...(user?.extra && Object.keys(user.extra).length > 0
        ? { extra: Object.fromEntries(Object.entries(user.extra).map(([k, v]) => [k, [...v]])) }
        : {}),
    };
    request.status = {};
  },
  onUpdate(request, old) {
    request.spec = old.spec;
    request.status = old.status ?? {};
  },
  onStatusUpdate(request, old, { nowMs }) {
    request.spec = old.spec;
    request.status ??= {};
    keepDecisions(request, old);
    fillTimes(request, old, nowMs);
  },
  validate: (request) => validateRequest(request),
  validateUpdate: (request, old) => validateChange(request, old, {}),
  validateStatusUpdate: (request, old) => validateChange(request, old, { issue: true }),
  selectableFields: { "spec.signerName": ({ spec }) => spec.signerName ?? "" },
  columns: [
    nameColumn(),
    ageColumn(),
    column("SignerName", "string", "Who is asked to sign.", ({ spec }) => spec.signerName || "<none>"),
    column("Requestor", "string", "Who asks.", ({ spec }) => spec.username ?? ""),
    column("RequestedDuration", "string", "How long the certificate is to be valid.", ({ spec }) =>
      spec.expirationSeconds === undefined ? "<none>" : formatAge(spec.expirationSeconds * 1000),
    ),
    column("Condition", "string", "What has been decided, and done.", conditionText),
  ],
});
