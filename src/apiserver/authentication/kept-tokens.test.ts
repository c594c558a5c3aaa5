import { expect, it } from "vitest";
import { configMaps, secrets, serviceAccounts } from "#api";
import { startTestServer } from "../testing/start.ts";

const namespace = "default";
const year = 2 ** 32;

it("a token in a Secret is good while it stands there and is not marked; its use is noted", async () => {
  const { client, clock, send, stop } = await startTestServer();
  const account = await client.create(serviceAccounts, { metadata: { namespace, name: "robot" } });
  const annotations = { "kubernetes.io/service-account.name": "robot" };
  const type = "kubernetes.io/service-account-token";
  const secret = await client.create(secrets, { metadata: { namespace, name: "t", annotations }, type });
  const boundObjectRef = { apiVersion: "v1", kind: "Secret", name: "t", uid: secret.metadata.uid };
  const issue = async (expirationSeconds: number) => {
    const spec = { boundObjectRef, expirationSeconds };
    const asked = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
    const { status } = await client.post<{ status: { token: string } }>(
      serviceAccounts,
      account.metadata,
      "token",
      asked,
    );
    return status.token;
  };
  const keep = (token: string) =>
    client.patch(secrets, secret.metadata, "merge", {
      data: { token: Buffer.from(token).toString("base64") },
    });
  const isGood = async (token: string) => {
    const path = "/apis/authentication.k8s.io/v1/tokenreviews";
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token } };
    const review = (await send("POST", path, body)).body as unknown as {
      status: { authenticated?: boolean };
    };
    return review.status.authenticated === true;
  };
  const labels = async () => (await client.get(secrets, secret.metadata)).metadata.labels;

  const kept = await issue(year);
  expect(await isGood(kept)).toBe(false);
  await keep(kept);
  expect(await isGood(kept)).toBe(true);
  await clock.advance(1);
  const today = new Date(clock.now()).toISOString().slice(0, 10);
  expect(await labels()).toEqual({ "kubernetes.io/legacy-token-last-used": today });
  const { metadata } = await client.get(secrets, secret.metadata);
  // Once a day does.
  expect(await isGood(kept)).toBe(true);
  await clock.advance(1);
  expect((await client.get(secrets, secret.metadata)).metadata.resourceVersion).toBe(
    metadata.resourceVersion,
  );
  // One that somebody asked for beside it stands nowhere.
  expect(await isGood(await issue(3_600))).toBe(true);

  const mark = "kubernetes.io/legacy-token-invalid-since";
  await client.patch(secrets, secret.metadata, "merge", { metadata: { labels: { [mark]: today } } });
  expect(await isGood(kept)).toBe(false);
  await client.patch(secrets, secret.metadata, "merge", { metadata: { labels: { [mark]: null } } });
  expect(await isGood(kept)).toBe(true);
  await keep(await issue(year));
  expect(await isGood(kept)).toBe(false);
  await stop();
});

it("since when uses are noted stands in a ConfigMap, whatever becomes of it", async () => {
  const { client, clock, stop } = await startTestServer();
  const where = {
    namespace: "kube-system",
    name: "kube-apiserver-legacy-service-account-token-tracking",
  };
  const since = async () => (await client.get(configMaps, where)).data?.since;
  const first = await since();
  expect(first).toMatch(/^\d{4}-\d{2}-\d{2}$/);
  await clock.advance(600_000);
  expect(await since()).toBe(first);
  await client.patch(configMaps, where, "merge", { data: { since: "yesterday" } });
  await clock.advance(60_000);
  await new Promise((resolve) => setTimeout(resolve, 10));
  expect(await since()).toBe(new Date(clock.now()).toISOString().slice(0, 10));
  await stop();
});
