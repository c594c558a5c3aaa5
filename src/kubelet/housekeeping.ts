/** What nobody else takes away: folders, cgroups and logs of pods that are gone; logs that grow too large. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "#base";
import type { KubeletConfig } from "./config/settings.ts";
import type { ImageCollector } from "./image-gc.ts";
import { containerNameLabel, podUidLabel } from "./labels.ts";
import { removeDeadLinks } from "./logs/links.ts";
import { rotateLogs } from "./logs/rotation.ts";
import type { PodContext } from "./pod-context.ts";
import type { PodWorkers } from "./pod-workers.ts";
import { keepQosTree, type NodeShare, qosTree } from "./qos-tree.ts";

const orphansPeriodMs = 60_000;
const qosPeriodMs = 2_000;
const detectPeriodMs = 60_000;
const imagesPeriodMs = 5 * 60_000;

type HouseSettings = Pick<
  KubeletConfig,
  | "containerLogMaxBytes"
  | "containerLogMaxFiles"
  | "containerLogMaxWorkers"
  | "containerLogMonitorMs"
  | "cpuManagerReconcileMs"
>;

/** Uids may be anything the API gave; never a path. */
const isUid = (name: string) => /^[A-Za-z0-9-]+$/.test(name);

export async function removeOrphans(context: PodContext, workers: PodWorkers): Promise<void> {
  const known = (uid: string) => workers.has(uid);
  for (const uid of await readdir(context.paths.podsDir).catch(() => [])) {
    if (known(uid) || !isUid(uid)) continue;
    if (!(await context.volumes.cleanUp(uid))) continue;
    await rm(context.paths.podDir(uid), { recursive: true, force: true });
  }
  await context.volumes.removeOrphans();
  for (const uid of context.claims.pods()) if (!known(uid)) await context.claims.unprepare(uid);
  for (const [uid, path] of await context.cgroups.pods(context.cgroupRoot))
    if (!known(uid)) await context.cgroups.remove(path);
  for (const name of await readdir(context.paths.logsDir).catch(() => [])) {
    const uid = name.split("_").at(-1)!;
    if (!known(uid) && isUid(uid))
      await rm(join(context.paths.logsDir, name), { recursive: true, force: true });
  }
  await removeDeadLinks(context.paths.logLinksDir);
}

async function rotateLogsOf(context: PodContext, config: HouseSettings): Promise<void> {
  const pods = [...(await context.reader.readAll()).values()];
  const logs = pods
    .flatMap(({ containers }) => containers)
    .filter(({ state, logPath }) => state === "CONTAINER_RUNNING" && logPath)
    .map(({ id, logPath }) => ({ path: logPath, reopen: () => context.runtime.reopenContainerLog(id) }));
  const limits = { maxBytes: config.containerLogMaxBytes, maxFiles: config.containerLogMaxFiles };
  await rotateLogs(logs, limits, config.containerLogMaxWorkers, context.world.clock);
}

/** Containers leave the processors that another has to itself now, and come back when it has ended. */
async function keepCpus(context: PodContext, given: Map<string, string>): Promise<void> {
  if (!context.cpus.isStatic) return;
  const containers = (await context.runtime.listContainers()).filter(
    (each) => each.state === "CONTAINER_RUNNING",
  );
  for (const id of given.keys()) if (!containers.some((each) => each.id === id)) given.delete(id);
  for (const { id, labels } of containers) {
    const cpus = context.cpus.current(labels[podUidLabel] ?? "", labels[containerNameLabel] ?? "");
    if (given.get(id) === cpus) continue;
    await context.runtime.updateContainerResources(id, { cpusetCpus: cpus });
    given.set(id, cpus);
  }
}

export async function keepHouse(
  context: PodContext,
  workers: PodWorkers,
  config: HouseSettings,
  images: ImageCollector,
  share: NodeShare,
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
  const given = new Map<string, string>();
  let kept = "";
  const keepTree = async () => {
    const active = workers.list().filter(({ metadata }) => workers.isActive(metadata.uid));
    const tree = qosTree(context.cgroupRoot, share, active);
    const wanted = JSON.stringify([...tree]);
    if (wanted === kept) return;
    await keepQosTree(context.cgroups, tree);
    kept = wanted;
  };
  await images
    .detect()
    .catch((error: unknown) => log.warn({ error: messageOf(error) }, "images could not be listed"));
  await keepTree().catch((error: unknown) =>
    log.warn({ error: messageOf(error) }, "the groups of pods could not be made"),
  );
  await Promise.all([
    every(orphansPeriodMs, "remains of pods could not be removed", () => removeOrphans(context, workers)),
    every(qosPeriodMs, "the groups of pods could not be brought up to date", keepTree),
    every(config.cpuManagerReconcileMs, "containers could not be given their processors", () =>
      keepCpus(context, given),
    ),
    every(detectPeriodMs, "images could not be listed", () => images.detect()),
    every(imagesPeriodMs, "images could not be looked through", () => images.collect()),
    every(config.containerLogMonitorMs, "logs could not be rotated", () => rotateLogsOf(context, config)),
  ]);
}
