/** Service accounts, their tokens, and what pods get of them. */
import { createPublicKey, verify, type webcrypto } from "node:crypto";
import { expect } from "vitest";
import {
  type authenticationv1,
  configMaps,
  type corev1,
  pods,
  serviceAccounts,
  subjectAccessReviews,
  tokenReviews,
} from "#api";
import { eventually } from "../../eventually.ts";
import { podSpec } from "../objects.ts";
import { conformance, type Given } from "../suite.ts";

const tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount";

async function tokenOf({ kube, namespace }: Given, name = "default", audiences?: string[]): Promise<string> {
  const path = kube.resource(serviceAccounts, namespace).path(name, "token");
  const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec: { audiences } };
  const answer = await kube.ask<authenticationv1.TokenRequest>("POST", path, { body });
  expect(answer.status?.token).toBeTruthy();
  return answer.status?.token ?? "";
}

/** As the cluster sees whoever brings the token. */
async function review({ kube }: Given, token: string): Promise<authenticationv1.TokenReviewStatus> {
  const { status } = await kube.resource(tokenReviews).create({ spec: { token } });
  expect(status?.error ?? "").toBe("");
  expect(status?.authenticated).toBe(true);
  return status ?? {};
}

conformance("auth-cffe3a", "A token of a service account is what a TokenReview says", async (given) => {
  const { kube, namespace } = given;
  await kube.resource(serviceAccounts, namespace).create({ metadata: { name: "sa" } });
  const { user } = await review(given, await tokenOf(given, "sa"));
  expect(user?.username).toBe(`system:serviceaccount:${namespace}:sa`);
  expect(user?.groups).toEqual(
    expect.arrayContaining([
      "system:serviceaccounts",
      `system:serviceaccounts:${namespace}`,
      "system:authenticated",
    ]),
  );
});

conformance("auth-577272", "A service account is updated", async ({ kube, namespace }) => {
  const all = kube.resource(serviceAccounts, namespace);
  await all.create({ metadata: { name: "sa" } });
  const updated = await all.update("sa", (account) => {
    account.automountServiceAccountToken = true;
  });
  expect(updated.automountServiceAccountToken).toBe(true);
});

conformance(
  "auth-c662b1",
  "Service accounts are created, patched, found and deleted",
  async ({ kube, namespace }) => {
    const all = kube.resource(serviceAccounts, namespace);
    const labelSelector = `test-serviceaccount-static=${namespace}`;
    using watched = await all.watch({ labelSelector });
    await all.create({ metadata: { name: "lived", labels: { "test-serviceaccount-static": namespace } } });
    await watched.next("ADDED");
    await all.patch("lived", "strategic", { automountServiceAccountToken: false });
    await watched.next("MODIFIED", (account) => account.automountServiceAccountToken === false);
    const { items } = await kube.resource(serviceAccounts).list({ labelSelector });
    expect(items).toMatchObject([{ metadata: { name: "lived" }, automountServiceAccountToken: false }]);
    await all.deleteCollection({ labelSelector });
    await watched.next("DELETED");
  },
);

conformance(
  "auth-1be839",
  "Every namespace has the certificate of its cluster",
  async ({ kube, namespace }) => {
    const all = kube.resource(configMaps, namespace);
    const name = "kube-root-ca.crt";
    const there = () =>
      eventually("the root certificate", async () => {
        const certificate = (await all.find(name))?.data?.["ca.crt"];
        return certificate?.includes("BEGIN CERTIFICATE") ? certificate : undefined;
      });
    const certificate = await there();
    await all.delete(name);
    expect(await there()).toBe(certificate);
    await all.update(name, (map) => {
      map.data = { "ca.crt": "", other: "data" };
    });
    expect(await there()).toBe(certificate);
    await all.until(name, ({ data }) => data?.other === undefined);
  },
);

/** A running pod, and what a shell in it says. */
async function runningPod(given: Given, name: string, more: corev1.PodSpec | object = {}) {
  const all = given.kube.resource(pods, given.namespace);
  const created = await all.create({ metadata: { name }, spec: podSpec(given.image, more as never) });
  await all.until(name, ({ status }) => status?.phase === "Running");
  const shell = (command: string) =>
    given.kubectl.ok(["exec", "--namespace", given.namespace, name, "--", "sh", "-c", command]);
  return { created, shell };
}

conformance(
  "auth-8ab742",
  "Pods have a token, the cluster's certificate and their namespace",
  async (given) => {
    const { kube, namespace } = given;
    await kube.resource(serviceAccounts, namespace).create({ metadata: { name: "mounted" } });
    const { created, shell } = await runningPod(given, "mounted", { serviceAccountName: "mounted" });
    const mounts = created.spec.containers[0]?.volumeMounts?.map(({ mountPath }) => mountPath);
    expect(mounts).toContain(tokenPath);
    const { user } = await review(given, (await shell(`cat ${tokenPath}/token`)).trim());
    expect(user?.username).toBe(`system:serviceaccount:${namespace}:mounted`);
    expect(user?.extra?.["authentication.kubernetes.io/pod-name"]).toEqual(["mounted"]);
    expect((await shell(`cat ${tokenPath}/namespace`)).trim()).toBe(namespace);
    const { data } = await kube.resource(configMaps, namespace).get("kube-root-ca.crt");
    expect(await shell(`cat ${tokenPath}/ca.crt`)).toBe(data?.["ca.crt"]);
  },
);

