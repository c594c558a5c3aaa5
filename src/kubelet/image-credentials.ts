/**
 * Credentials of registries from secrets of pods.
 * https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/
 */
import { createHash } from "node:crypto";
import type { corev1 } from "#api";
import { type AuthConfig, registryOf } from "#contracts";
import { matchesImage } from "./image-patterns.ts";

interface DockerConfig {
  auths?: Record<string, { username?: string; password?: string; auth?: string; identitytoken?: string }>;
}

/** Where a login comes from. */
export interface SecretReference {
  uid: string;
  namespace: string;
  name: string;
  /** Of what is shown to the registry. */
  credentialHash: string;
}

/** A service account that a program of the node has given a login to. */
export interface AccountReference {
  uid: string;
  namespace: string;
  name: string;
}

/** Neither of a secret nor of an account: one that the whole node has. */
export interface Login {
  auth: AuthConfig;
  secret?: SecretReference;
  account?: AccountReference;
}

function authOf(entry: NonNullable<DockerConfig["auths"]>[string]): AuthConfig {
  return {
    ...(entry.username ? { username: entry.username } : {}),
    ...(entry.password ? { password: entry.password } : {}),
    ...(entry.auth && !entry.username ? { auth: entry.auth } : {}),
    ...(entry.identitytoken ? { identityToken: entry.identitytoken } : {}),
  };
}

const hashOf = (auth: AuthConfig) => createHash("sha256").update(JSON.stringify(auth)).digest("hex");

/** `https://index.docker.io/v1/` is `docker.io`. */
function placeOf(key: string): string {
  const place = key.replace(/^https?:\/\//, "").replace(/\/+$/, "");
  return place.replace(/^(?:index|registry-1)\.docker\.io(?:\/v\d)?/, "docker.io").replace(/\/v[12]$/, "");
}

function isMeant(key: string, image: string): boolean {
  const place = placeOf(key);
  return place === registryOf(image) || matchesImage(place, image);
}

/**
 * From `kubernetes.io/dockerconfigjson` and `dockercfg` secrets, those for the longest part of the image's name first; what
 * cannot be read is skipped. Like upstream without a server address: containerd takes it for a URL, and would refuse
 * `127.0.0.1:5000`.
 */
export function loginsFor(image: string, secrets: readonly Readonly<corev1.Secret>[]): Login[] {
  const found = secrets.flatMap((secret) => {
    const { uid, namespace = "", name } = secret.metadata;
    return Object.entries(dockerConfigOf(secret).auths ?? {})
      .filter(([key]) => isMeant(key, image))
      .map(([key, entry]) => {
        const auth = authOf(entry);
        return {
          length: placeOf(key).length,
          auth,
          secret: { uid, namespace, name, credentialHash: hashOf(auth) },
        };
      });
  });
  return found.toSorted((a, b) => b.length - a.length).map(({ auth, secret }) => ({ auth, secret }));
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
