/**
 * Ends the pods of this node before the machine goes down, the less important ones first.
 * https://kubernetes.io/docs/concepts/cluster-administration/node-shutdown/#graceful-node-shutdown
 */
import { formatGoDuration, messageOf, type World } from "#base";
import type { ShutdownPeriod } from "../config/settings.ts";
import { disruptedByKubelet } from "../pod-status.ts";
import type { PodWorkers } from "../pod-workers.ts";
import { graceOf, type ShutdownGroup, shutdownGroups } from "./groups.ts";
import type { Logind } from "./logind.ts";

export interface ShutdownManager {
  /** No pod is taken any more. */
  readonly isShuttingDown: boolean;
  run(signal: AbortSignal): Promise<void>;
}

export interface ShutdownOptions {
  world: World;
  /** None: nothing is waited for. */
  periods: readonly ShutdownPeriod[];
  workers: Pick<PodWorkers, "list" | "isActive" | "evict" | "ended">;
  logind: Logind;
  /** Says on the node what happens. */
  say(message: string): void;
  /** The node is no longer ready, or is so again. */
  changed(): void;
}

const reason = "Terminated";
const message = "Pod was terminated in response to imminent node shutdown.";
const againMs = 1_000;
/** How often it is asked whether it waits longer now. */
const tries = 5;

/** All of the group at once, and no longer than the group has. */
async function endGroup({ world, workers }: ShutdownOptions, group: ShutdownGroup): Promise<void> {
  const condition = { ...disruptedByKubelet, status: "True" as const, message };
  const ends = group.pods.map((pod) => {
    const { uid } = pod.metadata;
    workers.evict(uid, { reason, message, condition, graceSeconds: graceOf(group, pod) });
    return workers.ended(uid);
  });
  const late = new AbortController();
  await Promise.race([
    Promise.all(ends),
    world.clock.sleep(group.shutdownGracePeriodSeconds * 1000, late.signal),
  ]);
  late.abort();
}

export function createShutdownManager(options: ShutdownOptions): ShutdownManager {
  const { world, periods, workers, logind } = options;
  let isShuttingDown = false;
  let release = () => {};

  async function endPods(): Promise<void> {
    const active = workers.list().filter(({ metadata }) => workers.isActive(metadata.uid));
    for (const group of shutdownGroups(periods, active)) if (isShuttingDown) await endGroup(options, group);
    world.log.info("all pods have ended: the machine may go down");
    release();
  }

  function onShutdown(isNow: boolean): void {
    if (isNow === isShuttingDown) return;
    isShuttingDown = isNow;
    options.say(`Shutdown manager detected shutdown ${isNow ? "event" : "cancellation"}`);
    options.changed();
    if (!isNow) release = logind.inhibit();
    else
      endPods().catch((error: unknown) =>
        world.log.warn({ error: messageOf(error) }, "pods could not be ended before the shutdown"),
      );
  }

  /** The login manager is told to wait as long as pods shall have, where it would not. */
  async function makeTime(signal: AbortSignal): Promise<void> {
    const wanted = periods.reduce((sum, each) => sum + each.shutdownGracePeriodSeconds * 1000, 0);
    let delayMs = await logind.delayMs();
    const isEnough = () => delayMs === undefined || delayMs >= wanted;
    if (isEnough()) return;
    await logind.setDelayMs(wanted);
    for (let i = 0; i < tries && !isEnough() && !signal.aborted; i++) {
      await world.clock.sleep(againMs, signal);
      delayMs = await logind.delayMs();
    }
    if (isEnough()) return;
    world.log.warn(
      { InhibitDelayMaxSec: formatGoDuration(delayMs ?? 0), wanted: formatGoDuration(wanted) },
      "the machine waits less long for its shutdown than pods shall have: set InhibitDelayMaxSec in /etc/systemd/logind.conf",
    );
  }

  /** Without these words the shutdown is only not foreseen. */
  const warn = (error: unknown) =>
    world.log.warn({ error: messageOf(error) }, "the machine's shutdown is not waited for long enough");

  return {
    get isShuttingDown() {
      return isShuttingDown;
    },
    async run(signal) {
      if (periods.length === 0) return;
      await makeTime(signal).catch(warn);
      if (!signal.aborted) release = logind.inhibit();
      let told = "";
      while (!signal.aborted) {
        await logind.watch(onShutdown, signal).catch((error: unknown) => {
          const words = messageOf(error);
          if (words !== told) world.log.warn({ error: words }, "the machine's shutdown cannot be foreseen");
          told = words;
        });
        await world.clock.sleep(againMs, signal);
      }
      release();
      await logind.setDelayMs(undefined).catch(warn);
    },
  };
}
