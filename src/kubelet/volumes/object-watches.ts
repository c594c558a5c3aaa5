/**
 * Watches the ConfigMaps and Secrets that pods of this node mount: one watch for each, shared by its pods, ended with
 * the last of them. Each asks for one object by its name and so for no more than this node may know.
 * https://kubernetes.io/docs/concepts/configuration/configmap/#mounted-configmaps-are-updated-automatically
 */
import { configMaps, type corev1, secrets } from "#api";
import type { World } from "#base";
import { type Client, createInformers, type Informer } from "#client";

export interface MountedRef {
  kind: "configMap" | "secret";
  namespace: string;
  name: string;
}

export interface ObjectWatches {
  /** From now on the pod mounts exactly these. */
  follow(podUid: string, refs: readonly MountedRef[]): void;
  forget(podUid: string): void;
  /** The version last seen, "" for an object that is not there; undefined where nothing is known. */
  versionOf(ref: MountedRef): string | undefined;
  stop(): void;
}

export interface ObjectWatchesOptions {
  client: Client;
  world: World;
  /** Called when an object of these pods is seen for the first time, has changed or is gone. */
  changed(ref: MountedRef, podUids: ReadonlySet<string>): void;
}

type Mountable = corev1.ConfigMap | corev1.Secret;

interface Watch {
  /** Absent for an object that cannot change. */
  informer: Informer<Mountable> | undefined;
  ending: AbortController;
  podUids: Set<string>;
}

/** A connection carries 1000 streams, and the kubelet needs some for itself; what is beyond waits for the resync. */
const watchesMax = 500;

/** What an object can be called at all; another name is found nowhere, and might say more in a selector. */
const nameShape = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

export const keyOfRef = (ref: MountedRef) => `${ref.kind}/${ref.namespace}/${ref.name}`;

export function createObjectWatches({ client, world, changed }: ObjectWatchesOptions): ObjectWatches {
  const watches = new Map<string, Watch>();
  const followed = new Map<string, ReadonlySet<string>>();

  function begin(ref: MountedRef): Watch | undefined {
    if (watches.size >= watchesMax || !nameShape.test(ref.name)) return undefined;
    const selection = { namespace: ref.namespace, fieldSelector: `metadata.name=${ref.name}` };
    const informers = createInformers(client, world);
    const informer: Informer<Mountable> =
      ref.kind === "configMap" ? informers.of(configMaps, selection) : informers.of(secrets, selection);
    const watch: Watch = { informer, ending: new AbortController(), podUids: new Set() };
    const see = (object: Readonly<Mountable>) => {
      if (watch.ending.signal.aborted) return;
      changed(ref, watch.podUids);
      if (!object.immutable) return;
      watch.informer = undefined;
      watch.ending.abort();
    };
    informer.on({ add: see, update: see, delete: () => changed(ref, watch.podUids) });
    informer.start(watch.ending.signal);
    watches.set(keyOfRef(ref), watch);
    return watch;
  }

  function release(key: string, podUid: string): void {
    const watch = watches.get(key);
    watch?.podUids.delete(podUid);
    if (!watch || watch.podUids.size > 0) return;
    watch.ending.abort();
    watches.delete(key);
  }

  function follow(podUid: string, refs: readonly MountedRef[]): void {
    const wanted = new Map(refs.map((ref) => [keyOfRef(ref), ref]));
    for (const key of followed.get(podUid) ?? []) if (!wanted.has(key)) release(key, podUid);
    for (const [key, ref] of wanted) (watches.get(key) ?? begin(ref))?.podUids.add(podUid);
    if (wanted.size > 0) followed.set(podUid, new Set(wanted.keys()));
    else followed.delete(podUid);
  }

  return {
    follow,
    forget: (podUid) => follow(podUid, []),
    versionOf(ref) {
      const informer = watches.get(keyOfRef(ref))?.informer;
      const seen = informer?.get(ref.namespace, ref.name)?.metadata.resourceVersion;
      return seen ?? (informer?.hasSynced ? "" : undefined);
    },
    stop() {
      for (const watch of watches.values()) watch.ending.abort();
      watches.clear();
      followed.clear();
    },
  };
}
