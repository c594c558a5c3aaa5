/** Logs of containers do not grow without bound, and go with their container. */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { formatTime } from "#api";

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

/** The log of a container that is gone, with what was rotated away. */
export async function removeLogs(path: string): Promise<void> {
  const names = await readdir(dirname(path)).catch(() => []);
  const own = names.filter((n) => n === basename(path) || n.startsWith(`${basename(path)}.`));
  await Promise.all(own.map((name) => rm(join(dirname(path), name), { force: true })));
}
