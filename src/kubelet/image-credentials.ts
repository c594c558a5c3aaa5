/**
 * Credentials of registries from secrets of pods.
 * https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/
 */
import type { corev1 } from "#api";
import { type AuthConfig, registryOf } from "#contracts";

interface DockerConfig {
  auths?: Record<string, { username?: string; password?: string; auth?: string; identitytoken?: string }>;
}

/**
 * From `kubernetes.io/dockerconfigjson` and `dockercfg` secrets; what cannot be read is skipped. Like upstream without
 * a server address: containerd takes it for a URL, and would refuse `127.0.0.1:5000`.
 */
export function credentialsFor(
  image: string,
  secrets: readonly Readonly<corev1.Secret>[],
): AuthConfig | undefined {
  const registry = registryOf(image);
  for (const secret of secrets) {
    const config = dockerConfigOf(secret);
    for (const [key, entry] of Object.entries(config.auths ?? {})) {
      const host = key
        .replace(/^https?:\/\//, "")
        .split("/")[0]!
        .replace(/^(index|registry-1)\./, "");
      if (host !== registry) continue;
      return {
        ...(entry.username ? { username: entry.username } : {}),
        ...(entry.password ? { password: entry.password } : {}),
        ...(entry.auth && !entry.username ? { auth: entry.auth } : {}),
        ...(entry.identitytoken ? { identityToken: entry.identitytoken } : {}),
      };
    }
  }
  return undefined;
}

function dockerConfigOf(secret: Readonly<corev1.Secret>): DockerConfig {
  const whole = secret.data?.[".dockerconfigjson"];
  const old = secret.data?.[".dockercfg"];
  try {
    if (whole) return JSON.parse(Buffer.from(whole, "base64").toString("utf8")) as DockerConfig;
    if (old) return { auths: JSON.parse(Buffer.from(old, "base64").toString("utf8")) };
  } catch {
    return {};
  }
  return {};
}
