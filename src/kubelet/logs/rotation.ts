/** Logs of containers do not grow without bound, and go with their container. */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { formatTime } from "#api";
import type { Clock } from "#base";

export interface LogLimits {
  maxBytes: number;
  /** With the one being written. */
  maxFiles: number;
}

/** Moves a log that is too large aside, has the runtime open a fresh one, and keeps no more than the newest few. */
export async function rotateLog(
  path: string,
  limits: LogLimits,
  nowMs: number,
  reopen: () => Promise<void>,
): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  if (!info || info.size <= limits.maxBytes) return false;
  const aside = `${path}.${formatTime(nowMs).replaceAll(/[-:TZ]/g, "")}`;
  await rename(path, aside);
  try {
    await reopen();
  } catch (error) {
    await rename(aside, path);
    throw error;
  }
  const old = (await readdir(dirname(path))).filter((n) => n.startsWith(`${basename(path)}.`)).sort();
  for (const name of old.slice(0, Math.max(0, old.length - (limits.maxFiles - 1))))
    await rm(join(dirname(path), name), { force: true });
  return true;
}

export interface OpenLog {
  path: string;
  /** Has the runtime open a fresh file. */
  reopen(): Promise<void>;
}

/** So many at once. One that cannot be turned over holds up no other; what was wrong is thrown in the end. */
export async function rotateLogs(
  logs: readonly OpenLog[],
  limits: LogLimits,
  workers: number,
  clock: Clock,
): Promise<void> {
  const rest = logs.values();
  const problems: unknown[] = [];
  const work = async () => {
    for (const { path, reopen } of rest)
      await rotateLog(path, limits, clock.now(), reopen).catch((error: unknown) => problems.push(error));
  };
  // Each takes the next: they share what is left.
  await Promise.all(Array.from({ length: Math.min(workers, logs.length) }, work));
  if (problems.length > 0) throw problems[0];
}

/** The log of a container that is gone, with what was rotated away. */
export async function removeLogs(path: string): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => []);
  const own = names.filter((n) => n === basename(path) || n.startsWith(`${basename(path)}.`));
  await Promise.all(own.map((name) => rm(join(dirname(path), name), { force: true })));
}
