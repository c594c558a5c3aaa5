/**
 * What each built-in signer demands of a request, and which requests are a kubelet's own.
 * https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#kubernetes-signers
 */
import type { certificatesv1 } from "#api";
import type { ReadRequest } from "./x509.ts";

type Request = Readonly<certificatesv1.CertificateSigningRequest>;

const clientSigner = "kubernetes.io/kube-apiserver-client";
export const kubeletClientSigner = "kubernetes.io/kube-apiserver-client-kubelet";
const kubeletServingSigner = "kubernetes.io/kubelet-serving";
const legacySigner = "kubernetes.io/legacy-unknown";

export const signers: readonly string[] = [
  clientSigner,
  kubeletClientSigner,
  kubeletServingSigner,
  legacySigner,
];

const nodesGroup = "system:nodes";
const nodePrefix = "system:node:";

function sameUsages(usages: readonly string[] | undefined, ...allowed: readonly string[][]): boolean {
  const given = [...new Set(usages)].sort().join();
  return allowed.some((each) => [...each].sort().join() === given);
}

function kubeletSubjectError({ organizations, commonName }: ReadRequest): string | undefined {
  if (organizations.length !== 1 || organizations[0] !== nodesGroup)
    return "subject organization is not system:nodes";
  return commonName.startsWith(nodePrefix)
    ? undefined
    : "subject common name does not begin with system:node:";
}

function kubeletClientError(read: ReadRequest, usages: readonly string[] | undefined): string | undefined {
  const client = ["digital signature", "client auth"];
  if (read.dnsNames.length > 0) return "DNS subjectAltNames are not allowed";
  if (read.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (read.addresses.length > 0) return "IP subjectAltNames are not allowed";
  if (read.uris.length > 0) return "URI subjectAltNames are not allowed";
  const subject = kubeletSubjectError(read);
  if (subject) return subject;
  if (sameUsages(usages, client, [...client, "key encipherment"])) return undefined;
  return "usages did not match [client auth digital signature] or [client auth digital signature key encipherment]";
}

function kubeletServingError(read: ReadRequest, usages: readonly string[] | undefined): string | undefined {
  const server = ["digital signature", "server auth"];
  if (read.dnsNames.length + read.addresses.length === 0) return "DNS or IP subjectAltName is required";
  if (read.emails.length > 0) return "Email subjectAltNames are not allowed";
  if (read.uris.length > 0) return "URI subjectAltNames are not allowed";
  const subject = kubeletSubjectError(read);
  if (subject) return subject;
  if (sameUsages(usages, server, [...server, "key encipherment"])) return undefined;
  return "usages did not match [digital signature server auth] or [digital signature key encipherment server auth]";
}

function clientUsagesError(usages: readonly string[] = []): string | undefined {
  const allowed = ["client auth", "digital signature", "key encipherment"];
  const isAllowed = usages.includes("client auth") && usages.every((usage) => allowed.includes(usage));
  return isAllowed ? undefined : "invalid usages for client certificate";
}

/** Why the request's signer will not sign it; undefined where it will. */
export function signerError(request: Request, read: ReadRequest): string | undefined {
  const { signerName, usages } = request.spec;
  switch (signerName) {
    case clientSigner:
      return clientUsagesError(usages);
    case kubeletClientSigner:
      return kubeletClientError(read, usages);
    case kubeletServingSigner:
      return kubeletServingError(read, usages);
    default:
      return undefined;
  }
}

export interface Recognized {
  /** The subresource that whoever asks must be allowed to create. */
  readonly subresource: "selfnodeclient" | "nodeclient";
  readonly message: string;
}

/** Requests of kubelets for their client certificates: a renewal of their own, or the first by a bootstrap token. */
export function recognize(request: Request, read: ReadRequest): Recognized[] {
  const { signerName, usages, username } = request.spec;
  if (signerName !== kubeletClientSigner || kubeletClientError(read, usages) !== undefined) return [];
  const first: Recognized = {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
  };
  const renewal: Recognized = {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
  };
  return username === read.commonName ? [renewal, first] : [first];
}
