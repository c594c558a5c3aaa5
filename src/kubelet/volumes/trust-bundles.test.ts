import { expect, test } from "vitest";
import { clusterTrustBundles } from "#api";
import { createClient, FakeApi } from "#client";
import { joinBundles, trustBundleOf } from "./trust-bundles.ts";

const pem = (text: string) =>
  `-----BEGIN CERTIFICATE-----\n${Buffer.from(text).toString("base64")}\n-----END CERTIFICATE-----\n`;

async function bundles() {
  const client = createClient(new FakeApi());
  const create = (name: string, trustBundle: string, signerName?: string, labels = {}) =>
    client.create(clusterTrustBundles, {
      metadata: { name, labels },
      spec: { trustBundle, ...(signerName ? { signerName } : {}) },
    });
  await create("plain", `# what it is\n${pem("a")}${pem("a")}`);
  await create("x.io:one:1", pem("b"), "x.io/one", { live: "yes" });
  await create("x.io:one:2", pem("c"), "x.io/one", { live: "yes" });
  await create("x.io:two:1", pem("d"), "x.io/two", { live: "yes" });
  return (projection: object) => trustBundleOf(client, { path: "p", ...projection });
}

test("a bundle by its name, without what stands around it", async () => {
  const ask = await bundles();
  expect(await ask({ name: "plain" })).toBe(pem("a"));
  await expect(ask({ name: "none" })).rejects.toThrow('"none" not found');
  expect(await ask({ name: "none", optional: true })).toBe("");
});

test("the bundles of a signer, those that the selector picks", async () => {
  const ask = await bundles();
  expect(await ask({ signerName: "x.io/one", labelSelector: {} })).toBe(pem("b") + pem("c"));
  const other = { signerName: "x.io/one", labelSelector: { matchLabels: { live: "no" } } };
  await expect(ask(other)).rejects.toThrow(
    "combination of signerName and labelSelector matched zero ClusterTrustBundles",
  );
  expect(await ask({ ...other, optional: true })).toBe("");
  expect(await ask({ signerName: "x.io/one", optional: true })).toBe("");
});

test("the order of bundles changes nothing", () => {
  expect(joinBundles([pem("b"), pem("a")])).toBe(joinBundles([pem("a") + pem("b"), pem("b")]));
});
