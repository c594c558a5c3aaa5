/** The volumes of every pod of the node: gathers what plugins need, mounts, keeps live ones up to date, cleans up. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { configMaps, type corev1, secrets } from "#api";
import { messageOf, type World } from "#base";
import type { VolumeUsage } from "#contracts";
import type { Following } from "./following.ts";
import { createGauges } from "./gauges.ts";
import { liveObjectsOf, type MountOptions, mountOne, type ObjectVersion } from "./mount-one.ts";
import { createObjectWatches, keyOfRef } from "./object-watches.ts";
import { type TimedStorage, timedStorage } from "./storage-metrics.ts";
import { mountSubPath, removeSubPaths } from "./sub-paths.ts";

export interface VolumeManager {
  /** Mounts every volume of the pod; answers the path of each. Cheap when nothing is due. Throws `VolumeError`. */
  ensure(pod: Readonly<corev1.Pod>): Promise<ReadonlyMap<string, string>>;
  /** Mounts a part of a volume for one mount of a container; answers where. Throws `VolumeError`. */
  subPath(place: SubPathPlace, volumePath: string, subPath: string): Promise<string>;
  /** What the pod's claims and network volumes held when they were last looked at, by name; has them looked at. */
  usage(podUid: string): ReadonlyMap<string, VolumeUsage>;
  /** Unmounts and removes all volumes of a pod, also after a restart. True when nothing is left. */
  cleanUp(podUid: string): Promise<boolean>;
  /** Volumes stay as they are; nothing is watched any more. */
  stop(): void;
}

export interface SubPathPlace {
  podUid: string;
  volume: string;
  container: string;
  /** Of the mount among the container's. */
  index: number;
}

export interface VolumeManagerOptions extends MountOptions {
  world: World;
  /** Something that the pod mounts has changed: `ensure` has work to do. */
  wake(podUid: string): void;
  following: Following;
  /** How old figures of volumes may be; below zero they are not measured at all. */
  measureMs: number;
}

/** Upstream's name for the folder below a pod's. */
const subPathsDir = "volume-subpaths";

interface Mounted {
  paths: Map<string, string>;
  /** The names of those that are kept up to date. */
  live: Set<string>;
  /** What the volumes were last brought up to date with. */
  metadata: string;
  /** The versions of the objects in them, "" for those that were not there. */
  objects: ReadonlyMap<string, ObjectVersion>;
  refreshAtMs: number;
}

export function createVolumeManager(options: VolumeManagerOptions): VolumeManager {
  const { plugins, world } = options;
  const mounted = new Map<string, Mounted>();
  const { isWatching, refreshMs } = options.following;
  const gauges = createGauges(world, options.measureMs);
  const timed = timedStorage(world);

  const isOutdated = ({ objects }: Mounted) =>
    [...objects.values()].some(({ ref, version }) => (watches.versionOf(ref) ?? version) !== version);

  const watches = createObjectWatches({
    client: options.client,
    world,
    changed(ref, podUids) {
      options.objects.outdate(ref.kind === "configMap" ? configMaps : secrets, ref.namespace, ref.name);
      for (const uid of podUids) {
        const known = mounted.get(uid);
        if (!known || known.objects.get(keyOfRef(ref))?.version !== watches.versionOf(ref)) options.wake(uid);
      }
    },
  });

  async function refresh(
    pod: Readonly<corev1.Pod>,
    known: Mounted | undefined,
  ): Promise<Pick<Mounted, "paths" | "live" | "objects">> {
    const paths = new Map(known?.paths);
    const live = new Set(known?.live);
    const volumes = pod.spec.volumes ?? [];
    const due = volumes.filter((v) => !paths.has(v.name) || live.has(v.name));
    // Before anything is read: a change after the reading is seen.
    const objectsOfPod = () => volumes.flatMap((v) => liveObjectsOf(plugins, pod, v));
    if (isWatching) watches.follow(pod.metadata.uid, objectsOfPod());
    const results = await Promise.all(
      due.map(
        async (v) => [v.name, await mountOne({ ...options, timed }, pod, v, paths.has(v.name))] as const,
      ),
    );
    for (const [name, { path, isLive, measure }] of results) {
      paths.set(name, path);
      if (measure) gauges.follow(pod.metadata.uid, name, measure);
      if (isLive) live.add(name);
    }
    const objects = results.flatMap(([, one]) => one.objects);
    return { paths, live, objects: new Map(objects.map((object) => [keyOfRef(object.ref), object])) };
  }

  return {
    async ensure(pod) {
      const { uid, generation, labels, annotations } = pod.metadata;
      // The downward API shows these; a new status alone changes no volume.
      const metadata = JSON.stringify([generation, labels, annotations, pod.metadata.deletionTimestamp]);
      const known = mounted.get(uid);
      const nowMs = world.clock.monotonic();
      const current = known?.metadata === metadata && nowMs < known.refreshAtMs && !isOutdated(known);
      if (current) return known.paths;
      const fresh = await refresh(pod, known);
      mounted.set(uid, { ...fresh, metadata, refreshAtMs: nowMs + refreshMs });
      return fresh.paths;
    },
    usage: gauges.of,
    subPath({ podUid, volume, container, index }, volumePath, subPath) {
      const target = join(options.podDir(podUid), subPathsDir, volume, container, String(index));
      return mountSubPath(volumePath, subPath, target, options.host);
    },
    async cleanUp(podUid) {
      mounted.delete(podUid);
      gauges.forget(podUid);
      watches.forget(podUid);
      options.tokens.forget(podUid);
      options.certificates.forget(podUid);
      try {
        await removeSubPaths(join(options.podDir(podUid), subPathsDir), options.host);
      } catch (error) {
        world.log.warn({ podUid, error: messageOf(error) }, "parts of volumes could not be unmounted");
        return false;
      }
      return unmountAll(options, timed, join(options.podDir(podUid), "volumes"));
    },
    stop: watches.stop,
  };
}

/** Every volume below a pod's folder, whether this kubelet mounted it or one before it. */
async function unmountAll(
  { plugins, host, world }: VolumeManagerOptions,
  timed: TimedStorage,
  root: string,
): Promise<boolean> {
  let clean = true;
  for (const kind of await readdir(root).catch(() => [])) {
    const plugin = plugins.find((p) => p.directoryName === kind);
    for (const name of await readdir(join(root, kind))) {
      const dir = join(root, kind, name);
      const unmount = () => plugin?.unmount(dir, host) ?? host.unmount(dir);
      await timed("volume_unmount", { directoryName: kind }, unmount).catch((error: unknown) => {
        clean = false;
        world.log.warn({ dir, error: messageOf(error) }, "a volume could not be unmounted");
      });
    }
  }
  return clean;
}
