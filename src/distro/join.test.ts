import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { corev1 } from "#api";
import { createWorld, silentLogger, UserError } from "#base";
import { createAuthority } from "./certificates.ts";
import { pathsOf } from "./config.ts";
import { parseJoinRequest } from "./join.ts";
import { fingerprintOf, joinTokenOf, loadJoinSecret, parseToken } from "./join-token.ts";
import { freePodCidr } from "./node-ranges.ts";

const world = createWorld({ log: silentLogger });

test("a request names a node and its address, and nothing else does", () => {
  const good = { nodeName: "node-b", nodeAddress: "192.0.2.7" };
  expect(parseJoinRequest({ ...good, more: 1 })).toEqual(good);
  const bad = [
    undefined,
    null,
    "node-b",
    {},
    { ...good, nodeName: "B/../x" },
    { ...good, nodeName: "a".repeat(300) },
    { ...good, nodeAddress: "999.1.1.1" },
    { ...good, nodeAddress: "::1" },
    { ...good, nodeAddress: ["192.0.2.7"] },
  ];
  for (const value of bad) expect(() => parseJoinRequest(value)).toThrow(/must be/);
});

test("a node gets the first range that none has", () => {
  const node = (podCIDR: string) => ({ spec: { podCIDR } }) as corev1.Node;
  expect(freePodCidr("10.244.0.0/16", [node("10.244.0.0/24"), node("10.244.2.0/24")])).toBe("10.244.1.0/24");
  const all = Array.from({ length: 256 }, (_, i) => node(`10.244.${i}.0/24`));
  expect(freePodCidr("10.244.0.0/16", all)).toBeUndefined();
});

test("a token carries the authority's fingerprint and the cluster's secret, which stays", async () => {
  const folder = await mkdtemp(join(tmpdir(), "knarr-join-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const authority = await createAuthority(world, "test");
  const paths = { ...pathsOf("a", folder), tls: folder };
  await writeFile(join(folder, "ca.crt"), authority.cert);
  const token = await joinTokenOf(world, paths);
  const secret = await loadJoinSecret(world.random, folder);
  expect(parseToken(` ${token}\n`)).toEqual({ fingerprint: fingerprintOf(authority.cert), secret });
  expect((await stat(join(folder, "join-secret"))).mode & 0o777).toBe(0o600);
  for (const text of ["", "K1", token.slice(1), `${token}0`])
    expect(() => parseToken(text)).toThrow(UserError);
});
