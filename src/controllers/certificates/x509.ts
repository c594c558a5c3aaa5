/**
 * Reads signing requests and makes certificates of them. To be imported with the first request: most clusters never
 * see one. https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
import { createPrivateKey, webcrypto } from "node:crypto";
// The x509 library resolves its parts through decorators and needs this first.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Random } from "#base";

/** PEM texts of a certificate authority. */
export interface SigningAuthority {
  readonly cert: string;
  readonly key: string;
}

export interface ReadRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
}

x509.cryptoProvider.set(webcrypto as Crypto);

function alternativeNames({ extensions }: x509.Pkcs10CertificateRequest) {
  return extensions.find((each) => each instanceof x509.SubjectAlternativeNameExtension);
}

/** Throws where the text is no request. */
export function readRequest(pem: string): ReadRequest {
  const request = new x509.Pkcs10CertificateRequest(pem);
  const names = alternativeNames(request)?.names.items ?? [];
  const ofType = (type: string) => names.filter((each) => each.type === type).map(({ value }) => value);
  return {
    commonName: request.subjectName.getField("CN")[0] ?? "",
    organizations: request.subjectName.getField("O"),
    dnsNames: ofType("dns"),
    addresses: ofType("ip"),
    emails: ofType("email"),
    uris: ofType("url"),
  };
}

const keyUsageBits: Readonly<Record<string, number>> = {
  signing: 1,
  "digital signature": 1,
  "content commitment": 2,
  "key encipherment": 4,
  "data encipherment": 8,
  "key agreement": 16,
  "cert sign": 32,
  "crl sign": 64,
  "encipher only": 128,
  "decipher only": 256,
};

const extendedUsages: Readonly<Record<string, string>> = {
  any: "2.5.29.37.0",
  "server auth": "1.3.6.1.5.5.7.3.1",
  "client auth": "1.3.6.1.5.5.7.3.2",
  "code signing": "1.3.6.1.5.5.7.3.3",
  "email protection": "1.3.6.1.5.5.7.3.4",
  "s/mime": "1.3.6.1.5.5.7.3.4",
  "ipsec end system": "1.3.6.1.5.5.7.3.5",
  "ipsec tunnel": "1.3.6.1.5.5.7.3.6",
  "ipsec user": "1.3.6.1.5.5.7.3.7",
  timestamping: "1.3.6.1.5.5.7.3.8",
  "ocsp signing": "1.3.6.1.5.5.7.3.9",
  "microsoft sgc": "1.3.6.1.4.1.311.10.3.3",
  "netscape sgc": "2.16.840.1.113730.4.1",
};

export interface Order {
  readonly pem: string;
  readonly usages: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** The certificate as PEM: subject and names of the request, uses and times of the order. */
export async function sign(authority: SigningAuthority, order: Order, random: Random): Promise<string> {
  const request = new x509.Pkcs10CertificateRequest(order.pem);
  const issuer = new x509.X509Certificate(authority.cert);
  const { key, algorithm } = await signingKeyOf(authority.key);
  const usage = order.usages.reduce((bits, name) => bits | (keyUsageBits[name] ?? 0), 0);
  const extended = order.usages.flatMap((name) => extendedUsages[name] ?? []);
  const names = alternativeNames(request);
  const parameters: Parameters<typeof x509.X509CertificateGenerator.create>[0] = {
    serialNumber: serial(random),
    subject: request.subjectName,
    issuer: issuer.subjectName,
    notBefore: new Date(order.notBeforeMs),
    notAfter: new Date(order.notAfterMs),
    publicKey: request.publicKey,
    signingKey: key,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      ...(usage ? [new x509.KeyUsagesExtension(usage, true)] : []),
      ...(extended.length > 0 ? [new x509.ExtendedKeyUsageExtension([...new Set(extended)])] : []),
      ...(names ? [names] : []),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  };
  return `${(await x509.X509CertificateGenerator.create(parameters)).toString("pem")}\n`;
}

/** Authorities are ECDSA where Knarr made them, and may be RSA where people brought their own. */
async function signingKeyOf(pem: string) {
  const key = createPrivateKey(pem);
  const algorithm =
    key.asymmetricKeyType === "rsa"
      ? { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }
      : { name: "ECDSA", namedCurve: curveOf(key.asymmetricKeyDetails?.namedCurve), hash: "SHA-256" };
  const der = key.export({ format: "der", type: "pkcs8" });
  return { key: await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]), algorithm };
}

function curveOf(name: string | undefined): string {
  return { secp384r1: "P-384", secp521r1: "P-521" }[name ?? ""] ?? "P-256";
}

/** Positive and without a leading zero byte, as DER wants it. */
function serial(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}
