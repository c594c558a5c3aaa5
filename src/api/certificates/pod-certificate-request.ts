/** PodCertificateRequest: a kubelet asks for a certificate of a pod. https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/pod-certificate-request-v1beta1/ */
import { constants, type KeyObject, verify } from "node:crypto";
import { immutable } from "../core/pod-spec/template.ts";
import type { certificatesv1beta1 } from "../generated/types/index.ts";
import { column, defineResource, keepAllButStatusWithMetadata, nameColumn } from "../meta/define-resource.ts";
import { type FieldError, invalid, required, tooLong } from "../meta/field-error.ts";
import { invalidEach } from "../validation/checks.ts";
import { dnsSubdomainErrors, validateAnnotations } from "../validation/names.ts";
import { signerNameErrors } from "../validation/signer-name.ts";
import { parseSigningRequest, publicKeyOf } from "./pkcs10.ts";
import { stateOf, validateCertificateStatus } from "./pod-certificate-status.ts";

type Request = Readonly<certificatesv1beta1.PodCertificateRequest>;
type Spec = Readonly<certificatesv1beta1.PodCertificateRequestSpec>;

const uidMaxLength = 128;
const secondsMin = 3600;
const secondsMax = 91 * 24 * 3600;
const kubernetesSecondsMax = 24 * 3600;
const materialMaxBytes = 10 * 1024;
const keyKinds = "unknown public key type; supported types are Ed25519, ECDSA, and RSA";
const curves = ["prime256v1", "secp384r1", "secp521r1"];

function validateIdentity(spec: Spec): FieldError[] {
  const names = ["podName", "serviceAccountName", "nodeName"] as const;
  const uids = ["podUID", "serviceAccountUID", "nodeUID"] as const;
  return names.flatMap((name, i) => {
    const uidName = uids[i]!;
    const [value, uid] = [spec[name] ?? "", spec[uidName] ?? ""];
    return [
      ...invalidEach(`spec.${name}`, value, dnsSubdomainErrors(value)),
      ...(uid ? [] : [invalid(`spec.${uidName}`, uid, "must not be empty")]),
      ...(uid.length > uidMaxLength ? [tooLong(`spec.${uidName}`, uidMaxLength)] : []),
    ];
  });
}

function validateLifetime({ maxExpirationSeconds: seconds, signerName = "" }: Spec): FieldError[] {
  const field = "spec.maxExpirationSeconds";
  if (seconds === undefined) return [required(field, "must be set")];
  const isOurs = /(^|\.)kubernetes\.io\//.test(signerName);
  const most = isOurs ? kubernetesSecondsMax : secondsMax;
  if (seconds >= secondsMin && seconds <= most) return [];
  return [invalid(field, seconds, `must be in the range [${secondsMin}, ${most}]`)];
}

/** A key proved by the request it signed, or (as before) by a signature of its own. */
function validateKey(spec: Spec): FieldError[] {
  const { stubPKCS10Request: stub, pkixPublicKey: key, proofOfPossession: proof } = spec;
  for (const name of ["stubPKCS10Request", "pkixPublicKey", "proofOfPossession"] as const) {
    if (Buffer.byteLength(spec[name] ?? "", "base64") > materialMaxBytes)
      return [tooLong(`spec.${name}`, materialMaxBytes)];
  }
  if (Boolean(stub) === Boolean(key || proof)) {
    const detail = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set";
    return [{ type: "FieldValueInvalid", field: "spec", message: `Invalid value: ${detail}` }];
  }
  return stub ? validateStub(stub) : validateProof(key ?? "", proof ?? "", spec.podUID ?? "");
}

function validateStub(base64: string): FieldError[] {
  const field = "spec.stubPKCS10Request";
  try {
    const { publicKey, signatureError } = parseSigningRequest(Buffer.from(base64, "base64"));
    const errors = keyErrors(publicKey, field, base64);
    if (errors.length > 0 || !signatureError) return errors;
    return [invalid(field, base64, "signature must verify against the public key in the request")];
  } catch {
    return [invalid(field, base64, "must be a valid PKCS#10 certificate signing request")];
  }
}

