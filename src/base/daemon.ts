/**
 * A program that outlives its supervisor: in a process group of its own, found again through a file with its pid and
 * start time, started anew with back-off when it dies.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, rmSync } from "node:fs";
import type { Clock } from "./clock.ts";
import { UserError } from "./errors.ts";
import type { Logger } from "./log.ts";
import {
  endProcess,
  identityOf,
  isAlive,
  type ProcessIdentity,
  readPidFile,
  writePidFile,
} from "./process-identity.ts";

export interface DaemonOptions {
  command: string;
  args: readonly string[];
  /** What to do where the command is not there. */
  mend: string;
  pidFile: string;
  logFile: string;
  clock: Clock;
  log: Logger;
  /** A running one is adopted only when it was started with the same fingerprint. */
  fingerprint: string;
}

export interface Daemon {
  /** The process it is now; changes when it had to be started anew. */
  readonly pid: number;
  /** True when it was running already. */
  readonly adopted: boolean;
  /** How often it has ended and was started again. */
  readonly deaths: number;
  /** Ends supervision only: the process keeps running. */
  release(): void;
  /** Ends the process too. */
  stop(): Promise<void>;
}

interface PidRecord extends ProcessIdentity {
  fingerprint: string;
}

const pollMs = 500;
const backoffMaxMs = 30_000;
/** After this long up, the next death is not a crash loop. */
const healthyAfterMs = 60_000;
const stopTimeoutMs = 10_000;

/** The process a pid file speaks of, if it still runs. */
export function findDaemon(pidFile: string): PidRecord | undefined {
  return readPidFile<PidRecord>(pidFile);
}

/** TERM, then KILL; resolves when the process is gone. Only ever touches the process the file speaks of. */
export async function stopDaemon(pidFile: string, clock: Clock): Promise<void> {
  const record = findDaemon(pidFile);
  if (record) await endProcess(record, clock, stopTimeoutMs);
  rmSync(pidFile, { force: true });
}

function launch(options: DaemonOptions): Promise<PidRecord> {
  const logFd = openSync(options.logFile, "a", 0o600);
  const child = spawn(options.command, options.args, {
    detached: true,
    stdio: ["ignore", logFd, logFd],
    cwd: "/",
  });
  closeSync(logFd);
  return new Promise((resolve, reject) => {
    child.once("error", (error) =>
      reject(new UserError(`${options.command} could not be started: ${error.message}`, options.mend)),
    );
    child.once("spawn", () => {
      child.unref();
      const record = { ...identityOf(child.pid!), fingerprint: options.fingerprint };
      writePidFile(options.pidFile, record);
      resolve(record);
    });
  });
}

/** Adopts the running one or starts it, and keeps it running until released or stopped. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { clock, log } = options;
  const ending = new AbortController();
  const found = findDaemon(options.pidFile);
  const adopted = found !== undefined && found.fingerprint === options.fingerprint;
  if (found && !adopted) await stopDaemon(options.pidFile, clock);
  let current = adopted ? found : await launch(options);
  let deaths = 0;

  async function supervise(): Promise<void> {
    let backoffMs = 100;
    let upSinceMs = clock.monotonic();
    while (!ending.signal.aborted) {
      await clock.sleep(pollMs, ending.signal);
      if (ending.signal.aborted || isAlive(current)) continue;
      if (clock.monotonic() - upSinceMs > healthyAfterMs) backoffMs = 100;
      deaths++;
      log.warn({ pid: current.pid, backoffMs }, `${options.command} ended and is started again`);
      await clock.sleep(backoffMs, ending.signal);
      backoffMs = Math.min(backoffMs * 2, backoffMaxMs);
      if (ending.signal.aborted) return;
      current = await launch(options).catch((error: unknown) => {
        log.error({ err: error }, `${options.command} could not be started`);
        return current;
      });
      upSinceMs = clock.monotonic();
    }
  }
  const supervision = supervise();

  return {
    get pid() {
      return current.pid;
    },
    adopted,
    get deaths() {
      return deaths;
    },
    release: () => ending.abort(),
    async stop() {
      ending.abort();
      await supervision;
      await stopDaemon(options.pidFile, clock);
    },
  };
}
