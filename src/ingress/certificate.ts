/** A certificate of a Secret as HAProxy takes it. It refuses to start with one that is broken: so they are tried here. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { corev1 } from "#api";

/** Chain and key; or why they are no certificate. */
export function readCertificate(secret: Readonly<corev1.Secret>): { pem: string } | { problem: string } {
  const of = (key: string) =>
    Buffer.from(secret.data?.[key] ?? "", "base64")
      .toString("latin1")
      .trim();
  const [chain, key] = [of("tls.crt"), of("tls.key")];
  const where = `Secret ${secret.metadata.namespace}/${secret.metadata.name}`;
  if (!chain || !key) return { problem: `${where} has no tls.crt and tls.key` };
  try {
    if (!new X509Certificate(chain).checkPrivateKey(createPrivateKey(key))) {
      return { problem: `${where}: tls.key is not the key of tls.crt` };
    }
    return { pem: `${pemBlocks(chain)}${pemBlocks(key)}` };
  } catch {
    return { problem: `${where}: tls.crt and tls.key are no certificate with its key` };
  }
}

/** Nothing but the blocks: HAProxy's socket ends a text at an empty line. */
function pemBlocks(text: string): string {
  const blocks = text.match(/-----BEGIN [A-Z0-9 ]+-----[\s\S]+?-----END [A-Z0-9 ]+-----/g) ?? [];
  return blocks.map((block) => `${block.replace(/\r/g, "").replace(/\n\s*\n/g, "\n")}\n`).join("");
}