function keyErrors(key: KeyObject, field: string, base64: string): FieldError[] {
  const { namedCurve = "", modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case "ed25519":
      return [];
    case "ec": {
      const detail = "elliptic public keys must use curve P256 or P384";
      return curves.includes(namedCurve) ? [] : [invalid(field, `curve ${namedCurve}`, detail)];
    }
    case "rsa": {
      const detail = "RSA keys must have modulus size 3072 or 4096";
      const fits = modulusLength === 3072 || modulusLength === 4096;
      return fits ? [] : [invalid(field, `${modulusLength}-bit modulus`, detail)];
    }
    default:
      return [invalid(field, base64, keyKinds)];
  }
}

function parsedKey(base64: string): KeyObject | undefined {
  try {
    return publicKeyOf(Buffer.from(base64, "base64"));
  } catch {
    return undefined;
  }
}

function validateProof(base64: string, proof: string, podUid: string): FieldError[] {
  const field = "spec.pkixPublicKey";
  const key = parsedKey(base64);
  if (!key) return [invalid(field, base64, "must be a valid PKIX-serialized public key")];
  const errors = keyErrors(key, field, base64);
  if (errors.length > 0 || isProved(key, podUid, Buffer.from(proof, "base64"))) return errors;
  const message = "Invalid value: could not verify proof-of-possession signature";
  return [{ type: "FieldValueInvalid", field: "spec.proofOfPossession", message }];
}

function isProved(key: KeyObject, podUid: string, proof: Buffer): boolean {
  const data = Buffer.from(podUid);
  try {
    if (key.asymmetricKeyType === "ed25519") return verify(null, data, key, proof);
    if (key.asymmetricKeyType === "ec") return verify("sha256", data, key, proof);
    return verify("sha256", data, { key, padding: constants.RSA_PKCS1_PSS_PADDING }, proof);
  } catch {
    return false;
  }
}

function validateRequest({ spec }: Request): FieldError[] {
  const lifetime = validateLifetime(spec);
  return [
    ...signerNameErrors(spec.signerName ?? "", "spec.signerName"),
    ...validateAnnotations(spec.unverifiedUserAnnotations, "spec.unverifiedUserAnnotations"),
    ...validateIdentity(spec),
    ...lifetime,
    ...(spec.maxExpirationSeconds === undefined ? [] : validateKey(spec)),
  ];
}

export const podCertificateRequests = defineResource<certificatesv1beta1.PodCertificateRequest>({
  group: "certificates.k8s.io",
  version: "v1beta1",
  resource: "podcertificaterequests",
  kind: "PodCertificateRequest",
  typeName: "io.k8s.api.certificates.v1beta1.PodCertificateRequest",
  namespaced: true,
  subresources: { status: { kind: "PodCertificateRequest", verbs: ["get", "patch", "update"] } },
  defaults(request) {
    request.spec ??= {} as certificatesv1beta1.PodCertificateRequestSpec;
    request.spec.maxExpirationSeconds ??= kubernetesSecondsMax;
  },
  onStatusUpdate: keepAllButStatusWithMetadata,
  validate: validateRequest,
  validateUpdate: (request, old) => immutable(request.spec, old.spec, "spec"),
  validateStatusUpdate: validateCertificateStatus,
  selectableFields: {
    "spec.signerName": ({ spec }) => spec.signerName ?? "",
    "spec.podName": ({ spec }) => spec.podName ?? "",
    "spec.nodeName": ({ spec }) => spec.nodeName ?? "",
  },
  columns: [
    nameColumn(),
    column("PodName", "string", "The pod it is for.", ({ spec }) => spec.podName ?? ""),
    column(
      "ServiceAccountName",
      "string",
      "The pod's service account.",
      ({ spec }) => spec.serviceAccountName ?? "",
    ),
    column("NodeName", "string", "The pod's node.", ({ spec }) => spec.nodeName ?? ""),
    column("SignerName", "string", "Who is asked to sign.", ({ spec }) => spec.signerName ?? ""),
    column("State", "string", "Is the request Pending, Issued, Denied, or Failed?", stateOf),
  ],
});
