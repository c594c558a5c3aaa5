/** The cluster's certificates: one authority, ECDSA P-256, made by WebCrypto. */
import { webcrypto } from "node:crypto";
// The x509 library resolves its parts through decorators and needs this first.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import type { Clock, Random } from "#base";
import { backdateMs } from "./renewal.ts";

x509.cryptoProvider.set(webcrypto as Crypto);

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 24 * 3600 * 1000;
const authorityMs = 3650 * dayMs;
const leafMs = 365 * dayMs;

/** PEM texts. */
export interface KeyPair {
  cert: string;
  key: string;
}

export interface Authority extends KeyPair {
  issue(subject: Subject): Promise<KeyPair>;
}

export interface Subject {
  /** The user's name in client certificates. */
  commonName: string;
  /** The user's groups. */
  organizations?: readonly string[];
  use: "client" | "server" | "both";
  dnsNames?: readonly string[];
  addresses?: readonly string[];
  /** Default: a year. */
  lifeMs?: number;
}

export interface CertificateSource {
  clock: Clock;
  random: Random;
}

export async function createAuthority(source: CertificateSource, commonName: string): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(source.random),
    name: `CN=${commonName}`,
    ...validity(source.clock, authorityMs),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign | x509.KeyUsageFlags.digitalSignature,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return authorityOf(source, { cert: pem(cert), key: await pemKey(keys.privateKey) });
}

/** An authority from its PEM files. */
export function authorityOf(source: CertificateSource, pair: KeyPair): Authority {
  return { ...pair, issue: (subject) => issue(source, pair, subject) };
}

async function issue(source: CertificateSource, authority: KeyPair, subject: Subject): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.cert);
  const signingKey = await webcrypto.subtle.importKey(
    "pkcs8",
    x509.PemConverter.decodeFirst(authority.key),
    algorithm,
    false,
    ["sign"],
  );
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const cert = await x509.X509CertificateGenerator.create({
    serialNumber: serial(source.random),
    subject: new x509.Name([
      ...(subject.organizations ?? []).map((o) => ({ O: [o] })),
      { CN: [subject.commonName] },
    ]),
    issuer: issuer.subject,
    ...validity(source.clock, subject.lifeMs ?? leafMs),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    extensions: leafExtensions(subject),
  });
  return { cert: pem(cert), key: await pemKey(keys.privateKey) };
}

function leafExtensions(subject: Subject): x509.Extension[] {
  const uses: string[] = [];
  if (subject.use !== "client") uses.push(x509.ExtendedKeyUsage.serverAuth);
  if (subject.use !== "server") uses.push(x509.ExtendedKeyUsage.clientAuth);
  const names: x509.JsonGeneralNames = [
    ...(subject.dnsNames ?? []).map((value) => ({ type: "dns" as const, value })),
    ...(subject.addresses ?? []).map((value) => ({ type: "ip" as const, value })),
  ];
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension(uses),
    ...(names.length > 0 ? [new x509.SubjectAlternativeNameExtension(names)] : []),
  ];
}

function validity(clock: Clock, lifeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(clock.now() - backdateMs), notAfter: new Date(clock.now() + lifeMs) };
}

/** Positive and without a leading zero byte, as DER wants it. */
function serial(random: Random): string {
  const bytes = random.bytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString("hex");
}

function pem(cert: x509.X509Certificate): string {
  return `${cert.toString("pem")}\n`;
}

async function pemKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey("pkcs8", key);
  return `${x509.PemConverter.encode(der, "PRIVATE KEY")}\n`;
}
