import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { corev1 } from "#api";
import { createWorld, silentLogger } from "#base";
import type { Client } from "#client";
import { annotationsFor, authsOf, createCredentialProviders } from "./credential-providers.ts";
import { makePod } from "./testing/pods.ts";
import type { TokenSource } from "./volumes/tokens.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-logins-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const apiVersion = "credentialprovider.kubelet.k8s.io/v1";
const login = { username: "ship", password: "cargo" };
const answer = {
  apiVersion,
  kind: "CredentialProviderResponse",
  cacheKeyType: "Registry",
  cacheDuration: "1h",
  auth: { "registry.io": login },
};

/** A program that writes down what it is asked, and the providers that ask it. */
function setUp(name: string, provider: object = {}, said: object = answer, script?: string) {
  const home = join(dir, name);
  mkdirSync(home);
  const program = `#!/bin/sh\ncat >> "$SEEN"\necho >> "$SEEN"\necho '${JSON.stringify(said)}'\n`;
  writeFileSync(join(home, "logins"), script ?? program);
  chmodSync(join(home, "logins"), 0o755);
  const seen = join(home, "seen");
  const config = {
    apiVersion: "kubelet.config.k8s.io/v1",
    kind: "CredentialProviderConfig",
    providers: [
      {
        name: "logins",
        apiVersion,
        matchImages: ["registry.io"],
        defaultCacheDuration: "10m",
        env: [{ name: "SEEN", value: seen }],
        ...provider,
      },
    ],
  };
  writeFileSync(join(home, "config.yaml"), JSON.stringify(config));
  const account = { uid: "account-1", annotations: { role: "reader" } as Record<string, string> };
  const client = {
    get: async (_type: unknown, { name: of }: { name: string }) => ({ metadata: { ...account, name: of } }),
  } as unknown as Client;
  const state = { token: "token-1" };
  const tokens = { tokenFor: async () => state.token } as unknown as TokenSource;
  const world = createWorld({ log: silentLogger });
  const providers = createCredentialProviders({ dir: home, world, client, tokens });
  const requests = () => {
    const lines = readFileSync(seen, "utf8").trim().split("\n");
    return lines.map((each) => JSON.parse(each) as { image: string; serviceAccountToken?: string });
  };
  return { providers, requests, account, state, world };
}

const podOf = (serviceAccountName?: string): corev1.Pod => {
  const pod = makePod();
  return { ...pod, spec: { ...pod.spec, ...(serviceAccountName ? { serviceAccountName } : {}) } };
};

test("every login of an answer that fits, the most special first", () => {
  const of = (username: string) => ({ username, password: "p" });
  const auth = { "registry.io": of("all"), "registry.io/team": of("team"), "quay.io/a": {} };
  const users = (image: string) => authsOf({ auth }, image).map((each) => each.auth.username);
  expect(users("registry.io/team/web")).toEqual(["team", "all"]);
  expect(users("registry.io/web")).toEqual(["all"]);
  expect(users("quay.io/a")).toEqual([]);
});

test("without a configuration nobody is asked", async () => {
  const client = {} as unknown as Client;
  const tokens = {} as unknown as TokenSource;
  const world = createWorld({ log: silentLogger });
  const providers = createCredentialProviders({ dir: join(dir, "none"), world, client, tokens });
  expect(await providers.loginsFor("registry.io/web", podOf())).toEqual([]);
});

test("a program is asked for an image's login, and not again while its answer is good", async () => {
  const { providers, requests, world } = setUp("plain");
  const ask = (image: string) => providers.loginsFor(image, podOf("robot"));
  expect(await Promise.all([ask("registry.io/web:1"), ask("registry.io/web:1")])).toEqual([
    [{ auth: login }],
    [{ auth: login }],
  ]);
  expect(await ask("registry.io/other:2")).toEqual([{ auth: login }]);
  expect(await ask("quay.io/web")).toEqual([]);
  expect(requests()).toEqual([{ kind: "CredentialProviderRequest", apiVersion, image: "registry.io/web" }]);
  expect(await world.metrics.text()).toMatch(
    /kubelet_credential_provider_config_info\{hash="sha256:\w+"\} 1/,
  );
});

