import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { endProcess, identityOf, isAlive, readPidFile, systemClock, writePidFile } from "./index.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-identity-"));
const file = join(dir, "pid");
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("a pid file names one process for good, with what else stands in it", () => {
  expect(readPidFile(file)).toBeUndefined();
  const own = identityOf(process.pid);
  writePidFile(file, { ...own, note: "x" } as typeof own);
  expect(readPidFile(file)).toEqual({ ...own, note: "x" });
  for (const other of [{ startTime: "1" }, { bootId: "another" }]) {
    writePidFile(file, { ...own, ...other });
    expect(readPidFile(file)).toBeUndefined();
  }
});

test.each([
  "torn",
  "",
  "null",
  "[]",
  "{}",
  '{"pid":0}',
  '{"pid":-1,"startTime":"1","bootId":""}',
  '{"pid":"self"}',
])("a pid file that holds %j names nobody", (text) => {
  writeFileSync(file, text);
  expect(readPidFile(file)).toBeUndefined();
});

test.each([
  ["exec sleep 1000", true],
  ["trap '' TERM; echo ready; while :; do sleep 1; done", false],
])("ends a process by TERM, else by KILL: %s", async (script, byItself) => {
  const child = spawn("sh", ["-c", `echo ready; ${script}`], { stdio: ["ignore", "pipe", "ignore"] });
  if (byItself) await new Promise((resolve) => child.stdout.once("data", resolve));
  else
    for (let seen = ""; !/ready\s+ready/.test(seen); )
      seen += await new Promise((r) => child.stdout.once("data", r));
  const identity = identityOf(child.pid!);
  expect(isAlive(identity)).toBe(true);
  expect(await endProcess(identity, systemClock, byItself ? 10_000 : 100)).toBe(byItself);
  expect(isAlive(identity)).toBe(false);
});
