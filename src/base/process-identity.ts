/**
 * Processes that are found again later, by another process: a pid alone may belong to somebody else by then. Kept in
 * pid files, which are read at any moment and trusted only as far as /proc agrees. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Clock } from "./clock.ts";
import { codeOf } from "./errors.ts";

/** One process for good: no other has all three. */
export interface ProcessIdentity {
  pid: number;
  /** In clock ticks since boot; empty for a process that had ended already. */
  startTime: string;
  bootId: string;
}

export function identityOf(pid: number): ProcessIdentity {
  return { pid, startTime: startTimeOf(pid) ?? "", bootId: bootId() };
}

/** False as soon as the process has ended, reaped by its parent or not. */
export function isAlive({ pid, startTime, bootId: boot }: ProcessIdentity): boolean {
  return startTimeOf(pid) === startTime && boot === bootId();
}

/** Field 22 of /proc/PID/stat, after a name that may hold anything. */
function startTimeOf(pid: number): string | undefined {
  const stat = readProc(`${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}

function bootId(): string {
  return readProc("sys/kernel/random/boot_id").trim();
}

/** Empty where there is no such process. */
function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}

/** Written whole or not at all. */
export function writePidFile(file: string, record: ProcessIdentity): void {
  writeFileSync(`${file}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** The process a pid file speaks of, with what else stands there, if it still runs. */
export function readPidFile<T extends ProcessIdentity>(file: string): T | undefined {
  let record: Partial<T> | null;
  try {
    record = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (codeOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
  const isIdentity =
    Number.isSafeInteger(record?.pid) &&
    record!.pid! > 1 &&
    typeof record!.startTime === "string" &&
    typeof record!.bootId === "string";
  return isIdentity && isAlive(record as T) ? (record as T) : undefined;
}

const pollMs = 20;
/** Not even a killed process ends while the kernel waits for a broken disk on its behalf. */
const killPatienceMs = 30_000;

/** TERM, and KILL when it has not ended after `patienceMs`; resolves when it is gone. Answers whether it went by itself. */
export async function endProcess(
  identity: ProcessIdentity,
  clock: Clock,
  patienceMs: number,
): Promise<boolean> {
  signal(identity, "SIGTERM");
  if (await hasEnded(identity, clock, patienceMs)) return true;
  signal(identity, "SIGKILL");
  if (await hasEnded(identity, clock, killPatienceMs)) return false;
  throw new Error(`process ${identity.pid} does not end, not even when killed`);
}

async function hasEnded(identity: ProcessIdentity, clock: Clock, patienceMs: number): Promise<boolean> {
  const deadlineMs = clock.monotonic() + patienceMs;
  while (isAlive(identity)) {
    if (clock.monotonic() > deadlineMs) return false;
    await clock.sleep(pollMs);
  }
  return true;
}

function signal({ pid }: ProcessIdentity, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error;
  }
}
