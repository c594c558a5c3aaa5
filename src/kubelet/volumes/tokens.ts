/**
 * Service account tokens of pods, asked for once and again before they expire.
 * https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#token-controller
 */
import { type corev1, formatTime, parseTime, serviceAccounts } from "#api";
import type { Clock } from "#base";
import type { Client } from "#client";

export interface TokenSource {
  tokenFor(
    pod: Readonly<corev1.Pod>,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<string>;
  /** The same with its end. */
  heldFor(
    pod: Readonly<corev1.Pod>,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<{ token: string; expirationTimestamp: string }>;
  forget(podUid: string): void;
}

interface Held {
  token: string;
  expirationTimestamp: string;
  refreshMs: number;
}

interface TokenAnswer {
  status?: { token?: string; expirationTimestamp?: string };
}

const dayMs = 24 * 60 * 60 * 1000;

export function createTokenSource(client: Client, clock: Clock): TokenSource {
  const held = new Map<string, Held>();
  async function ask(
    pod: Readonly<corev1.Pod>,
    audience: string | undefined,
    expirationSeconds: number,
  ): Promise<Held> {
    const { namespace, name: podName, uid } = pod.metadata;
    const key = `${uid}/${audience ?? ""}/${expirationSeconds}`;
    const known = held.get(key);
    if (known && clock.now() < known.refreshMs) return known;
    const name = pod.spec.serviceAccountName ?? "default";
    const request = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {
        audiences: audience ? [audience] : [],
        expirationSeconds,
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name: podName, uid },
      },
    };
    const answer = await client.post<TokenAnswer>(serviceAccounts, { namespace, name }, "token", request);
    const token = answer.status?.token;
    if (!token) throw new Error(`no token for the service account ${namespace}/${name}`);
    const nowMs = clock.now();
    const expiresMs = parseTime(answer.status?.expirationTimestamp ?? "") ?? nowMs + expirationSeconds * 1000;
    // At four fifths of its life, and at the latest after a day.
    const refreshMs = Math.min(nowMs + (expiresMs - nowMs) * 0.8, nowMs + dayMs);
    const fresh = { token, expirationTimestamp: formatTime(expiresMs), refreshMs };
    held.set(key, fresh);
    return fresh;
  }

  return {
    tokenFor: async (...asked) => (await ask(...asked)).token,
    async heldFor(...asked) {
      const { token, expirationTimestamp } = await ask(...asked);
      return { token, expirationTimestamp };
    },
    forget(podUid) {
      for (const key of held.keys()) if (key.startsWith(`${podUid}/`)) held.delete(key);
    },
  };
}
