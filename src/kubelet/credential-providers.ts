/**
 * Logins of registries from programs of the node: what cloud registries need, whose passwords last for hours. A program
 * may be shown a token of the pod's service account: then its login is for that account's pods.
 * https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/
 * https://kep.k8s.io/4412
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type corev1, serviceAccounts } from "#api";
import { messageOf, parseGoDuration, run, type World } from "#base";
import type { Client } from "#client";
import { type AuthConfig, registryOf } from "#contracts";
import { type Provider, type ProviderConfig, readProviderConfig } from "./credential-config.ts";
import type { AccountReference, Login } from "./image-credentials.ts";
import { matchesImage, repositoryOf } from "./image-patterns.ts";
import type { TokenSource } from "./volumes/tokens.ts";

interface Response {
  kind?: string;
  apiVersion?: string;
  cacheKeyType?: string;
  cacheDuration?: string;
  auth?: Record<string, { username?: string; password?: string }>;
}

export interface CredentialProviders {
  /** Of every program that has one for the image; those for the longest part of its name first. */
  loginsFor(image: string, pod: Readonly<corev1.Pod>): Promise<Login[]>;
}

interface Options {
  /** The configuration, and the programs that it names. Without it there are none. */
  dir: string;
  world: World;
  client: Client;
  tokens: TokenSource;
}

/** What a program is told of the pod's account; empty for one that asks for none, and for pods without. */
interface Shown {
  account?: AccountReference;
  token?: string;
  annotations?: Record<string, string>;
  /** What else tells answers apart. */
  key: string;
}

const timeoutMs = 60_000;
const cachedMax = 1000;
/** The server's own default. */
const tokenSeconds = 3600;
const nobody: Shown = { key: "" };

/** The logins for an image, by the most special pattern: the longest first. Pure. */
export function authsOf({ auth = {} }: Response, image: string): { length: number; auth: AuthConfig }[] {
  return Object.entries(auth)
    .filter(([pattern, { username, password }]) => (username || password) && matchesImage(pattern, image))
    .map(([pattern, { username = "", password = "" }]) => ({
      length: pattern.length,
      auth: { username, password },
    }))
    .toSorted((a, b) => b.length - a.length);
}

/** What an answer holds for. Pure. */
function scopeOf({ cacheKeyType }: Response, image: string): string {
  if (cacheKeyType === "Image") return image;
  if (cacheKeyType === "Registry") return registryOf(image);
  if (cacheKeyType === "Global") return "global";
  throw new Error(
    `credential provider plugin did not return a valid cacheKeyType: ${JSON.stringify(cacheKeyType ?? "")}`,
  );
}

/** The annotations that a program wants; undefined where one that it needs is missing. Pure. */
export function annotationsFor(
  { tokenAttributes }: Provider,
  annotations: Readonly<Record<string, string>> = {},
): Record<string, string> | undefined {
  const needed = tokenAttributes?.requiredServiceAccountAnnotationKeys ?? [];
  if (needed.some((key) => annotations[key] === undefined)) return undefined;
  const keys = [...needed, ...(tokenAttributes?.optionalServiceAccountAnnotationKeys ?? [])];
  return Object.fromEntries(
    keys.flatMap((key) => (annotations[key] === undefined ? [] : [[key, annotations[key]]])),
  );
}

function metricsOf({ metrics }: World) {
  return {
    seconds: metrics.latency(
      "kubelet_credential_provider_plugin_duration",
      "[ALPHA] Duration of execution in seconds for credential provider plugin",
      ["plugin_name"],
    ),
    errors: metrics.counter(
      "kubelet_credential_provider_plugin_errors",
      "[ALPHA] Number of errors from credential provider plugin",
      ["plugin_name"],
    ),
    config: metrics.gauge(
      "kubelet_credential_provider_config_info",
      "[ALPHA] Information about the last applied credential provider configuration with hash as label",
      ["hash"],
    ),
  };
}

async function call(
  { dir, world: { clock } }: Options,
  metrics: ReturnType<typeof metricsOf>,
  provider: Provider,
  image: string,
  { token, annotations }: Shown,
): Promise<Response> {
  const request = {
    kind: "CredentialProviderRequest",
    apiVersion: provider.apiVersion,
    image,
    ...(token ? { serviceAccountToken: token } : {}),
    ...(annotations && Object.keys(annotations).length > 0 ? { serviceAccountAnnotations: annotations } : {}),
  };
  const env = Object.fromEntries((provider.env ?? []).map(({ name, value }) => [name, value]));
  const options = { input: JSON.stringify(request), timeoutMs, env };
  const startedMs = clock.monotonic();
  const result = await run(join(dir, provider.name), provider.args ?? [], options);
  metrics.seconds.observe({ plugin_name: provider.name }, (clock.monotonic() - startedMs) / 1000);
  if (result.code !== 0) {
    metrics.errors.inc({ plugin_name: provider.name });
    throw new Error(result.stderr.trim().slice(0, 500) || `exit code ${result.code}`);
  }
  return responseOf(result.stdout, provider.apiVersion);
}

