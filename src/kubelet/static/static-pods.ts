/**
 * Pods that this node runs by files of its own, with or without an API server; what the API has of them are mirrors: made,
 * made again and removed here. A mirror that somebody deletes comes back; a pod goes with its file.
 * https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/
 */
import { type corev1, isStatus, pods } from "#api";
import { messageOf, type World } from "#base";
import type { Client } from "#client";
import { createManifests } from "./folder.ts";
import { fullNameOf, hashOf, mirrorAnnotation, mirrorOf } from "./manifest.ts";
import { createUrlManifests, type UrlSource } from "./url.ts";

/** Who runs them. */
export interface StaticRunner {
  has(uid: string): boolean;
  begin(pod: corev1.Pod): void;
  /** Ends it; `has` becomes false when nothing of it is left. */
  end(uid: string): void;
  /** The mirror is there, with what it says of the pod. */
  mirrored(uid: string, mirror: Readonly<corev1.Pod>): void;
}

export interface StaticPods {
  /** Looks at the files for the first time: before anything of unknown pods is removed. */
  load(): Promise<void>;
  /** From now on pods run. */
  start(runner: StaticRunner): void;
  /** A mirror as the API has it; undefined once it is gone. */
  seen(key: string, mirror: Readonly<corev1.Pod> | undefined): void;
  /** The mirror of a static pod, as the API last had it. */
  mirrorFor(pod: Readonly<corev1.Pod>): Readonly<corev1.Pod> | undefined;
  stop(): Promise<void>;
}

export interface StaticPodsOptions {
  path: string;
  checkMs: number;
  /** A web server that tells of more, and the file that keeps what it told. */
  source: UrlSource;
  sourceFile: string;
  nodeName: string;
  client: Client;
  world: World;
  /** Undefined before the API has it. */
  node(): Readonly<corev1.Node> | undefined;
}

/** However rarely the files shall be looked at: a look is cheap, and whoever writes one waits for its pod. */
const checkMaxMs = 1000;

async function removeMirror(client: Client, { metadata }: Readonly<corev1.Pod>): Promise<void> {
  const options = { gracePeriodSeconds: 0, preconditions: { uid: metadata.uid } };
  await client.delete(pods, metadata, options).catch((error: unknown) => {
    if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
  });
}

export function createStaticPods(options: StaticPodsOptions): StaticPods {
  const { client, world } = options;
  const { clock, log } = world;
  const ending = new AbortController();
  const fromUrl = createUrlManifests(options.source, { ...options, file: options.sourceFile });
  const manifests = createManifests({ ...options, fromUrl });
  const running = new Map<string, corev1.Pod>();
  const mirrors = new Map<string, Readonly<corev1.Pod>>();
  let runner: StaticRunner | undefined;
  let looping: Promise<void> | undefined;

  /** A pod that has changed is another pod: it begins when nothing of the one before is left. */
  function steer(workers: StaticRunner): void {
    const pods = manifests.pods();
    for (const [name, pod] of running) {
      if (!workers.has(pod.metadata.uid)) running.delete(name);
      else if (pods.get(name)?.metadata.uid !== pod.metadata.uid) workers.end(pod.metadata.uid);
    }
    for (const [name, pod] of pods) {
      if (running.has(name) || workers.has(pod.metadata.uid)) continue;
      running.set(name, pod);
      workers.begin(pod);
    }
  }

  async function keepMirrors(): Promise<void> {
    for (const [name, mirror] of [...mirrors]) {
      const pod = running.get(name);
      const isTrue = pod && mirror.metadata.annotations?.[mirrorAnnotation] === hashOf(pod);
      if (!isTrue || mirror.metadata.deletionTimestamp) await removeMirror(client, mirror);
    }
    const node = options.node();
    if (!node) return;
    for (const [name, pod] of running) {
      if (mirrors.has(name)) continue;
      await client.create(pods, mirrorOf(pod, node)).catch((error: unknown) => {
        if (!isStatus(error, "AlreadyExists")) throw error;
      });
    }
  }

  async function loop(workers: StaticRunner): Promise<void> {
    while (!ending.signal.aborted) {
      try {
        await manifests.load();
        steer(workers);
        await keepMirrors();
      } catch (error) {
        log.warn({ error: messageOf(error) }, "static pods could not be brought up to date");
      }
      await clock.sleep(Math.min(checkMaxMs, options.checkMs || checkMaxMs), ending.signal);
    }
  }

  return {
    load: () =>
      manifests
        .load()
        .catch((error: unknown) =>
          log.warn({ path: options.path, error: messageOf(error) }, "static pods could not be read"),
        ),
    start(workers) {
      runner = workers;
      // What was read first is what the kubelet before this one ran.
      steer(workers);
      looping = loop(workers);
    },
    seen(key, mirror) {
      if (!mirror) return void mirrors.delete(key);
      mirrors.set(key, mirror);
      const pod = running.get(key);
      if (pod) runner?.mirrored(pod.metadata.uid, mirror);
    },
    mirrorFor: (pod) => mirrors.get(fullNameOf(pod)),
    async stop() {
      ending.abort();
      fromUrl.stop();
      await looping;
    },
  };
}
