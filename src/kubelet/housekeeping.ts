/** What nobody else takes away: folders, cgroups and logs of pods that are gone; logs that grow too large. */
import { readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { formatTime } from "#api";
import { messageOf } from "#base";
import type { PodContext } from "./pod-context.ts";
import type { PodWorkers } from "./pod-workers.ts";

export interface LogLimits {
  maxBytes: number;
  /** With the one being written. */
  maxFiles: number;
}

const orphansPeriodMs = 60_000;
const logsPeriodMs = 10_000;

/** Uids may be anything the API gave; never a path. */
const isUid = (name: string) => /^[A-Za-z0-9-]+$/.test(name);

export async function removeOrphans(context: PodContext, workers: PodWorkers): Promise<void> {
  const known = (uid: string) => workers.has(uid);
  for (const uid of await readdir(context.paths.podsDir).catch(() => [])) {
    if (known(uid) || !isUid(uid)) continue;
    if (!(await context.volumes.cleanUp(uid))) continue;
    await rm(context.paths.podDir(uid), { recursive: true, force: true });
  }
  for (const [uid, path] of await context.cgroups.pods(context.cgroupRoot))
    if (!known(uid)) await context.cgroups.remove(path);
  for (const name of await readdir(context.paths.logsDir).catch(() => [])) {
    const uid = name.split("_").at(-1)!;
    if (!known(uid) && isUid(uid))
      await rm(join(context.paths.logsDir, name), { recursive: true, force: true });
  }
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

async function rotateLogs(context: PodContext, limits: LogLimits): Promise<void> {
  for (const container of await context.runtime.listContainers()) {
    if (container.state !== "CONTAINER_RUNNING") continue;
    const status = await context.runtime.containerStatus(container.id).catch(() => undefined);
    if (!status?.logPath) continue;
    await rotateLog(status.logPath, limits, context.world.clock.now(), () =>
      context.runtime.reopenContainerLog(container.id),
    );
  }
}

export async function keepHouse(
  context: PodContext,
  workers: PodWorkers,
  limits: LogLimits,
  signal: AbortSignal,
): Promise<void> {
  const { clock, log } = context.world;
  const every = async (periodMs: number, what: string, work: () => Promise<void>) => {
    while (!signal.aborted) {
      await clock.sleep(periodMs, signal);
      if (signal.aborted) return;
      await work().catch((error: unknown) => log.warn({ error: messageOf(error) }, what));
    }
  };
  await Promise.all([
    every(orphansPeriodMs, "remains of pods could not be removed", () => removeOrphans(context, workers)),
    every(logsPeriodMs, "logs could not be rotated", () => rotateLogs(context, limits)),
  ]);
}
