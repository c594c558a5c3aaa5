import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { systemClock } from "./clock.ts";
import { findDaemon, startDaemon, stopDaemon } from "./daemon.ts";
import { UserError } from "./errors.ts";
import { silentLogger } from "./log.ts";
import { identityOf } from "./process-identity.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-daemon-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const options = (fingerprint: string) => ({
  command: "sleep",
  args: ["1000"],
  mend: "install coreutils",
  pidFile: join(dir, "pid"),
  logFile: join(dir, "log"),
  clock: systemClock,
  log: silentLogger,
  fingerprint,
});

test("a daemon is adopted, restarted when it dies or changes, and stopped", async () => {
  const first = await startDaemon(options("a"));
  first.release();
  const second = await startDaemon(options("a"));
  expect(second.adopted).toBe(true);
  expect(second.pid).toBe(first.pid);
  process.kill(second.pid, "SIGKILL");
  while (second.pid === first.pid) await systemClock.sleep(20);
  expect(second.deaths).toBe(1);
  expect(findDaemon(options("a").pidFile)?.pid).toBe(second.pid);
  second.release();
  const third = await startDaemon(options("b"));
  expect(third.adopted).toBe(false);
  expect(identityOf(second.pid).startTime).toBe("");
  await third.stop();
  expect(identityOf(third.pid).startTime).toBe("");
  expect(existsSync(options("a").pidFile)).toBe(false);
  await stopDaemon(options("a").pidFile, systemClock);
});

test("a program that is not there is the user's to mend", async () => {
  await expect(startDaemon({ ...options("a"), command: join(dir, "nothing") })).rejects.toThrow(UserError);
});
