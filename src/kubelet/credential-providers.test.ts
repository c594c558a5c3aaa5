import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import { authOf, createCredentialProviders, matchesImage, readProviders } from "./credential-providers.ts";

test.each([
  ["registry.io", "registry.io/web:1", true],
  ["registry.io/team", "registry.io/team/web", true],
  ["registry.io/other", "registry.io/team/web", false],
  ["*.registry.io", "eu.registry.io/web", true],
  ["*.registry.io", "a.eu.registry.io/web", false],
  ["eu-*.registry.io", "eu-1.registry.io/web", true],
  ["registry.io:5000", "registry.io/web", false],
  ["registry.io:5000", "registry.io:5000/web", true],
  ["docker.io/library", "web", true],
])("%s fits %s: %s", (pattern, image, fits) => {
  expect(matchesImage(pattern, image)).toBe(fits);
});

test("the most special pattern of an answer holds", () => {
  const login = (username: string) => ({ username, password: "p" });
  const auth = { "registry.io": login("all"), "registry.io/team": login("team") };
  expect(authOf({ auth }, "registry.io/team/web")).toEqual(login("team"));
  expect(authOf({ auth }, "registry.io/web")).toEqual(login("all"));
  expect(authOf({ auth }, "quay.io/web")).toBeUndefined();
});

test.each([
  "[]",
  "kind: Pod",
  "kind: CredentialProviderConfig\nproviders: [{name: ../sh, matchImages: [a]}]",
])("refuses %j", (content) => {
  expect(() => readProviders(content)).toThrow();
});

const dir = mkdtempSync(join(tmpdir(), "knarr-logins-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("a program is asked for an image's login, and not again while its answer is good", async () => {
  const providers = createCredentialProviders(dir, createWorld({ log: silentLogger }));
  expect(await providers.loginFor("registry.io/web")).toBeUndefined();
  const answer = {
    apiVersion: "credentialprovider.kubelet.k8s.io/v1",
    kind: "CredentialProviderResponse",
    cacheKeyType: "Registry",
    cacheDuration: "1h",
    auth: { "registry.io": { username: "ship", password: "cargo" } },
  };
  const script = `#!/bin/sh\ncat >> "$SEEN"\necho >> "$SEEN"\necho '${JSON.stringify(answer)}'\n`;
  writeFileSync(join(dir, "logins"), script);
  chmodSync(join(dir, "logins"), 0o755);
  const config = {
    apiVersion: "kubelet.config.k8s.io/v1",
    kind: "CredentialProviderConfig",
    providers: [
      {
        name: "logins",
        apiVersion: answer.apiVersion,
        matchImages: ["registry.io"],
        defaultCacheDuration: "10m",
        env: [{ name: "SEEN", value: join(dir, "seen") }],
      },
    ],
  };
  writeFileSync(join(dir, "config.yaml"), JSON.stringify(config));
  const login = { username: "ship", password: "cargo" };
  expect(await providers.loginFor("registry.io/web")).toEqual(login);
  expect(await providers.loginFor("registry.io/other:2")).toEqual(login);
  expect(await providers.loginFor("quay.io/web")).toBeUndefined();
  const requests = readFileSync(join(dir, "seen"), "utf8").trim().split("\n");
  expect(requests.map((each) => JSON.parse(each))).toEqual([
    { kind: "CredentialProviderRequest", apiVersion: answer.apiVersion, image: "registry.io/web" },
  ]);
});