/** Undefined where the program is not to be asked for this pod. */
async function shownTo(
  { client, tokens }: Options,
  provider: Provider,
  pod: Readonly<corev1.Pod>,
): Promise<Shown | undefined> {
  const { tokenAttributes } = provider;
  if (!tokenAttributes) return nobody;
  const { namespace = "" } = pod.metadata;
  const name = pod.spec.serviceAccountName ?? "";
  if (!name) return tokenAttributes.requireServiceAccount ? undefined : nobody;
  const account = await client.get(serviceAccounts, { namespace, name });
  const annotations = annotationsFor(provider, account.metadata.annotations);
  if (!annotations) return undefined;
  const token = await tokens.tokenFor(pod, tokenAttributes.serviceAccountTokenAudience, tokenSeconds);
  const { uid } = account.metadata;
  const tokenHash = createHash("sha256").update(token).digest("hex");
  const sorted = Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1));
  const key = [namespace, name, uid, sorted, tokenAttributes.cacheType === "Token" ? tokenHash : ""];
  return { account: { uid, namespace, name }, token, annotations, key: JSON.stringify(key) };
}

export function createCredentialProviders(options: Options): CredentialProviders {
  const { dir, world } = options;
  const { clock, log } = world;
  const cached = new Map<string, { response: Response; untilMs: number }>();
  /** Containers that start together ask once. */
  const asked = new Map<string, Promise<Response>>();
  const metrics = metricsOf(world);

  async function answerOf(provider: Provider, image: string, shown: Shown): Promise<Response> {
    const keyOf = (scope: string) => JSON.stringify([provider.name, scope, shown.key]);
    const keys = [image, registryOf(image), "global"].map(keyOf);
    const known = keys.map((key) => cached.get(key)).find((each) => each && each.untilMs > clock.monotonic());
    if (known) return known.response;
    const flight = JSON.stringify([keys[0], shown.token]);
    const running = asked.get(flight);
    if (running) return running;
    const answer = call(options, metrics, provider, image, shown).finally(() => asked.delete(flight));
    asked.set(flight, answer);
    const response = await answer;
    const key = keyOf(scopeOf(response, image));
    const goodMs = parseGoDuration(response.cacheDuration ?? String(provider.defaultCacheDuration));
    if (cached.size >= cachedMax) cached.clear();
    if (goodMs > 0) cached.set(key, { response, untilMs: clock.monotonic() + goodMs });
    return response;
  }

  async function config(): Promise<ProviderConfig> {
    try {
      const found = await readProviderConfig(dir);
      metrics.config.reset();
      if (found.hash) metrics.config.set({ hash: found.hash }, 1);
      return found;
    } catch (error) {
      log.warn({ dir, error: messageOf(error) }, "logins cannot be asked for");
      return { providers: [], hash: undefined };
    }
  }

  async function loginsOf(provider: Provider, image: string, pod: Readonly<corev1.Pod>) {
    if (!provider.matchImages.some((pattern) => matchesImage(pattern, image))) return [];
    try {
      const shown = await shownTo(options, provider, pod);
      if (!shown) return [];
      const found = authsOf(await answerOf(provider, image, shown), image);
      const { account } = shown;
      return found.map(({ length, auth }) => ({ length, login: { auth, ...(account ? { account } : {}) } }));
    } catch (error) {
      log.warn({ provider: provider.name, error: messageOf(error) }, "a program has given no login");
      return [];
    }
  }

  return {
    async loginsFor(wanted, pod) {
      const image = repositoryOf(wanted);
      const { providers } = await config();
      const found = await Promise.all(providers.map((provider) => loginsOf(provider, image, pod)));
      return found
        .flat()
        .toSorted((a, b) => b.length - a.length)
        .map(({ login }) => login);
    },
  };
}

function responseOf(output: string, apiVersion: string): Response {
  let response: Response;
  try {
    response = JSON.parse(output) as Response;
  } catch {
    // Its words are kept back: they may be a password.
    throw new Error("error decoding credential provider plugin response from stdout");
  }
  if (response.apiVersion !== apiVersion)
    throw new Error(
      `apiVersion from credential plugin response did not match expected apiVersion:${apiVersion}, actual apiVersion:${response.apiVersion ?? ""}`,
    );
  if (response.kind !== "CredentialProviderResponse")
    throw new Error(
      `failed to decode CredentialProviderResponse, unexpected Kind: ${JSON.stringify(response.kind ?? "")}`,
    );
  return response;
}
