/** What the kubelet's parts are given by its settings before any of them begins. */
import { join } from "node:path";
import { forComponent, Rate, type World } from "#base";
import { type Client, limitedClient } from "#client";
import { crashBackoffMs, KeyedBackoff } from "../backoff.ts";
import type { KubeletConfig } from "./settings.ts";

/** What looks after pods asks no more often than it may; the node's own state never waits. */
export function clientFor(
  client: Client,
  { kubeApiQps, kubeApiBurst }: Pick<KubeletConfig, "kubeApiQps" | "kubeApiBurst">,
  { clock }: Pick<World, "clock">,
): Client {
  return kubeApiQps > 0 ? limitedClient(client, new Rate(clock, kubeApiQps, kubeApiBurst)) : client;
}

/** From so much verbosity on upstream tells those who look for faults what it does. */
const debugVerbosity = 4;

export function worldFor(outer: World, { logging }: Pick<KubeletConfig, "logging">): World {
  const world = forComponent(outer, "kubelet");
  if (logging.verbosity >= debugVerbosity && !world.log.isLevelEnabled("debug"))
    return { ...world, log: world.log.child({}, { level: "debug" }) };
  return world;
}

/** What every pod has to do with. */
export function podSettings(dataDir: string, config: KubeletConfig) {
  return {
    crashes: new KeyedBackoff(Math.min(crashBackoffMs, config.crashBackoffMaxMs), config.crashBackoffMaxMs),
    security: { seccompDefault: config.seccompDefault, seccompProfileRoot: join(dataDir, "seccomp") },
    unsafeSysctls: config.allowedUnsafeSysctls,
    cgroupRoot: config.cgroupRoot,
    podPidsLimit: Math.max(0, config.podPidsLimit),
    resyncMs: config.syncMs,
  };
}
