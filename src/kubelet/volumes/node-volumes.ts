/**
 * Everything of volumes that a node has once: the manager of its pods' volumes, its CSI drivers, the folder that they mount into.
 * https://kubernetes.io/docs/concepts/storage/volumes/#csi
 */
import { readFile } from "node:fs/promises";
import { messageOf, runOk, type World } from "#base";
import type { EventRecorder } from "#client";
import type { VolumePlugin } from "#contracts";
import type { PluginHandler } from "../plugins/watcher.ts";
import { isSharedMount } from "../shared-mounts.ts";
import { createCsiVolumes } from "./csi/csi.ts";
import { createCsiDrivers } from "./csi/drivers.ts";
import { machineVolumeHost } from "./host.ts";
import { createVolumeManager, type VolumeManager, type VolumeManagerOptions } from "./manager.ts";
import { createCertificateSource } from "./pod-certificates.ts";
import { volumePlugins } from "./registry.ts";

export interface NodeVolumesOptions extends Omit<VolumeManagerOptions, "plugins" | "host" | "certificates"> {
  /** Kinds of volumes beside the node's own. */
  more: readonly VolumePlugin[];
  recorder: EventRecorder;
  podsDir: string;
  /** The node's status has news. */
  inUseChanged(): void;
}

export interface PodVolumes extends VolumeManager {
  /** Takes back what no pod of the node uses any more. */
  removeOrphans(): Promise<void>;
}

export interface NodeVolumes {
  readonly manager: PodVolumes;
  /** Takes plugins of the type `CSIPlugin`. */
  readonly drivers: PluginHandler;
  volumesInUse(): string[];
  /** To be called once the node has been registered. */
  announce(): Promise<void>;
  /** Volumes stay as they are. */
  stop(): void;
}

export async function createNodeVolumes(options: NodeVolumesOptions): Promise<NodeVolumes> {
  const { client, world, nodeName, dataDir, tokens, recorder } = options;
  await shareMounts(dataDir, world);
  const drivers = createCsiDrivers({
    client,
    world,
    nodeName,
    root: dataDir,
  });
  const csi = createCsiVolumes({
    client,
    world,
    drivers,
    tokens,
    root: dataDir,
    podsDir: options.podsDir,
    inUseChanged: options.inUseChanged,
    say: (pod, kind, reason, message) => recorder.record(pod, kind, reason, message),
  });
  const say = recorder.record.bind(recorder);
  const manager = createVolumeManager({
    ...options,
    certificates: createCertificateSource({ client, world, nodeName, say }),
    plugins: [...volumePlugins, csi.plugin, ...options.more],
    host: machineVolumeHost(world.random),
  });
  return {
    manager: { ...manager, removeOrphans: csi.removeOrphans },
    drivers: drivers.handler,
    volumesInUse: csi.volumesInUse,
    announce: drivers.announce,
    stop() {
      manager.stop();
      drivers.stop();
    },
  };
}

/** What a driver mounts in its container is to be seen here, and the other way round. */
async function shareMounts(dir: string, { log }: World): Promise<void> {
  try {
    if (isSharedMount(await readFile("/proc/self/mountinfo", "utf8"), dir)) return;
    await runOk("mount", ["--rbind", "--make-rshared", dir, dir]);
  } catch (error) {
    log.warn({ dir, error: messageOf(error) }, "mounts below the kubelet's folder are not shared");
  }
}