conformance("auth-d7c6fe", "A volume may have a token for an audience", async (given) => {
  const serviceAccountToken = {
    path: "test-token",
    expirationSeconds: 2 * 60 * 60,
    audience: "e2e.example.com",
  };
  const { shell } = await runningPod(given, "projected", {
    volumes: [{ name: "projected", projected: { sources: [{ serviceAccountToken }] } }],
    containers: [
      {
        ...podSpec(given.image).containers?.[0],
        volumeMounts: [{ name: "projected", mountPath: "/var/run/secrets/e2e" }],
      },
    ],
  });
  const token = (await shell("cat /var/run/secrets/e2e/test-token")).trim();
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  expect(claims.aud).toEqual(["e2e.example.com"]);
  expect(claims.sub).toBe(`system:serviceaccount:${given.namespace}:default`);
  expect(claims.exp - claims.iat).toBe(2 * 60 * 60);
});

conformance(
  "auth-bfbfa9",
  "Pods and service accounts may do without a token",
  async ({ kube, namespace, image }) => {
    const accounts = kube.resource(serviceAccounts, namespace);
    const all = kube.resource(pods, namespace);
    await accounts.create({ metadata: { name: "default-account" } });
    await accounts.create({ metadata: { name: "mount" }, automountServiceAccountToken: true });
    await accounts.create({ metadata: { name: "nomount" }, automountServiceAccountToken: false });
    for (const serviceAccountName of ["default-account", "mount", "nomount"])
      for (const automountServiceAccountToken of [undefined, true, false]) {
        const spec = podSpec(image, {
          serviceAccountName,
          ...(automountServiceAccountToken === undefined ? {} : { automountServiceAccountToken }),
        });
        const name = `${serviceAccountName}-${automountServiceAccountToken ?? "unset"}`;
        const created = await all.create({ metadata: { name }, spec });
        const mounts = created.spec.containers[0]?.volumeMounts ?? [];
        const expected = automountServiceAccountToken ?? serviceAccountName !== "nomount";
        expect([name, mounts.some(({ mountPath }) => mountPath === tokenPath)]).toEqual([name, expected]);
        await all.delete(name, { gracePeriodSeconds: 0 });
      }
  },
);

type WebKey = webcrypto.JsonWebKey & { kid?: string };

function checked(token: string, keys: WebKey[]): boolean {
  const [head = "", body = "", signature = ""] = token.split(".");
  const { alg, kid } = JSON.parse(Buffer.from(head, "base64url").toString());
  const jwk = keys.find((each) => each.kid === kid);
  if (!jwk) return false;
  const key = createPublicKey({ key: jwk, format: "jwk" });
  const hash = `sha${String(alg).slice(2)}`;
  const signed = Buffer.from(`${head}.${body}`);
  return verify(hash, signed, { key, dsaEncoding: "ieee-p1363" }, Buffer.from(signature, "base64url"));
}

conformance("auth-7cb97e", "The issuer of tokens tells how they are checked", async (given) => {
  const { shell } = await runningPod(given, "issuer");
  const token = (await shell(`cat ${tokenPath}/token`)).trim();
  // As the pod itself: every service account may ask.
  const asPod = given.kube.withToken(token);
  const issuer = await asPod.ask<{
    issuer: string;
    jwks_uri: string;
    response_types_supported: string[];
    id_token_signing_alg_values_supported: string[];
  }>("GET", "/.well-known/openid-configuration");
  const claims = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  const head = JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString());
  expect(issuer.issuer).toBe(claims.iss);
  expect(issuer.id_token_signing_alg_values_supported).toContain(head.alg);
  const { keys } = await asPod.ask<{ keys: WebKey[] }>("GET", new URL(issuer.jwks_uri).pathname);
  expect(checked(token, keys)).toBe(true);
  expect(checked(`${token.split(".").slice(0, 2).join(".")}.${"A".repeat(86)}`, keys)).toBe(false);
});

conformance("auth-102be8", "What a SubjectAccessReview says is what happens", async (given) => {
  const { kube, namespace } = given;
  await kube.resource(serviceAccounts, namespace).create({ metadata: { name: "e2e" } });
  const user = `system:serviceaccount:${namespace}:e2e`;
  const groups = ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"];
  const asAccount = (path: string) => kube.send("GET", path, { headers: { "impersonate-user": user } });
  const resourceAttributes = { verb: "list", resource: "configmaps", namespace, version: "v1" };
  const sar = await kube
    .resource(subjectAccessReviews)
    .create({ spec: { user, groups, resourceAttributes } });
  const allowed = (await asAccount(`/api/v1/namespaces/${namespace}/configmaps`)).code === 200;
  expect(sar.status?.allowed).toBe(allowed);
  const path = `/apis/authorization.k8s.io/v1/namespaces/${namespace}/localsubjectaccessreviews`;
  const local = await kube.ask<typeof sar>("POST", path, {
    body: {
      apiVersion: "authorization.k8s.io/v1",
      kind: "LocalSubjectAccessReview",
      metadata: { namespace },
      spec: { user, groups, resourceAttributes },
    },
  });
  expect(local.status?.allowed).toBe(allowed);
});
