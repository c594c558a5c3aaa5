/** The volumes of every pod of the node: gathers what plugins need, mounts, keeps live ones up to date, cleans up. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { configMaps, type corev1, secrets } from "#api";
import { messageOf, type World } from "#base";
import type { Client } from "#client";
import {
  VolumeError,
  type VolumeHost,
  type VolumeNeeds,
  type VolumePlugin,
  type VolumeSources,
} from "#contracts";
import type { ObjectSource } from "../object-source.ts";
import { createObjectWatches, keyOfRef, type MountedRef } from "./object-watches.ts";
import { behindClaim } from "./persistent-volume-claim.ts";
import { pluginFor } from "./registry.ts";
import type { TokenSource } from "./tokens.ts";

export interface VolumeManager {
  /** Mounts every volume of the pod; answers the path of each. Cheap when nothing is due. Throws `VolumeError`. */
  ensure(pod: Readonly<corev1.Pod>): Promise<ReadonlyMap<string, string>>;
  /** Unmounts and removes all volumes of a pod, also after a restart. True when nothing is left. */
  cleanUp(podUid: string): Promise<boolean>;
  /** Volumes stay as they are; nothing is watched any more. */
  stop(): void;
}

export interface VolumeManagerOptions {
  plugins: readonly VolumePlugin[];
  host: VolumeHost;
  client: Client;
  objects: ObjectSource;
  tokens: TokenSource;
  world: World;
  nodeName: string;
  allocatable(): Readonly<Record<string, string>>;
  podDir(uid: string): string;
  /** Something that the pod mounts has changed: `ensure` has work to do. */
  wake(podUid: string): void;
}

/** Upstream's sync period: changes of ConfigMaps and Secrets that no watch has told of arrive within it. */
const refreshMs = 60_000;

interface ObjectVersion {
  ref: MountedRef;
  version: string;
}

interface MountedOne {
  path: string;
  objects: ObjectVersion[];
}

interface Mounted {
  paths: Map<string, string>;
  /** What the volumes were last brought up to date with. */
  metadata: string;
  /** The versions of the objects in them, "" for those that were not there. */
  objects: ReadonlyMap<string, ObjectVersion>;
  refreshAtMs: number;
}

/** The objects that a volume is kept up to date with. */
function liveObjectsOf(
  plugins: readonly VolumePlugin[],
  pod: Readonly<corev1.Pod>,
  volume: Readonly<corev1.Volume>,
): MountedRef[] {
  const plugin = pluginFor(plugins, volume);
  if (!plugin?.live) return [];
  const namespace = pod.metadata.namespace ?? "";
  const needs = plugin.needs(volume, pod);
  return [
    ...needs.configMaps.map(({ name }) => ({ kind: "configMap" as const, namespace, name })),
    ...needs.secrets.map(({ name }) => ({ kind: "secret" as const, namespace, name })),
  ];
}

function versionIn(sources: VolumeSources, { kind, name }: MountedRef): string {
  const object = kind === "configMap" ? sources.configMaps.get(name) : sources.secrets.get(name);
  return object?.metadata.resourceVersion ?? "";
}

/** Gathers what plugins need of the cluster. */
async function gather(options: VolumeManagerOptions, pod: Readonly<corev1.Pod>, needs: VolumeNeeds) {
  const namespace = pod.metadata.namespace ?? "";
  const names = (list: readonly { name: string }[]) => list.map((n) => n.name);
  const [configMaps, secrets, tokens] = await Promise.all([
    options.objects.configMaps(namespace, names(needs.configMaps)),
    options.objects.secrets(namespace, names(needs.secrets)),
    Promise.all(needs.tokens.map((t) => options.tokens.tokenFor(pod, t.audience, t.expirationSeconds))),
  ]);
  return { configMaps, secrets, tokens };
}

export function createVolumeManager(options: VolumeManagerOptions): VolumeManager {
  const { plugins, host, world } = options;
  const mounted = new Map<string, Mounted>();

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

  async function mountOne(pod: Readonly<corev1.Pod>, given: Readonly<corev1.Volume>): Promise<MountedOne> {
    try {
      const volume = await behindClaim(options.client, pod, given);
      const plugin = pluginFor(plugins, volume);
      if (!plugin) throw new VolumeError("this node has no plugin for this kind of volume");
      const sources = await gather(options, pod, plugin.needs(volume, pod));
      const plan = plugin.plan(volume, sources, {
        pod,
        nodeName: options.nodeName,
        allocatable: options.allocatable(),
      });
      const dir = join(options.podDir(pod.metadata.uid), "volumes", plugin.directoryName, volume.name);
      const fsGroup = pod.spec.securityContext?.fsGroup;
      const path = await plugin.mount({ plan, dir, ...(fsGroup === undefined ? {} : { fsGroup }) }, host);
      const objects = liveObjectsOf(plugins, pod, volume);
      return { path, objects: objects.map((ref) => ({ ref, version: versionIn(sources, ref) })) };
    } catch (error) {
      throw new VolumeError(`MountVolume.SetUp failed for volume "${given.name}" : ${messageOf(error)}`);
    }
  }

  async function refresh(
    pod: Readonly<corev1.Pod>,
    known: Mounted | undefined,
  ): Promise<Pick<Mounted, "paths" | "objects">> {
    const paths = new Map(known?.paths);
    const volumes = pod.spec.volumes ?? [];
    const due = volumes.filter((v) => !paths.has(v.name) || pluginFor(plugins, v)?.live);
    // Before anything is read: a change after the reading is seen.
    watches.follow(
      pod.metadata.uid,
      volumes.flatMap((v) => liveObjectsOf(plugins, pod, v)),
    );
    const results = await Promise.all(due.map(async (v) => [v.name, await mountOne(pod, v)] as const));
    for (const [name, { path }] of results) paths.set(name, path);
    const objects = results.flatMap(([, one]) => one.objects);
    return { paths, objects: new Map(objects.map((object) => [keyOfRef(object.ref), object])) };
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
    async cleanUp(podUid) {
      mounted.delete(podUid);
      watches.forget(podUid);
      options.tokens.forget(podUid);
      return unmountAll(options, join(options.podDir(podUid), "volumes"));
    },
    stop: watches.stop,
  };
}

/** Every volume below a pod's folder, whether this kubelet mounted it or one before it. */
async function unmountAll({ plugins, host, world }: VolumeManagerOptions, root: string): Promise<boolean> {
  let clean = true;
  for (const kind of await readdir(root).catch(() => [])) {
    const plugin = plugins.find((p) => p.directoryName === kind);
    for (const name of await readdir(join(root, kind))) {
      const dir = join(root, kind, name);
      await (plugin?.unmount(dir, host) ?? host.unmount(dir)).catch((error: unknown) => {
        clean = false;
        world.log.warn({ dir, error: messageOf(error) }, "a volume could not be unmounted");
      });
    }
  }
  return clean;
}
