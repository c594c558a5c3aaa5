import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { linkLog, logLinkName, removeDeadLinks, unlinkLog } from "./links.ts";

const root = mkdtempSync(join(tmpdir(), "knarr-links-"));
const dir = join(root, "containers");
const podLogs = join(root, "pods", "default_web-0_u1");
afterAll(() => rmSync(root, { recursive: true, force: true }));

const owner = { namespace: "default", pod: "web-0", container: "c", id: "abc" };

test("links have upstream's names, and no name is longer than a file system takes", () => {
  expect(logLinkName(owner)).toBe("web-0_default_c-abc.log");
  const long = logLinkName({ ...owner, pod: "p".repeat(253) });
  expect(long.length).toBe(255);
  expect(long.endsWith("p.log")).toBe(true);
});

test("a link leads to its log, may be made twice, and goes with the log", async () => {
  mkdirSync(join(podLogs, "c"), { recursive: true });
  writeFileSync(join(podLogs, "c", "0.log"), "words");
  for (let i = 0; i < 2; i++) await linkLog(dir, owner, podLogs, "c/0.log");
  const other = { ...owner, id: "def" };
  await linkLog(dir, other, podLogs, "c/1.log");
  expect(readFileSync(join(dir, logLinkName(owner)), "utf8")).toBe("words");
  await removeDeadLinks(dir);
  expect(readdirSync(dir)).toEqual([logLinkName(owner)]);
  await unlinkLog(dir, owner);
  await unlinkLog(dir, owner);
  expect(readdirSync(dir)).toEqual([]);
  await removeDeadLinks(join(root, "none"));
});
