/** The command line under test, through its launcher. */
import { join } from "node:path";
import { type RunOptions, type RunResult, run, runOk } from "#base";

const launcher = join(import.meta.dirname, "../..", "knarr");

/** Standard output; throws with the command's own words. */
export function knarr(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return runOk(launcher, args, { timeoutMs: 300_000, ...options });
}

export function tryKnarr(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(launcher, args, { timeoutMs: 300_000, ...options });
}
