import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { forgetEarlierBoot } from "./earlier-boot.ts";

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "knarr-boot-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

test("after another start of the machine leases go, and results that power has left empty", async () => {
  const state = join(dir, "state");
  const results = join(dir, "results");
  for (const folder of [state, results]) mkdirSync(folder);
  const lease = join(state, "10.244.0.5");
  const fill = () => {
    writeFileSync(lease, "");
    writeFileSync(join(results, "knarr-a-eth0"), "");
    writeFileSync(join(results, "knarr-b-eth0"), '{"kind":"cniCacheV1"}');
    writeFileSync(join(results, "knarr-c-eth0"), '{"kind":');
  };
  fill();
  await forgetEarlierBoot(state, results);
  expect(existsSync(lease)).toBe(false);
  expect(readdirSync(results)).toEqual(["knarr-b-eth0"]);
  fill();
  await forgetEarlierBoot(state, results);
  expect(existsSync(lease)).toBe(true);
  expect(readdirSync(results)).toHaveLength(3);
});

test("nothing is there yet", async () => {
  await forgetEarlierBoot(join(dir, "state"), join(dir, "results"));
  expect(readdirSync(join(dir, "state"))).toEqual(["boot-id"]);
});
