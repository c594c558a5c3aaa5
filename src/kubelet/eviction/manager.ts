/**
 * Ends pods before the node runs out of memory, disk or processes, and pods that take more of its disk than they may.
 * Every ten seconds the node is looked at; its pods are measured only where something has to be done.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/
 */
import type { corev1 } from "#api";
import { messageOf } from "#base";
import type { KubeletConfig } from "../config/settings.ts";
import { isCritical } from "../critical.ts";
import type { ImageCollector } from "../image-gc.ts";
import type { PodContext } from "../pod-context.ts";
import { disruptedByKubelet } from "../pod-status.ts";
import type { PodWorkers } from "../pod-workers.ts";
import { machineMemoryOf, processCounts, readProc } from "../stats/host-usage.ts";
import type { NodeStats } from "../stats/node-stats.ts";
import { disksOf, type NodeUsage } from "../stats/observation.ts";
import { excessOf, isLimited } from "./local-storage.ts";
import { evictionMessage, rank } from "./ranking.ts";
import {
  judge,
  metBy,
  nothingSeen,
  type Observations,
  type PressureKind,
  pressureOf,
  resourceOf,
  type Threshold,
  thresholdsOf,
} from "./signals.ts";

export interface EvictionOptions {
  context: PodContext;
  workers: PodWorkers;
  stats: NodeStats;
  images: ImageCollector;
  config: KubeletConfig;
  diskPath: string;
  /** Says on the node what happens. */
  warn(reason: string, message: string): void;
  /** The node's conditions have changed. */
  changed(): void;
}

export interface EvictionManager {
  pressures(): ReadonlySet<PressureKind>;
  run(signal: AbortSignal): Promise<void>;
}

const periodMs = 10_000;
/** So long an evicted pod has to be gone before the next one is chosen. */
const cleanUpMs = 30_000;
/** As upstream: what has to be quick has a second. */
const immediateSeconds = 1;

async function observe(context: PodContext, diskPath: string): Promise<Observations> {
  const memory = machineMemoryOf(readProc("meminfo"));
  const { now, max } = processCounts();
  const { node, image } = await disksOf(context, diskPath);
  const bytes = (disk: typeof node) => ({ available: disk.availableBytes, capacity: disk.capacityBytes });
  // File systems without a number of inodes cannot run out of them.
  const inodes = (disk: typeof node) =>
    disk.inodes > 0 ? { available: disk.inodesFree, capacity: disk.inodes } : undefined;
  const [nodeInodes, imageInodes] = [inodes(node), inodes(image)];
  return {
    "memory.available": { available: memory.availableBytes, capacity: memory.totalBytes },
    "nodefs.available": bytes(node),
    "imagefs.available": bytes(image),
    "containerfs.available": bytes(image),
    "pid.available": { available: max - now, capacity: max },
    ...(nodeInodes ? { "nodefs.inodesFree": nodeInodes } : {}),
    ...(imageInodes ? { "imagefs.inodesFree": imageInodes, "containerfs.inodesFree": imageInodes } : {}),
  };
}

function evictPod(
  { context, workers }: EvictionOptions,
  pod: Readonly<corev1.Pod>,
  message: string,
  graceSeconds: number,
): boolean {
  if (isCritical(pod)) return false;
  const condition = { ...disruptedByKubelet, status: "True" as const, message };
  const taken = workers.evict(pod.metadata.uid, { reason: "Evicted", message, graceSeconds, condition });
  if (taken) context.recorder.record(pod, "Warning", "Evicted", message);
  return taken;
}

/** Pods that go over their own limits; true when there was one. */
function evictExcess(options: EvictionOptions, usage: NodeUsage): boolean {
  let evicted = false;
  for (const each of usage.pods) {
    const message = excessOf(each);
    if (message !== undefined && evictPod(options, each.pod, message, immediateSeconds)) evicted = true;
  }
  return evicted;
}

export function createEvictionManager(options: EvictionOptions): EvictionManager {
  const { context, workers, stats, config } = options;
  const { clock, log } = context.world;
  const thresholds = thresholdsOf(config);
  let memory = nothingSeen;
  let pressures: ReadonlySet<PressureKind> = new Set();
  let leaving: { uid: string; untilMs: number } | undefined;

  /** True when that was enough. */
  async function reclaim(threshold: Threshold): Promise<boolean> {
    if (pressureOf(threshold.signal) !== "disk") return false;
    await options.images
      .removeUnused()
      .catch((error: unknown) => log.warn({ error: messageOf(error) }, "images could not be removed"));
    return metBy([threshold], await observe(context, options.diskPath), true).length === 0;
  }

  function evictFor(threshold: Threshold, observations: Observations, usage: NodeUsage): void {
    for (const each of rank(usage, threshold.signal)) {
      const own = each.pod.spec.terminationGracePeriodSeconds ?? 30;
      const soft = Math.min(config.evictionMaxPodGracePeriodSeconds, own);
      const message = evictionMessage(threshold, observations, each);
      const graceSeconds = threshold.isHard ? immediateSeconds : soft;
      if (!evictPod(options, each.pod, message, graceSeconds)) continue;
      context.metrics.evictions.inc({ eviction_signal: threshold.signal });
      leaving = { uid: each.pod.metadata.uid, untilMs: clock.monotonic() + cleanUpMs };
      return;
    }
    log.warn({ signal: threshold.signal }, "the node is short of something, and there is no pod to evict");
  }

  function isLeaving(): boolean {
    if (!leaving) return false;
    if (workers.isActive(leaving.uid) && clock.monotonic() < leaving.untilMs) return true;
    leaving = undefined;
    return false;
  }

  async function step(): Promise<void> {
    const observations = await observe(context, options.diskPath);
    const times = { nowMs: clock.monotonic(), transitionMs: config.evictionPressureTransitionMs };
    const judgement = judge(memory, thresholds, observations, times);
    memory = judgement.memory;
    const isNews = [...judgement.pressures].sort().join() !== [...pressures].sort().join();
    pressures = judgement.pressures;
    if (isNews) options.changed();
    const limited = config.localStorageIsolation && workers.list().some(isLimited);
    const [threshold] = judgement.due;
    if (limited && evictExcess(options, await stats.look(true))) return;
    if (!threshold || isLeaving()) return;
    options.warn("EvictionThresholdMet", `Attempting to reclaim ${resourceOf(threshold.signal)}`);
    if (await reclaim(threshold)) return;
    evictFor(threshold, observations, await stats.look(true));
  }

  return {
    pressures: () => pressures,
    async run(signal) {
      while (!signal.aborted) {
        await step().catch((error: unknown) =>
          log.warn({ error: messageOf(error) }, "the node could not be looked at"),
        );
        await clock.sleep(periodMs, signal);
      }
    },
  };
}
