import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { createWorld, findDaemon, silentLogger, startDaemon } from "#base";
import { containerdPaths, startContainerd } from "./containerd.ts";
import { stopContainerd } from "./containerd-end.ts";

const dir = mkdtempSync(join(tmpdir(), "knarr-end-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test("a containerd that runs and does not answer is ended too", async () => {
  const world = createWorld({ log: silentLogger });
  const program = join(dir, "program");
  writeFileSync(program, '[ "$2" = --version ] && echo "containerd containerd.io 1.7.2 x" || exit 1');
  const commandPrefix = ["sh", program];
  const options = {
    dir,
    world,
    cniConfDir: join(dir, "cni"),
    runtimeBinary: "runc" as const,
    commandPrefix,
    readyTimeoutMs: 300,
  };
  await expect(startContainerd(options)).rejects.toThrow("does not answer");
  const { config, pidFile, log: logFile } = containerdPaths(dir);
  // As if it had been started with this very configuration.
  const command = [...commandPrefix, "containerd"].join(delimiter);
  const fingerprint = createHash("sha256").update(readFileSync(config)).update(command).digest("hex");
  const silent = await startDaemon({
    command: "sleep",
    args: ["1000"],
    mend: "",
    pidFile,
    logFile,
    clock: world.clock,
    log: world.log,
    fingerprint,
  });
  silent.release();
  expect(findDaemon(pidFile)?.pid).toBe(silent.pid);
  await stopContainerd(options);
  expect(findDaemon(pidFile)).toBeUndefined();
  // Its parent is this process, which hears of the end a moment later.
  await expect.poll(() => existsSync(`/proc/${silent.pid}`)).toBe(false);
});
