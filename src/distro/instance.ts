/** The server process of a cluster on this machine: found by its pid file, which a reused pid cannot fool. */
import { rm } from "node:fs/promises";
import { type Clock, endProcess, identityOf, type ProcessIdentity, readPidFile, writePidFile } from "#base";

export interface Instance extends ProcessIdentity {
  /** All its parts run. */
  started: boolean;
}

/** This process is the one. */
export function recordInstance(file: string, started: boolean): void {
  const instance: Instance = { ...identityOf(process.pid), started };
  writePidFile(file, instance);
}

export async function forgetInstance(file: string): Promise<void> {
  await rm(file, { force: true });
}

/** The process of the pid file, if it still runs. */
export function runningInstance(file: string): Instance | undefined {
  return readPidFile<Instance>(file);
}

/** TERM, and KILL when it has not ended after `patienceMs`; nothing where none runs. */
export async function endInstance(clock: Clock, file: string, patienceMs: number): Promise<void> {
  const instance = runningInstance(file);
  if (instance) await endProcess(instance, clock, patienceMs);
}