test("an answer that says so is not kept", async () => {
  const { providers, requests } = setUp("fresh", {}, { ...answer, cacheDuration: "0s" });
  await providers.loginsFor("registry.io/web", podOf());
  await providers.loginsFor("registry.io/web", podOf());
  expect(requests()).toHaveLength(2);
});

test.each([
  ["v1beta1", { ...answer, apiVersion: "credentialprovider.kubelet.k8s.io/v1beta1" }],
  ["no kind", { ...answer, kind: "Pod" }],
  ["no key type", { ...answer, cacheKeyType: "Node" }],
])("an answer with %s gives no login", async (name, said) => {
  const { providers } = setUp(`wrong ${name}`, {}, said);
  expect(await providers.loginsFor("registry.io/web", podOf())).toEqual([]);
});

test("a program that fails gives no login, and is counted", async () => {
  const { providers, world } = setUp("failing", {}, answer, "#!/bin/sh\nexit 3\n");
  expect(await providers.loginsFor("registry.io/web", podOf())).toEqual([]);
  expect(await world.metrics.text()).toContain(
    'kubelet_credential_provider_plugin_errors{plugin_name="logins"} 1',
  );
});

const tokenAttributes = {
  serviceAccountTokenAudience: "registry.io",
  cacheType: "ServiceAccount",
  requireServiceAccount: true,
  requiredServiceAccountAnnotationKeys: ["role"],
  optionalServiceAccountAnnotationKeys: ["tenant"],
};

test("a program is shown the token and annotations of the pod's account; its login is that account's", async () => {
  const { providers, requests, account, state } = setUp("tokens", { tokenAttributes });
  const ask = (pod: corev1.Pod) => providers.loginsFor("registry.io/web:1", pod);
  const robot = { uid: "account-1", namespace: "default", name: "robot" };
  expect(await ask(podOf("robot"))).toEqual([{ auth: login, account: robot }]);
  expect(requests()).toEqual([
    {
      kind: "CredentialProviderRequest",
      apiVersion,
      image: "registry.io/web",
      serviceAccountToken: "token-1",
      serviceAccountAnnotations: { role: "reader" },
    },
  ]);
  state.token = "token-2";
  await ask(podOf("robot"));
  expect(requests()).toHaveLength(1);
  await ask(podOf("other"));
  expect(requests()).toHaveLength(2);
  account.annotations = { role: "reader", tenant: "a" };
  await ask(podOf("robot"));
  expect(requests()).toHaveLength(3);
  account.uid = "account-2";
  expect(await ask(podOf("robot"))).toEqual([{ auth: login, account: { ...robot, uid: "account-2" } }]);
  expect(requests()).toHaveLength(4);
  account.annotations = {};
  expect(await ask(podOf("robot"))).toEqual([]);
  expect(await ask(podOf())).toEqual([]);
  expect(requests()).toHaveLength(4);
});

test("where logins end with their token, each token gets one", async () => {
  const { providers, requests, state } = setUp("per-token", {
    tokenAttributes: { ...tokenAttributes, cacheType: "Token" },
  });
  for (const token of ["a", "a", "b"]) {
    state.token = token;
    await providers.loginsFor("registry.io/web", podOf("robot"));
  }
  expect(requests().map(({ serviceAccountToken }) => serviceAccountToken)).toEqual(["a", "b"]);
});

test("a program that needs no account is asked for pods without one", async () => {
  const { requireServiceAccount: _, requiredServiceAccountAnnotationKeys: __, ...rest } = tokenAttributes;
  const { providers, requests } = setUp("optional", {
    tokenAttributes: { ...rest, requireServiceAccount: false },
  });
  expect(await providers.loginsFor("registry.io/web", podOf())).toEqual([{ auth: login }]);
  expect(requests()).toEqual([{ kind: "CredentialProviderRequest", apiVersion, image: "registry.io/web" }]);
});

test("annotations that are needed, and those that are welcome", () => {
  const provider = { tokenAttributes } as unknown as Parameters<typeof annotationsFor>[0];
  expect(annotationsFor(provider, { role: "a", tenant: "b", other: "c" })).toEqual({
    role: "a",
    tenant: "b",
  });
  expect(annotationsFor(provider, { tenant: "b" })).toBeUndefined();
  expect(annotationsFor(provider, undefined)).toBeUndefined();
});
