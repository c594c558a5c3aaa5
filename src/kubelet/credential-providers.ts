/**
 * Logins of registries from programs of the node: what cloud registries need, whose passwords last for hours.
 * https://kubernetes.io/docs/tasks/administer-cluster/kubelet-credential-provider/
 */
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { codeOf, messageOf, parseGoDuration, run, type World } from "#base";
import { type AuthConfig, normalizeReference, registryOf } from "#contracts";

interface Provider {
  name: string;
  matchImages: string[];
  defaultCacheDuration: string;
  apiVersion: string;
  args?: string[];
  env?: { name: string; value: string }[];
}

interface Response {
  kind?: string;
  cacheKeyType?: string;
  cacheDuration?: string;
  auth?: Record<string, { username?: string; password?: string }>;
}

export interface CredentialProviders {
  /** Undefined where no program has a login for the image. */
  loginFor(image: string): Promise<AuthConfig | undefined>;
}

const apiVersion = "credentialprovider.kubelet.k8s.io/v1";
const timeoutMs = 60_000;
const providersMax = 100;
const cachedMax = 1000;

/** Whether `image` lies where the pattern says: host parts may have stars, the port is the same, the path begins so. */
export function matchesImage(pattern: string, image: string): boolean {
  const [host = "", ...path] = pattern.replace(/^https?:\/\//, "").split("/");
  const [name = "", port = ""] = host.split(":");
  const [registry = "", registryPort = ""] = registryOf(image).split(":");
  const [wanted, actual] = [name.split("."), registry.split(".")];
  const fits = (part: string, other: string) =>
    new RegExp(`^${part.split("*").map(escaped).join("[^.]*")}$`).test(other);
  return (
    port === registryPort &&
    wanted.length === actual.length &&
    wanted.every((part, i) => fits(part, actual[i]!)) &&
    normalizeReference(image)
      .slice(registryOf(image).length + 1)
      .startsWith(path.join("/"))
  );
}

const escaped = (text: string) => text.replaceAll(/[^\w-]/g, (c) => `\\${c}`);

/** Throws an `Error` for what is no configuration of providers. */
export function readProviders(content: string): Provider[] {
  const value = parse(content, { maxAliasCount: 100, logLevel: "error" }) as {
    kind?: string;
    providers?: Provider[];
  };
  if (value?.kind !== "CredentialProviderConfig") throw new Error("it is no CredentialProviderConfig");
  const providers = (value.providers ?? []).slice(0, providersMax);
  for (const { name, matchImages, defaultCacheDuration } of providers) {
    if (typeof name !== "string" || !name || basename(name) !== name)
      throw new Error(`a provider has the name ${JSON.stringify(name)}`);
    if (!Array.isArray(matchImages) || matchImages.length === 0) throw new Error(`${name} needs matchImages`);
    parseGoDuration(defaultCacheDuration ?? "");
  }
  return providers;
}

/** By the most special pattern, as upstream: the longest first. Pure. */
export function authOf(response: Response, image: string): AuthConfig | undefined {
  const patterns = Object.keys(response.auth ?? {}).toSorted((a, b) => b.length - a.length);
  const found = patterns.find((pattern) => matchesImage(pattern, image));
  const { username = "", password = "" } = found === undefined ? {} : (response.auth?.[found] ?? {});
  return username || password ? { username, password } : undefined;
}

function cacheKey({ cacheKeyType }: Response, image: string): string {
  if (cacheKeyType === "Image") return image;
  return cacheKeyType === "Global" ? "" : registryOf(image);
}

/** `dir`: `config.yaml`, and the programs that it names. Without it there are none. */
export function createCredentialProviders(dir: string, { clock, log }: World): CredentialProviders {
  const cached = new Map<string, { response: Response; untilMs: number }>();

  async function ask(provider: Provider, image: string): Promise<Response> {
    const keys = [image, registryOf(image), ""].map((key) => `${provider.name} ${key}`);
    const known = keys.map((key) => cached.get(key)).find((each) => each && each.untilMs > clock.monotonic());
    if (known) return known.response;
    const input = JSON.stringify({
      kind: "CredentialProviderRequest",
      apiVersion: provider.apiVersion ?? apiVersion,
      image,
    });
    const env = Object.fromEntries((provider.env ?? []).map(({ name, value }) => [name, value]));
    const program = join(dir, provider.name);
    const result = await run(program, provider.args ?? [], { input, timeoutMs, env });
    if (result.code !== 0) throw new Error(result.stderr.trim().slice(0, 500) || `exit code ${result.code}`);
    const response = JSON.parse(result.stdout) as Response;
    if (response.kind !== "CredentialProviderResponse") throw new Error(`it answered ${response.kind}`);
    const goodMs = parseGoDuration(response.cacheDuration ?? provider.defaultCacheDuration);
    if (cached.size >= cachedMax) cached.clear();
    cached.set(`${provider.name} ${cacheKey(response, image)}`, {
      response,
      untilMs: clock.monotonic() + goodMs,
    });
    return response;
  }

  async function providers(): Promise<Provider[]> {
    const file = join(dir, "config.yaml");
    try {
      return readProviders(await readFile(file, "utf8"));
    } catch (error) {
      if (codeOf(error) !== "ENOENT")
        log.warn({ file, error: messageOf(error) }, "logins cannot be asked for");
      return [];
    }
  }

  return {
    async loginFor(image) {
      for (const provider of await providers()) {
        if (!provider.matchImages.some((pattern) => matchesImage(pattern, image))) continue;
        try {
          const auth = authOf(await ask(provider, image), image);
          if (auth) return auth;
        } catch (error) {
          log.warn({ provider: provider.name, error: messageOf(error) }, "a program has given no login");
        }
      }
      return undefined;
    },
  };
}
