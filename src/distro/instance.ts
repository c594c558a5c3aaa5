/** The server process of a cluster on this machine: found by its pid file, which a reused pid cannot fool. */
import { readFileSync } from "node:fs";
import { rename, rm, writeFile } from "node:fs/promises";
import { type Clock, codeOf } from "#base";

export interface Instance {
  pid: number;
  /** Clock ticks since boot, from /proc: with the pid it names one process for good. */
  startTime: string;
  /** All its parts run. */
  started: boolean;
}

/** Field 22 of /proc/PID/stat, after a name that may hold anything; undefined for a process that has ended, reaped or not. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Written whole or not at all: others read it at any moment. */
export async function recordInstance(file: string, started: boolean): Promise<void> {
  const instance: Instance = { pid: process.pid, startTime: startTimeOf(process.pid) ?? "", started };
  await writeFile(`${file}.new`, JSON.stringify(instance));
  await rename(`${file}.new`, file);
}

export async function forgetInstance(file: string): Promise<void> {
  await rm(file, { force: true });
}

/** The process of the pid file, if it still runs. */
export function runningInstance(file: string): Instance | undefined {
  let instance: Instance;
  try {
    instance = JSON.parse(readFileSync(file, "utf8")) as Instance;
  } catch (error) {
    if (codeOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
  return startTimeOf(instance.pid) === instance.startTime ? instance : undefined;
}

const pollMs = 20;

/** TERM, and KILL when it has not ended after `patienceMs`. Answers whether it ended by itself. */
export async function endInstance(clock: Clock, file: string, patienceMs: number): Promise<boolean> {
  const instance = runningInstance(file);
  if (!instance) return true;
  signal(instance.pid, "SIGTERM");
  const deadline = clock.monotonic() + patienceMs;
  while (runningInstance(file)) {
    if (clock.monotonic() > deadline) {
      signal(instance.pid, "SIGKILL");
      return false;
    }
    await clock.sleep(pollMs);
  }
  return true;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error;
  }
}
