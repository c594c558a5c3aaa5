import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type Provider, readProviderConfig, readProviders, validateProviders } from "./credential-config.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-providers-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const good: Provider = {
  name: "logins",
  apiVersion: "credentialprovider.kubelet.k8s.io/v1",
  matchImages: ["registry.io"],
  defaultCacheDuration: "10m",
};
const attributes = {
  serviceAccountTokenAudience: "registry.io",
  cacheType: "Token",
  requireServiceAccount: true,
} as const;
const told = (...providers: object[]) =>
  validateProviders(providers as Provider[]).map(({ field, message }) => `${field}: ${message}`);

test("a good provider is taken, with a token too", () => {
  expect(told(good, { ...good, name: "others", tokenAttributes: attributes })).toEqual([]);
});

test.each([
  [{ name: "../sh" }, "providers.name: Invalid value: \"../sh\": provider name cannot contain '/'"],
  [{ name: "." }, "providers.name: Invalid value: \".\": provider name cannot be '.'"],
  [{ name: "a b" }, 'providers.name: Invalid value: "a b": provider name cannot contain spaces'],
  [{ apiVersion: "" }, "providers.apiVersion: Required value"],
  [
    { apiVersion: "v7" },
    'providers.apiVersion: Unsupported value: "v7": supported values: "credentialprovider.kubelet.k8s.io/v1", "credentialprovider.kubelet.k8s.io/v1alpha1", "credentialprovider.kubelet.k8s.io/v1beta1"',
  ],
  [{ matchImages: [] }, "providers.matchImages: Required value: at least 1 item in matchImages is required"],
  [{ matchImages: 7 }, "providers.matchImages: Required value: at least 1 item in matchImages is required"],
  [{ defaultCacheDuration: undefined }, "providers.defaultCacheDuration: Required value"],
  [
    { defaultCacheDuration: "-1s" },
    'providers.defaultCacheDuration: Invalid value: "-1s": defaultCacheDuration must be greater than or equal to 0',
  ],
])("refuses a provider with %j", (change, error) => {
  expect(told({ ...good, ...change })).toEqual([error]);
});

const at = "providers.tokenAttributes";
test.each([
  [{ serviceAccountTokenAudience: "" }, `${at}.serviceAccountTokenAudience: Required value`],
  [{ requireServiceAccount: undefined }, `${at}.requireServiceAccount: Required value`],
  [
    { cacheType: undefined },
    `${at}.cacheType: Required value: cacheType is required to be set when tokenAttributes is specified. Supported values are: ServiceAccount, Token`,
  ],
  [
    { cacheType: "Pod" },
    `${at}.cacheType: Unsupported value: "Pod": supported values: "ServiceAccount", "Token"`,
  ],
  [
    { requireServiceAccount: false, requiredServiceAccountAnnotationKeys: ["a"] },
    `${at}.requiredServiceAccountAnnotationKeys: Forbidden: requireServiceAccount cannot be false when requiredServiceAccountAnnotationKeys is set`,
  ],
  [
    { requiredServiceAccountAnnotationKeys: ["a"], optionalServiceAccountAnnotationKeys: ["a"] },
    `${at}: Invalid value: ["a"]: annotation keys cannot be both required and optional`,
  ],
  [
    { optionalServiceAccountAnnotationKeys: ["a/B", "a/B"] },
    `${at}.optionalServiceAccountAnnotationKeys: Duplicate value: "a/B"`,
  ],
  [
    { optionalServiceAccountAnnotationKeys: ["a b"] },
    `${at}.optionalServiceAccountAnnotationKeys: Invalid value: "a b": must be a qualified name`,
  ],
])("refuses a token with %j", (change, error) => {
  expect(told({ ...good, tokenAttributes: { ...attributes, ...change } })).toEqual([error]);
});

test("tokens came with v1", () => {
  const old = {
    ...good,
    apiVersion: "credentialprovider.kubelet.k8s.io/v1beta1",
    tokenAttributes: attributes,
  };
  expect(told(old)).toEqual([
    `${at}: Forbidden: tokenAttributes is only supported for credentialprovider.kubelet.k8s.io/v1 API version`,
  ]);
});

test("names are used once, and there is at least one provider", () => {
  expect(told(good, good)).toEqual(['providers.name: Duplicate value: "logins"']);
  expect(told()).toEqual(["providers: Required value: at least 1 item in plugins is required"]);
});

test.each([
  "[]",
  "kind: Pod",
  "kind: CredentialProviderConfig\nproviders: 7",
  "kind: CredentialProviderConfig\nproviders: [7]",
])("refuses %j", (content) => {
  expect(() => readProviders(content)).toThrow();
});

test("several files are one configuration, with one hash", async () => {
  expect(await readProviderConfig(join(dir, "missing"))).toEqual({ providers: [], hash: undefined });
  const write = (file: string, ...providers: object[]) =>
    writeFileSync(join(dir, file), JSON.stringify({ kind: "CredentialProviderConfig", providers }));
  write("20.yaml", good);
  write("10.json", { ...good, name: "first" });
  writeFileSync(join(dir, "logins"), "#!/bin/sh\n");
  const { providers, hash } = await readProviderConfig(dir);
  expect(providers.map(({ name }) => name)).toEqual(["first", "logins"]);
  expect(hash).toMatch(/^sha256:[0-9a-f]{64}$/);
  write("30.yml", good, { ...good, name: "" });
  await expect(readProviderConfig(dir)).rejects.toThrow(
    'failed to validate credential provider config: [providers.name: Duplicate value: "logins", providers.name: Required value]',
  );
});
