/**
 * TLS of the kubelet's server: which certificate, from which version on, with which ciphers, all in upstream's names.
 * https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
 */
import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureVersion } from "node:tls";
import { messageOf, UserError, type World } from "#base";

export interface TlsSettings {
  readonly tlsCertFile: string;
  readonly tlsKeyFile: string;
  /** `VersionTLS12`; "" is that as well. */
  readonly tlsMinVersion: string;
  /** None: those of OpenSSL. */
  readonly tlsCipherSuites: readonly string[];
}

export interface ServingPair {
  cert: string | Buffer;
  key: string | Buffer;
}

const versions: Readonly<Record<string, SecureVersion>> = {
  VersionTLS10: "TLSv1",
  VersionTLS11: "TLSv1.1",
  VersionTLS12: "TLSv1.2",
  VersionTLS13: "TLSv1.3",
};

/** Of TLS 1.3: nobody chooses among them, as in Go. */
const newSuites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/** Go's names, and OpenSSL's. */
const suites: Readonly<Record<string, string>> = {
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: "ECDHE-ECDSA-AES128-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256: "ECDHE-ECDSA-AES128-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: "ECDHE-ECDSA-AES256-SHA",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: "ECDHE-RSA-AES128-SHA",
  TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256: "ECDHE-RSA-AES128-SHA256",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: "ECDHE-RSA-AES256-SHA",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
  TLS_RSA_WITH_AES_128_CBC_SHA: "AES128-SHA",
  TLS_RSA_WITH_AES_128_CBC_SHA256: "AES128-SHA256",
  TLS_RSA_WITH_AES_128_GCM_SHA256: "AES128-GCM-SHA256",
  TLS_RSA_WITH_AES_256_CBC_SHA: "AES256-SHA",
  TLS_RSA_WITH_AES_256_GCM_SHA384: "AES256-GCM-SHA384",
};

/** Upstream's words for what it does not know. */
export function tlsProblems({ tlsMinVersion, tlsCipherSuites }: TlsSettings): string[] {
  const unknown = tlsCipherSuites.filter((name) => !Object.hasOwn(suites, name) && !newSuites.includes(name));
  return [
    ...(tlsMinVersion && !Object.hasOwn(versions, tlsMinVersion)
      ? [`unknown tls version ${JSON.stringify(tlsMinVersion)}`]
      : []),
    ...unknown.map((name) => `Cipher suite ${name} not supported or doesn't exist`),
  ];
}

/** As Node's servers take it. */
export function tlsOptionsOf({ tlsMinVersion, tlsCipherSuites }: TlsSettings) {
  const known = tlsCipherSuites.flatMap((name) => suites[name] ?? []);
  return {
    minVersion: versions[tlsMinVersion || "VersionTLS12"] ?? "TLSv1.2",
    ...(tlsCipherSuites.length > 0 ? { ciphers: [...newSuites, ...known].join(":") } : {}),
  };
}

/** The pair that the files have; the distribution's where none are named. Throws `UserError`. */
export async function readServingPair(settings: TlsSettings, ours: ServingPair): Promise<ServingPair> {
  const { tlsCertFile, tlsKeyFile } = settings;
  if (!tlsCertFile && !tlsKeyFile) return ours;
  try {
    const [cert, key] = await Promise.all([readFile(tlsCertFile, "utf8"), readFile(tlsKeyFile, "utf8")]);
    createSecureContext({ cert, key });
    return { cert, key };
  } catch (error) {
    throw new UserError(
      `the kubelet's certificate cannot be used: ${messageOf(error)}`,
      "name a certificate and its key, as PEM, in tlsCertFile and tlsPrivateKeyFile",
    );
  }
}

/** As often as upstream looks at files of certificates. */
const lookMs = 60_000;

/** Whoever renews the files needs not start the kubelet again. What cannot be used is told, and the last stays. */
export async function followServingPair(
  settings: TlsSettings,
  current: ServingPair,
  changed: (pair: ServingPair) => void,
  { clock, log }: World,
  signal: AbortSignal,
): Promise<void> {
  let last = current;
  while (settings.tlsCertFile && !signal.aborted) {
    await clock.sleep(lookMs, signal);
    if (signal.aborted) return;
    try {
      const next = await readServingPair(settings, last);
      if (next.cert === last.cert && next.key === last.key) continue;
      changed(next);
      last = next;
    } catch (error) {
      log.warn({ error: messageOf(error) }, "the kubelet goes on with the certificate that it has");
    }
  }
}
