/**
 * A fresh key and a request for its certificate, empty but for the key. To be imported with the first request: most nodes
 * never make one. https://www.rfc-editor.org/rfc/rfc2986
 */
import { webcrypto } from "node:crypto";
// The x509 library resolves its parts through decorators and needs this first.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

x509.cryptoProvider.set(webcrypto as Crypto);

const ecdsa = (bits: string, hash: string) => ({ name: "ECDSA", namedCurve: `P-${bits}`, hash });
const rsa = (modulusLength: number) => ({
  name: "RSASSA-PKCS1-v1_5",
  hash: "SHA-256",
  modulusLength,
  publicExponent: new Uint8Array([1, 0, 1]),
});

const algorithms: Readonly<Record<string, { name: string }>> = {
  RSA3072: rsa(3072),
  RSA4096: rsa(4096),
  ECDSAP256: ecdsa("256", "SHA-256"),
  ECDSAP384: ecdsa("384", "SHA-384"),
  ECDSAP521: ecdsa("521", "SHA-512"),
  ED25519: { name: "Ed25519" },
};

export interface SigningRequest {
  /** PKCS #8, PEM. */
  key: string;
  /** PKCS #10, DER in base64. */
  request: string;
}

/** Throws for a type of key that nobody knows. */
export async function makeSigningRequest(keyType: string): Promise<SigningRequest> {
  const algorithm = algorithms[keyType];
  if (!algorithm) throw new Error(`unknown key type ${JSON.stringify(keyType)}`);
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    "sign",
    "verify",
  ])) as webcrypto.CryptoKeyPair;
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    keys,
    signingAlgorithm: algorithm,
  });
  const key = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    key: `${x509.PemConverter.encode(key, "PRIVATE KEY")}\n`,
    request: Buffer.from(request.rawData).toString("base64"),
  };
}
