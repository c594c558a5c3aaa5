/** The volumes of every pod of the node: gathers what plugins need, mounts, keeps live ones up to date, cleans up. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import { VolumeError, type VolumeHost, type VolumePlugin, type VolumeSources } from "#contracts";
import type { ObjectSource } from "../object-source.ts";
import { pluginFor } from "./registry.ts";
import type { TokenSource } from "./tokens.ts";

export interface VolumeManager {
  /** Mounts every volume of the pod; answers the path of each. Cheap when nothing is due. Throws `VolumeError`. */
  ensure(pod: Readonly<corev1.Pod>): Promise<ReadonlyMap<string, string>>;
  /** Unmounts and removes all volumes of a pod, also after a restart. True when nothing is left. */
  cleanUp(podUid: string): Promise<boolean>;
}

export interface VolumeManagerOptions {
  plugins: readonly VolumePlugin[];
  host: VolumeHost;
  objects: ObjectSource;
  tokens: TokenSource;
  world: World;
  nodeName: string;
  allocatable(): Readonly<Record<string, string>>;
  podDir(uid: string): string;
}

/** Upstream's sync period: changes of ConfigMaps and Secrets arrive within it. */
const refreshMs = 60_000;

interface Mounted {
  paths: Map<string, string>;
  /** What the volumes were last brought up to date with. */
  metadata: string;
  refreshAtMs: number;
}

export function createVolumeManager(options: VolumeManagerOptions): VolumeManager {
  const { plugins, host, world } = options;
  const mounted = new Map<string, Mounted>();

  async function sourcesFor(
    plugin: VolumePlugin,
    volume: Readonly<corev1.Volume>,
    pod: Readonly<corev1.Pod>,
  ): Promise<VolumeSources> {
    const needs = plugin.needs(volume, pod);
    const namespace = pod.metadata.namespace ?? "";
    const [configMaps, secrets, tokens] = await Promise.all([
      options.objects.configMaps(
        namespace,
        needs.configMaps.map((n) => n.name),
      ),
      options.objects.secrets(
        namespace,
        needs.secrets.map((n) => n.name),
      ),
      Promise.all(needs.tokens.map((t) => options.tokens.tokenFor(pod, t.audience, t.expirationSeconds))),
    ]);
    return { configMaps, secrets, tokens };
  }

  async function mountOne(pod: Readonly<corev1.Pod>, volume: Readonly<corev1.Volume>): Promise<string> {
    try {
      const plugin = pluginFor(plugins, volume);
      if (!plugin) throw new VolumeError("this node has no plugin for this kind of volume");
      const sources = await sourcesFor(plugin, volume, pod);
      const plan = plugin.plan(volume, sources, {
        pod,
        nodeName: options.nodeName,
        allocatable: options.allocatable(),
      });
      const dir = join(options.podDir(pod.metadata.uid), "volumes", plugin.directoryName, volume.name);
      const fsGroup = pod.spec.securityContext?.fsGroup;
      return await plugin.mount({ plan, dir, ...(fsGroup === undefined ? {} : { fsGroup }) }, host);
    } catch (error) {
      throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${messageOf(error)}`);
    }
  }

  async function refresh(
    pod: Readonly<corev1.Pod>,
    known: Mounted | undefined,
  ): Promise<Map<string, string>> {
    const paths = new Map(known?.paths);
    const due = (pod.spec.volumes ?? []).filter((v) => !paths.has(v.name) || pluginFor(plugins, v)?.live);
    const results = await Promise.all(due.map(async (v) => [v.name, await mountOne(pod, v)] as const));
    for (const [name, path] of results) paths.set(name, path);
    return paths;
  }

  return {
    async ensure(pod) {
      const { uid, generation, labels, annotations } = pod.metadata;
      // The downward API shows these; a new status alone changes no volume.
      const metadata = JSON.stringify([generation, labels, annotations, pod.metadata.deletionTimestamp]);
      const known = mounted.get(uid);
      const nowMs = world.clock.monotonic();
      if (known && known.metadata === metadata && nowMs < known.refreshAtMs) return known.paths;
      const paths = await refresh(pod, known);
      mounted.set(uid, { paths, metadata, refreshAtMs: nowMs + refreshMs });
      return paths;
    },
    async cleanUp(podUid) {
      mounted.delete(podUid);
      options.tokens.forget(podUid);
      return unmountAll(options, join(options.podDir(podUid), "volumes"));
    },
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
