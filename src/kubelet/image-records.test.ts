import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createWorld, silentLogger } from "#base";
import type { Login } from "./image-credentials.ts";
import { repositoryOf } from "./image-patterns.ts";
import { createImageRecords, isExempt, pruneImageRecords } from "./image-records.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-images-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const policy = (imageVerification = "NeverVerifyPreloadedImages", ...imagesNotVerified: string[]) => ({
  imageVerification,
  imagesNotVerified,
});
const world = createWorld({ log: silentLogger });
const records = (name: string) => createImageRecords(join(dir, name), policy(), world);
const login = (name: string, credentialHash = name): Login => ({
  auth: {},
  secret: { uid: name, namespace: "default", name, credentialHash },
});

test("names without tags and digests are what logins are for", () => {
  expect(repositoryOf("web:1")).toBe("docker.io/library/web");
  expect(repositoryOf("127.0.0.1:5000/a/b:1")).toBe("127.0.0.1:5000/a/b");
  expect(repositoryOf(`quay.io/a@sha256:${"0".repeat(64)}`)).toBe("quay.io/a");
});

test("what was there before is everybody's; what came by a secret is for those who have it", async () => {
  const first = records("secrets");
  expect(await first.mayUse("quay.io/a:1", "sha256:1", [])).toBe(true);
  await first.begin("quay.io/a:1");
  expect(await first.mayUse("quay.io/a:1", "sha256:1", [])).toBe(false);
  await first.end("quay.io/a:1", "sha256:1", login("right"));
  const again = records("secrets");
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [])).toBe(false);
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [login("wrong")])).toBe(false);
  expect(await again.mayUse("quay.io/a:2", "sha256:1", [login("right")])).toBe(true);
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [login("elsewhere", "right")])).toBe(true);
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [login("right", "renewed")])).toBe(true);
  expect(await again.mayUse("quay.io/other:1", "sha256:1", [login("right")])).toBe(false);
});

test("what came by a login of an account is for its pods, and no longer for one of the same name", async () => {
  const store = records("accounts");
  const of = (uid: string): Login => ({ auth: {}, account: { uid, namespace: "default", name: "robot" } });
  await store.begin("quay.io/a:1");
  await store.end("quay.io/a:1", "sha256:1", of("1"));
  await store.begin("quay.io/a:1");
  await store.end("quay.io/a:1", "sha256:1", login("right"));
  const again = records("accounts");
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [of("1")])).toBe(true);
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [login("right")])).toBe(true);
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [of("2")])).toBe(false);
  expect(await again.mayUse("quay.io/a:1", "sha256:1", [])).toBe(false);
});

test("what came without a login is everybody's from then on", async () => {
  const store = records("open");
  for (const each of [login("right"), undefined, login("right")]) {
    await store.begin("quay.io/a:1");
    await store.end("quay.io/a:1", "sha256:1", each);
  }
  expect(await store.mayUse("quay.io/a:1", "sha256:1", [])).toBe(true);
});

test("a pull that a kubelet did not see the end of does not make an image everybody's", async () => {
  await records("broken").begin("quay.io/a:1");
  expect(await records("broken").mayUse("quay.io/a:1", "sha256:1", [])).toBe(false);
});

test("a pull that failed leaves the image, should it come otherwise, to everybody", async () => {
  const store = records("failed");
  await store.begin("quay.io/a:1");
  // Another pod asks meanwhile.
  expect(await store.mayUse("quay.io/a:1", "sha256:1", [])).toBe(false);
  await store.end("quay.io/a:1");
  expect(await store.mayUse("quay.io/a:1", "sha256:1", [])).toBe(true);
  await records("failed").begin("quay.io/a:1");
  const later = records("failed");
  expect(await later.mayUse("quay.io/a:1", "sha256:1", [])).toBe(false);
  await later.begin("quay.io/a:1");
  await later.end("quay.io/a:1");
  expect(await later.mayUse("quay.io/a:1", "sha256:1", [])).toBe(true);
});

test("records go with their images", async () => {
  const store = records("pruned");
  await store.begin("quay.io/a:1");
  await store.end("quay.io/a:1", "sha256:1", login("right"));
  await pruneImageRecords(join(dir, "pruned"), ["sha256:1"]);
  expect(await store.mayUse("quay.io/a:1", "sha256:1", [])).toBe(false);
  await pruneImageRecords(join(dir, "pruned"), []);
  expect(await store.mayUse("quay.io/a:1", "sha256:1", [])).toBe(true);
});

test.each([
  [policy("NeverVerify"), true, true],
  [policy("AlwaysVerify"), false, false],
  [policy("NeverVerifyPreloadedImages"), true, false],
  [policy("NeverVerifyPreloadedImages"), false, true],
  [policy("NeverVerifyAllowlistedImages", "quay.io/a"), true, true],
  [policy("NeverVerifyAllowlistedImages", "quay.io/*"), true, true],
  [policy("NeverVerifyAllowlistedImages", "quay.io/b"), true, false],
])("policy %j, pulled %s", (given, wasPulled, exempt) => {
  expect(isExempt(given, "quay.io/a:1", wasPulled)).toBe(exempt);
});
