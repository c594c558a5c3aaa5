/**
 * The shims of a containerd: a process for each sandbox that outlives containerd. One that was killed while it made a
 * sandbox has forgotten its shim, so at the end they are looked up by the socket they were told of.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { codeOf } from "#base";

/** A shim's command line, split: `containerd-shim-runc-v2 -namespace k8s.io -id … -address SOCKET`. */
export function isShimOf(args: readonly string[], socketPath: string): boolean {
  if (!basename(args[0] ?? "").startsWith("containerd-shim")) return false;
  const address = args.indexOf("-address");
  return address > 0 && args[address + 1] === socketPath;
}

/** Ends every shim of the containerd behind `socketPath`. Answers how many there were. */
export function endShims(socketPath: string): number {
  let ended = 0;
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry) || !isShimOf(argumentsOf(entry), socketPath)) continue;
    try {
      process.kill(Number(entry), "SIGKILL");
      ended++;
    } catch (error) {
      if (codeOf(error) !== "ESRCH") throw error;
    }
  }
  return ended;
}

function argumentsOf(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    // It has ended meanwhile.
    return [];
  }
}
