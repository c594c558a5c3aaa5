/** All pods of the node: from the API's view and the runtime's to one worker each. */
import type { corev1 } from "#api";
import { messageOf, type World } from "#base";
import type { Informer } from "#client";
import { type Admission, admissionOf } from "./admission.ts";
import type { PodContext } from "./pod-context.ts";
import type { RuntimePodSummary } from "./pod-state.ts";
import { disruptedByKubelet, isFinal } from "./pod-status.ts";
import type { Eviction } from "./pod-sync.ts";
import { PodWorker } from "./pod-worker.ts";
import { preempting } from "./preemption.ts";
import { fullNameOf, isMirror } from "./static/manifest.ts";
import type { StaticPods, StaticRunner } from "./static/static-pods.ts";

export interface PodWorkers extends StaticRunner {
  wake(uid: string): void;
  /** The worker of a pod the API knows. */
  find(namespace: string, name: string): PodWorker | undefined;
  /** It takes part of the node: neither refused nor ended. */
  isActive(uid: string): boolean;
  /** Ends a pod that runs; false where there is nothing to end. */
  evict(uid: string, eviction: Eviction): boolean;
  /** Resolves when nothing of the pod runs any more. */
  ended(uid: string): Promise<void>;
  list(): Readonly<corev1.Pod>[];
  /** Milliseconds since the runtime last answered with all its pods. */
  sinceRelistMs(): number;
  relist(): Promise<void>;
  /** Whether the runtime tells of changes by itself: then it is asked less often. */
  toldOfChanges(isTold: boolean): void;
  stop(): Promise<void>;
}

/** A pod of which only the runtime still knows: enough to end it. */
function orphanPod(summary: RuntimePodSummary): corev1.Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: summary.name,
      namespace: summary.namespace,
      uid: summary.uid,
      resourceVersion: "",
      creationTimestamp: "1970-01-01T00:00:00Z",
    },
    spec: { containers: [] },
    status: {},
  };
}

const relistMs = 1000;
/** Upstream asks every five minutes where the runtime tells of changes. */
const toldRelistMs = 10_000;

function isNamed({ metadata }: Readonly<corev1.Pod>, namespace: string, name: string): boolean {
  return metadata.name === name && metadata.namespace === namespace;
}

function isTaken({ status }: Readonly<corev1.Pod>): boolean {
  return status?.startTime !== undefined;
}

/** It takes part of the node; before its worker is there, its status tells. */
function isOn(pod: Readonly<corev1.Pod>, workers: ReadonlyMap<string, PodWorker>): boolean {
  return workers.get(pod.metadata.uid)?.isActive ?? (isTaken(pod) && !isFinal(pod.status?.phase));
}

/** The others that take part of the node, with what they were promised. */
function neighboursOf(
  pod: Readonly<corev1.Pod>,
  informer: Informer<corev1.Pod>,
  workers: ReadonlyMap<string, PodWorker>,
): Readonly<corev1.Pod>[] {
  // By name: a static pod is not its mirror's neighbour.
  const name = fullNameOf(pod);
  return informer
    .list()
    .filter((other) => fullNameOf(other) !== name && isOn(other, workers))
    .map((other) => workers.get(other.metadata.uid)?.allocated ?? other);
}

/** Those whose resizes wait for room. */
function wakeDeferred(workers: ReadonlyMap<string, PodWorker>): void {
  for (const worker of workers.values()) if (worker.isDeferred) worker.wake();
}

/** Pods that were taken by an earlier kubelet are not asked again. */
function admit(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  others: () => readonly Readonly<corev1.Pod>[],
  node: Readonly<corev1.Node> | undefined,
): Admission {
  if (isTaken(pod) || isFinal(pod.status?.phase) || pod.metadata.deletionTimestamp) return {};
  const admission = admissionOf(pod, {
    others: others(),
    node,
    allocatable: context.allocatable(),
    pressures: context.pressures(),
    isShuttingDown: context.isShuttingDown(),
    lacksAppArmor: context.lacksAppArmor,
    unsafeSysctls: context.unsafeSysctls,
  });
  const { refusal } = admission;
  if (refusal) context.recorder.record(pod, "Warning", refusal.reason, refusal.message);
  return admission;
}

/** Resolves when nothing of them runs any more. */
async function preempt(
  context: PodContext,
  pods: readonly Readonly<corev1.Pod>[],
  workers: ReadonlyMap<string, PodWorker>,
): Promise<void> {
  const { reason, message } = preempting;
  const condition = { ...disruptedByKubelet, status: "True" as const, message: preempting.condition };
  await Promise.all(
    pods.map((pod) => {
      const worker = workers.get(pod.metadata.uid);
      if (!worker?.evict({ reason, message, condition })) return undefined;
      context.recorder.record(pod, "Warning", reason, message);
      return worker.ended;
    }),
  );
}

