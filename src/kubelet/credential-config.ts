/**
 * Which programs have logins of registries, for which images, and whose tokens they want: `CredentialProviderConfig`.
 * https://kubernetes.io/docs/reference/config-api/kubelet-credentialprovider.v1/
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { parse } from "yaml";
import { duplicate, type FieldError, forbiddenField, invalid, notSupported, required } from "#api";
import { codeOf, messageOf, parseGoDuration } from "#base";

export interface TokenAttributes {
  serviceAccountTokenAudience: string;
  cacheType: "ServiceAccount" | "Token";
  requireServiceAccount: boolean;
  requiredServiceAccountAnnotationKeys?: string[];
  optionalServiceAccountAnnotationKeys?: string[];
}

export interface Provider {
  name: string;
  matchImages: string[];
  defaultCacheDuration: string;
  apiVersion: string;
  args?: string[];
  env?: { name: string; value: string }[];
  tokenAttributes?: TokenAttributes;
}

export interface ProviderConfig {
  providers: readonly Provider[];
  /** Of the files as they are, for those who watch whether all nodes have the same. Undefined without any. */
  hash: string | undefined;
}

const tokenVersion = "credentialprovider.kubelet.k8s.io/v1";
const versions = ["v1", "v1alpha1", "v1beta1"].map(
  (version) => `credentialprovider.kubelet.k8s.io/${version}`,
);
const cacheTypes = ["ServiceAccount", "Token"];
const providersMax = 100;
const keyPattern = /^(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\/)?[a-z0-9](?:[-\w.]{0,61}[a-z0-9])?$/;

/** Throws an `Error` for what is no configuration of providers. */
export function readProviders(content: string): Provider[] {
  const value = parse(content, { maxAliasCount: 100, logLevel: "error" }) as {
    kind?: string;
    apiVersion?: string;
    providers?: Provider[];
  };
  if (value?.kind !== "CredentialProviderConfig")
    throw new Error(`failed to decode ${JSON.stringify(value?.kind ?? "")} (wrong Kind)`);
  const providers = value.providers ?? [];
  if (!Array.isArray(providers) || providers.some((each) => !each || typeof each !== "object"))
    throw new Error("providers is no list of providers");
  if (providers.length > providersMax) throw new Error(`more than ${providersMax} providers`);
  return providers;
}

/** What upstream would refuse, in its words. Pure. */
export function validateProviders(providers: readonly Provider[]): FieldError[] {
  const errors =
    providers.length === 0 ? [required("providers", "at least 1 item in plugins is required")] : [];
  const seen = new Set<string>();
  for (const provider of providers) {
    errors.push(...nameErrors(provider.name));
    if (seen.has(provider.name)) errors.push(duplicate("providers.name", provider.name));
    seen.add(provider.name);
    errors.push(...ownErrors(provider));
    if (provider.tokenAttributes) errors.push(...tokenErrors(provider, provider.tokenAttributes));
  }
  return errors;
}

function nameErrors(name: unknown): FieldError[] {
  const at = "providers.name";
  if (typeof name !== "string" || name === "") return [required(at)];
  const refused = (detail: string) => invalid(at, name, `provider name cannot ${detail}`);
  return [
    ...(name.includes("/") ? [refused("contain '/'")] : []),
    ...(name.includes(" ") ? [refused("contain spaces")] : []),
    ...(name === "." || name === ".." ? [refused(`be '${name}'`)] : []),
  ];
}

function ownErrors({ apiVersion, matchImages, defaultCacheDuration }: Provider): FieldError[] {
  const errors: FieldError[] = [];
  if (!apiVersion) errors.push(required("providers.apiVersion"));
  else if (!versions.includes(apiVersion))
    errors.push(notSupported("providers.apiVersion", apiVersion, versions));
  const isList = Array.isArray(matchImages) && matchImages.every((each) => typeof each === "string");
  if (!isList || matchImages.length === 0)
    errors.push(required("providers.matchImages", "at least 1 item in matchImages is required"));
  const at = "providers.defaultCacheDuration";
  if (defaultCacheDuration === undefined || defaultCacheDuration === null) return [...errors, required(at)];
  try {
    if (String(defaultCacheDuration).startsWith("-"))
      errors.push(
        invalid(at, defaultCacheDuration, "defaultCacheDuration must be greater than or equal to 0"),
      );
    else parseGoDuration(String(defaultCacheDuration));
  } catch (error) {
    errors.push(invalid(at, defaultCacheDuration, messageOf(error)));
  }
  return errors;
}

function tokenErrors({ apiVersion }: Provider, attributes: Partial<TokenAttributes>): FieldError[] {
  const at = "providers.tokenAttributes";
  const { serviceAccountTokenAudience, requireServiceAccount, cacheType } = attributes;
  const [needed, offered] = [
    attributes.requiredServiceAccountAnnotationKeys ?? [],
    attributes.optionalServiceAccountAnnotationKeys ?? [],
  ];
  const errors: FieldError[] = [];
  if (!serviceAccountTokenAudience) errors.push(required(`${at}.serviceAccountTokenAudience`));
  if (typeof requireServiceAccount !== "boolean") errors.push(required(`${at}.requireServiceAccount`));
  if (apiVersion !== tokenVersion)
    errors.push(forbiddenField(at, `tokenAttributes is only supported for ${tokenVersion} API version`));
  if (requireServiceAccount === false && needed.length > 0) {
    const why = "requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set";
    errors.push(forbiddenField(`${at}.requiredServiceAccountAnnotationKeys`, why));
  }
  errors.push(...keyErrors(`${at}.requiredServiceAccountAnnotationKeys`, needed));
  errors.push(...keyErrors(`${at}.optionalServiceAccountAnnotationKeys`, offered));
  const both = needed.filter((key) => offered.includes(key));
  if (both.length > 0) errors.push(invalid(at, both, "annotation keys cannot be both required and optional"));
  const where = `${at}.cacheType`;
  if (!cacheType) {
    const why = `cacheType is required to be set when tokenAttributes is specified. Supported values are: ${cacheTypes.join(", ")}`;
    errors.push(required(where, why));
  } else if (!cacheTypes.includes(cacheType)) errors.push(notSupported(where, cacheType, cacheTypes));
  return errors;
}

function keyErrors(at: string, keys: readonly string[]): FieldError[] {
  return keys.flatMap((key, i) => [
    ...(keyPattern.test(String(key).toLowerCase()) ? [] : [invalid(at, key, "must be a qualified name")]),
    ...(keys.indexOf(key) < i ? [duplicate(at, key)] : []),
  ]);
}

/** From all `.json`, `.yaml` and `.yml` files of the folder, in the order of their names; throws an `Error`. */
export async function readProviderConfig(dir: string): Promise<ProviderConfig> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  });
  const files = names.filter((name) => [".json", ".yaml", ".yml"].includes(extname(name))).sort();
  if (files.length === 0) return { providers: [], hash: undefined };
  const hash = createHash("sha256");
  const providers: Provider[] = [];
  for (const file of files) {
    const content = await readFile(join(dir, file), "utf8");
    hash.update(content);
    providers.push(...readProviders(content));
  }
  const errors = validateProviders(providers).map(({ field, message }) => `${field}: ${message}`);
  const told = errors.length === 1 ? errors[0] : `[${errors.join(", ")}]`;
  if (errors.length > 0) throw new Error(`failed to validate credential provider config: ${told}`);
  return { providers, hash: `sha256:${hash.digest("hex")}` };
}
