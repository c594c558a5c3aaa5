/**
 * Certificate signing requests (PKCS #10): the key in one, and whether its owner signed it.
 * https://www.rfc-editor.org/rfc/rfc2986
 */
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto";

interface Element {
  readonly tag: number;
  readonly content: Buffer;
  /** With tag and length. */
  readonly whole: Buffer;
}

const sequence = 0x30;
const objectIdentifier = 0x06;
const bitString = 0x03;
const malformed = "asn1: structure error: malformed certificate request";

/** The elements of DER that stand side by side; throws where there are none. */
function elements(bytes: Buffer): Element[] {
  const found: Element[] = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at + 1];
    if (first === undefined) throw new Error(malformed);
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    if (lengthBytes > 4 || first === 0x80) throw new Error(malformed);
    const header = 2 + lengthBytes;
    const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes);
    const end = at + header + length;
    if (end > bytes.length) throw new Error(malformed);
    found.push({
      tag: bytes[at]!,
      content: bytes.subarray(at + header, end),
      whole: bytes.subarray(at, end),
    });
    at = end;
  }
  return found;
}

function expected(element: Element | undefined, tag: number): Element {
  if (element?.tag !== tag) throw new Error(malformed);
  return element;
}

/** By the bytes of the algorithm's identifier, in hexadecimal. */
const signatures: ReadonlyMap<string, { hash: string | null; padding?: number }> = new Map([
  ["2a864886f70d010105", { hash: "sha1" }],
  ["2a864886f70d01010b", { hash: "sha256" }],
  ["2a864886f70d01010c", { hash: "sha384" }],
  ["2a864886f70d01010d", { hash: "sha512" }],
  ["2a864886f70d01010a", { hash: "sha256", padding: constants.RSA_PKCS1_PSS_PADDING }],
  ["2a8648ce3d040302", { hash: "sha256" }],
  ["2a8648ce3d040303", { hash: "sha384" }],
  ["2a8648ce3d040304", { hash: "sha512" }],
  ["2b6570", { hash: null }],
]);

export interface SigningRequest {
  readonly publicKey: KeyObject;
  /** Undefined when the owner of the key signed it; else what Go says. */
  readonly signatureError: string | undefined;
}

/** Throws when the bytes are no request. */
export function parseSigningRequest(der: Buffer): SigningRequest {
  const [request, ...rest] = elements(der);
  if (rest.length > 0) throw new Error("asn1: syntax error: trailing data");
  const [info, algorithm, signature] = elements(expected(request, sequence).content);
  const { whole: signed, content } = expected(info, sequence);
  // Version, subject, key, attributes.
  const publicKey = publicKeyOf(expected(elements(content)[2], sequence).whole);
  const [oid] = elements(expected(algorithm, sequence).content);
  const kind = signatures.get(expected(oid, objectIdentifier).content.toString("hex"));
  if (!kind) return { publicKey, signatureError: "x509: cannot verify signature: algorithm unimplemented" };
  // The first byte of a bit string tells how many bits are not used: none.
  const bytes = expected(signature, bitString).content.subarray(1);
  const key = { key: publicKey, ...(kind.padding ? { padding: kind.padding } : {}) };
  return {
    publicKey,
    signatureError: isSigned(kind.hash, signed, key, bytes) ? undefined : wrongSignature(publicKey),
  };
}

export function publicKeyOf(spki: Buffer): KeyObject {
  return createPublicKey({ key: spki, format: "der", type: "spki" });
}

function isSigned(
  hash: string | null,
  signed: Buffer,
  key: { key: KeyObject; padding?: number },
  signature: Buffer,
): boolean {
  try {
    return verify(hash, signed, key, signature);
  } catch {
    return false;
  }
}

function wrongSignature({ asymmetricKeyType: type }: KeyObject): string {
  if (type === "ec") return "x509: ECDSA verification failure";
  return type === "ed25519" ? "x509: Ed25519 verification failure" : "crypto/rsa: verification error";
}