/** From when the API has been heard, whenever it is due. */
async function keepListing(
  { clock, log }: World,
  signal: AbortSignal,
  informer: Informer<corev1.Pod>,
  relist: () => Promise<void>,
  isDue: () => boolean,
): Promise<void> {
  await informer.waitForSync();
  for (let isFirst = true; !signal.aborted; isFirst = false) {
    if (isFirst || isDue())
      await relist().catch((error: unknown) =>
        log.warn({ error: messageOf(error) }, "the runtime did not list its pods"),
      );
    await clock.sleep(relistMs, signal);
  }
}

/** What the runtime has, `sinceMs` after the last time: the lists are upstream's PLEG. */
async function listed({ reader, metrics, world: { clock } }: PodContext, sinceMs: number) {
  metrics.relistInterval.observe(sinceMs / 1000);
  const startedMs = clock.monotonic();
  const found = await reader.relist();
  metrics.relistSeconds.observe((clock.monotonic() - startedMs) / 1000);
  return found;
}

export function startPodWorkers(
  context: PodContext,
  world: World,
  informer: Informer<corev1.Pod>,
  node: () => Readonly<corev1.Node> | undefined,
  mirrors: Pick<StaticPods, "seen">,
): PodWorkers {
  const workers = new Map<string, PodWorker>();
  const ending = new AbortController();
  /** Once the runtime has been listed. */
  let seen: Map<string, RuntimePodSummary> | undefined;
  let relistedMs = world.clock.monotonic();
  let isTold = false;
  const sinceRelistMs = () => world.clock.monotonic() - relistedMs;

  function begin(pod: Readonly<corev1.Pod>, inApi: boolean): void {
    const { uid } = pod.metadata;
    const others = () => neighboursOf(pod, informer, workers);
    const { refusal, preempts = [] } = inApi ? admit(context, pod, others, node()) : {};
    const room = preempts.length > 0 ? preempt(context, preempts, workers) : undefined;
    const onRoom = () => wakeDeferred(workers);
    const onDone = () => {
      workers.delete(uid);
      onRoom();
    };
    // Nobody else makes anything of pods.
    const isNew = seen !== undefined && !seen.has(uid);
    const worker = new PodWorker(context, { pod, inApi, isNew, refusal, room, others, onRoom, onDone });
    workers.set(uid, worker);
  }

  function onPod(pod: Readonly<corev1.Pod>): void {
    const worker = workers.get(pod.metadata.uid);
    if (isMirror(pod)) mirrors.seen(fullNameOf(pod), pod);
    else if (worker) worker.update(pod);
    else begin(pod, true);
  }

  async function relist(): Promise<void> {
    const next = await listed(context, sinceRelistMs());
    relistedMs = world.clock.monotonic();
    for (const [uid, summary] of next) {
      if (seen?.get(uid)?.fingerprint === summary.fingerprint) continue;
      const worker = workers.get(uid);
      if (worker && context.reader.isRead(summary)) continue;
      if (worker) worker.wake();
      // Only once the API has been heard: before, every pod would look like an orphan.
      else if (informer.hasSynced) begin(orphanPod(summary), false);
    }
    for (const uid of seen?.keys() ?? []) if (!next.has(uid)) workers.get(uid)?.wake();
    if (informer.hasSynced) seen = next;
  }

  const quiet = informer.on({
    add: onPod,
    update: onPod,
    delete: (pod) =>
      isMirror(pod) ? mirrors.seen(fullNameOf(pod), undefined) : workers.get(pod.metadata.uid)?.removed(),
  });
  const looping = keepListing(world, ending.signal, informer, relist, () =>
    isTold ? sinceRelistMs() >= toldRelistMs : true,
  );

  return {
    wake: (uid) => workers.get(uid)?.wake(),
    begin: (pod) => begin(pod, true),
    end: (uid) => workers.get(uid)?.removed(),
    mirrored: (uid, mirror) => context.statuses.reconcile(mirror, uid),
    find: (namespace, name) => [...workers.values()].find(({ pod }) => isNamed(pod, namespace, name)),
    has: (uid) => workers.has(uid),
    isActive: (uid) => workers.get(uid)?.isActive ?? false,
    evict: (uid, eviction) => workers.get(uid)?.evict(eviction) ?? false,
    ended: (uid) => workers.get(uid)?.ended ?? Promise.resolve(),
    list: () => [...workers.values()].map((w) => w.pod),
    sinceRelistMs,
    relist,
    toldOfChanges(is) {
      isTold = is;
    },
    async stop() {
      quiet();
      ending.abort();
      await Promise.all([...workers.values()].map((w) => w.stop()));
      await looping;
    },
  };
}
