/** The rules as the kernel takes them, in a network namespace of the test's own. */
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { run, runOk } from "#base";
import type { ProxyElements } from "./elements.ts";
import { capacityFor, emptyElements, skeleton, transaction } from "./ruleset.ts";

const able = process.getuid?.() === 0 && existsSync("/usr/sbin/nft");
const namespace = `knarr-nft-${process.pid}`;
let folder: string;

beforeAll(async () => {
  if (!able) return;
  folder = await mkdtemp(join(tmpdir(), "knarr-nft-"));
  await runOk("ip", ["netns", "add", namespace]);
});
afterAll(async () => {
  if (!able) return;
  await run("ip", ["netns", "del", namespace]);
  await rm(folder, { recursive: true, force: true });
});

const nft = (...args: string[]) => runOk("nsenter", [`--net=/run/netns/${namespace}`, "nft", ...args]);

async function apply(rules: string): Promise<void> {
  const file = join(folder, "rules.nft");
  await writeFile(file, rules);
  await nft("-f", file);
}

/** `count` Services of `endpoints` endpoints each. */
function elements(count: number, endpoints: number): ProxyElements {
  const out = { ...emptyElements(), largest: endpoints };
  for (let i = 0; i < count; i++) {
    const front = `10.96.0.${i + 1} . tcp . 80`;
    out.services.set(front, `goto n${endpoints}`);
    for (let e = 0; e < endpoints; e++) {
      out.endpoints.set(`${front} . ${e}`, `10.244.0.${e + 1} . 8080`);
      out.hairpins.add(`10.244.0.${e + 1} . 10.244.0.${e + 1}`);
    }
  }
  return out;
}

test.runIf(able)("a change of elements is taken by a table that stands", async () => {
  const [one, two] = [elements(1, 2), elements(3, 5)];
  await apply(skeleton("t", capacityFor(two)) + transaction("t", emptyElements(), one));
  await apply(transaction("t", one, two));
  expect((await nft("list", "map", "ip", "t", "services")).match(/goto n5/g)).toHaveLength(3);
  await apply(transaction("t", two, emptyElements()));
  expect(await nft("list", "map", "ip", "t", "endpoints")).not.toContain("elements");
});
