/**
 * One worker for each pod: it never does two things at once, and it does the newest thing. It is woken by changes of
 * the pod in the API, of its containers, by probes and by its own clock.
 */
import { rm } from "node:fs/promises";
import { type corev1, isStatus, pods } from "#api";
import { failpoint, messageOf } from "#base";
import { isRuntimeNotFound } from "#contracts";
import { abortable, InterruptedError } from "./abortable.ts";
import { type Refusal, rejected } from "./admission.ts";
import { logOwnerOf, unlinkLog } from "./logs/links.ts";
import type { PodContext } from "./pod-context.ts";
import { cgroupPathOf } from "./pod-resources.ts";

import { isFinal, isOwnCondition } from "./pod-status.ts";

import { graceSecondsOf, stopPod } from "./pod-stop.ts";
import { type Eviction, newMemory, observe, type PodMemory, report, syncPod } from "./pod-sync.ts";
import { asAllocated } from "./resize.ts";
import { canonical } from "./status-manager.ts";

const failureMinMs = 1000;
const failureMaxMs = 30_000;
const sleepMaxMs = 3_600_000;

/** Whether an update asks anything of the kubelet: its own status coming back does not. */
export function isNews(before: Readonly<corev1.Pod>, after: Readonly<corev1.Pod>): boolean {
  const essence = (pod: Readonly<corev1.Pod>) => {
    const { generation, labels, annotations, deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
    const foreign = (pod.status?.conditions ?? []).filter((c) => !isOwnCondition(c));
    return canonical([
      generation,
      labels,
      annotations,
      deletionTimestamp,
      deletionGracePeriodSeconds,
      foreign,
      pod.spec,
    ]);
  };
  return essence(before) !== essence(after);
}

export interface PodStart {
  pod: Readonly<corev1.Pod>;
  inApi: boolean;
  /** The runtime has nothing of it. */
  isNew: boolean;
  /** A refused pod only fails. */
  refusal: Refusal | undefined;
  /** Waited for before anything of the pod is begun. */
  room: Promise<void> | undefined;
  others(): readonly Readonly<corev1.Pod>[];
  /** Others may have more of the node than before. */
  onRoom(): void;
  /** Nothing of the pod is left. */
  onDone(): void;
}

export class PodWorker {
  readonly uid: string;
  readonly #context: PodContext;
  readonly #memory: PodMemory;
  readonly #ending = new AbortController();
  readonly #done: Promise<void>;
  #current: Readonly<corev1.Pod>;
  #inApi: boolean;
  /** Aborted when what is being done or waited for no longer matters: a pull, a hook, a grace period. */
  #step = new AbortController();
  #awake = Promise.withResolvers<void>();
  #dirty = true;
  #room: Promise<void> | undefined;
  readonly #onRoom: () => void;
  #operation: "create" | "update" | "sync" = "create";
  /** Until it has been seen to run; undefined for one that was there before. */
  #seenMs: number | undefined;
  readonly #ended = Promise.withResolvers<void>();

  constructor(context: PodContext, start: PodStart) {
    const { pod, inApi, isNew, refusal, room, others, onRoom, onDone } = start;
    this.#context = context;
    this.#memory = newMemory(others, isNew);
    this.#memory.failure = refusal && rejected(refusal);
    this.#current = pod;
    this.#inApi = inApi;
    this.#room = room;
    this.#onRoom = onRoom;
    this.#seenMs = isNew ? context.world.clock.monotonic() : undefined;
    this.uid = pod.metadata.uid;
    this.#done = this.#run().finally(() => {
      this.#ended.resolve();
      context.probes.forget(this.uid);
      context.images.forget(this.uid);
      context.crashes.forget(`${this.uid}/`);
      context.statuses.forget(this.uid);
      if (this.#ending.signal.aborted) return;
      context.devices.release(this.uid);
      context.cpus.release(this.uid);
      context.memory.release(this.uid);
      context.userNamespaces.release(this.uid);
      onDone();
    });
  }

  /** It takes part of the node: neither refused nor ended. */
  get isActive(): boolean {
    const phase = this.#context.statuses.get(this.uid)?.phase ?? this.#current.status?.phase;
    return this.#inApi && !this.#memory.failure && !isFinal(phase);
  }

  /** The pod with what it was promised, whatever it asks for since. */
  get allocated(): Readonly<corev1.Pod> {
    return asAllocated(this.#current, this.#memory.resize);
  }

  /** It waits until others have less of the node. */
  get isDeferred(): boolean {
    return this.#memory.resize.pending?.reason === "Deferred";
  }

  /** Resolves when nothing of the pod runs any more, or this worker stops. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** The pod as the API last had it. */
  get pod(): Readonly<corev1.Pod> {
    return this.#current;
  }

  update(pod: Readonly<corev1.Pod>): void {
    const before = this.#current;
    this.#current = pod;
    if (this.#operation === "sync") this.#operation = "update";
    this.#inApi = true;
    this.#context.statuses.reconcile(pod);
    const ended = isFinal(pod.status?.phase) && !isFinal(this.#context.statuses.get(this.uid)?.phase);
    if (!ended && !isNews(before, pod)) return;
    const { deletionTimestamp, deletionGracePeriodSeconds: grace = 0 } = pod.metadata;
    const deleted = !before.metadata.deletionTimestamp && deletionTimestamp;
    const hurried = grace < (before.metadata.deletionGracePeriodSeconds ?? 0);
    if (deleted || hurried) this.#step.abort();
    this.wake();
  }

  /** The API no longer has the pod. */
  removed(): void {
    if (this.#inApi) this.#step.abort();
    this.#inApi = false;
    this.wake();
  }

  /** The pod fails, and what runs of it is stopped. False where there is nothing to end. */
  evict(eviction: Eviction): boolean {
    if (!this.isActive) return false;
    const { reason, message, condition, graceSeconds } = eviction;
    this.#memory.failure = { reason, message };
    this.#memory.eviction = { condition, graceSeconds };
    this.#step.abort();
    this.wake();
    return true;
  }

  wake(): void {
    this.#dirty = true;
    this.#awake.resolve();
  }

  /** Stops working; containers go on. */
  async stop(): Promise<void> {
    this.#ending.abort();
    this.#step.abort();
    this.wake();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { log } = this.#context.world;
    let failureMs = failureMinMs;
    let againMs = 0;
    for (;;) {
      await this.#rest(againMs);
      if (this.#ending.signal.aborted) return;
      try {
        if (!this.#inApi || this.#current.metadata.deletionTimestamp) {
          await this.#end();
          return;
        }
        await this.#makeRoom();
        againMs = await this.#sync();
        failureMs = failureMinMs;
        if (isFinal(this.#context.statuses.get(this.uid)?.phase)) this.#ended.resolve();
      } catch (error) {
        againMs = error instanceof InterruptedError ? 0 : failureMs;
        if (againMs === 0) continue;
        log.warn(
          { pod: this.#current.metadata.name, error: messageOf(error) },
          "a pod could not be brought forward",
        );
        failureMs = Math.min(failureMaxMs, failureMs * 2);
      }
    }
  }

  /** Answers when to look again, at the latest. */
  async #sync(): Promise<number> {
    const { metrics, statuses, world } = this.#context;
    const startedMs = world.clock.monotonic();
    const { grants } = this.#memory.resize;
    const label = { operation_type: this.#operation };
    this.#operation = "sync";
    try {
      return await syncPod(this.#context, this.#current, this.#memory, this.#step.signal);
    } finally {
      if (this.#memory.resize.grants !== grants || isFinal(statuses.get(this.uid)?.phase)) this.#onRoom();
      const nowMs = world.clock.monotonic();
      metrics.workerSeconds.observe(label, (nowMs - startedMs) / 1000);
      if (this.#seenMs !== undefined && statuses.get(this.uid)?.phase === "Running") {
        metrics.podStartSeconds.observe((nowMs - this.#seenMs) / 1000);
        this.#seenMs = undefined;
      }
    }
  }

  async #makeRoom(): Promise<void> {
    if (!this.#room) return;
    await abortable(this.#room, this.#step.signal);
    this.#room = undefined;
  }

  /** Until woken, and no longer than `forMs`. */
  async #rest(forMs: number): Promise<void> {
    if (!this.#dirty && forMs > 0) {
      const sleep = new AbortController();
      const asleep = this.#context.world.clock.sleep(Math.min(forMs, sleepMaxMs), sleep.signal);
      await Promise.race([this.#awake.promise, asleep]);
      sleep.abort();
    }
    this.#dirty = false;
    this.#awake = Promise.withResolvers<void>();
    if (!this.#ending.signal.aborted) this.#step = new AbortController();
  }

  async #end(): Promise<void> {
    const context = this.#context;
    const pod = this.#current;
    const { signal } = this.#step;
    let state = await observe(context, this.uid, this.#memory);
    report(context, pod, state, this.#memory, false);
    const graceSeconds = this.#memory.eviction?.graceSeconds ?? graceSecondsOf(pod);
    await abortable(stopPod(context, { pod, state, graceSeconds, signal }), signal);
    state = await observe(context, this.uid, this.#memory);
    this.#memory.waiting.clear();
    report(context, pod, state, this.#memory, true);
    if (this.#inApi) await abortable(context.statuses.written(this.uid), signal);
    failpoint("kubelet/pod-stopped");
    await context.claims.unprepare(this.uid);
    if (!(await context.volumes.cleanUp(this.uid))) throw new Error("volumes are still mounted");
    await context.cgroups.remove(cgroupPathOf(context.cgroupRoot, pod));
    if (this.#inApi) await deleteFromApi(context, pod);
    failpoint("kubelet/pod-deleted");
    await removeRemains(context, pod, state);
  }
}

async function deleteFromApi(context: PodContext, pod: Readonly<corev1.Pod>): Promise<void> {
  const { namespace, name, uid } = pod.metadata;
  try {
    await context.client.delete(pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } });
  } catch (error) {
    if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
  }
}

/** Containers, sandboxes, logs and the folder of a pod that is gone. */
async function removeRemains(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  state: { containers: readonly { id: string; name: string }[]; sandboxes: readonly { id: string }[] },
): Promise<void> {
  const ignoreGone = (error: unknown) => {
    if (!isRuntimeNotFound(error)) throw error;
  };
  await Promise.all(state.containers.map((c) => context.runtime.removeContainer(c.id).catch(ignoreGone)));
  for (const sandbox of state.sandboxes) {
    await context.runtime.stopPodSandbox(sandbox.id).catch(ignoreGone);
    await context.runtime.removePodSandbox(sandbox.id).catch(ignoreGone);
  }
  await context.cgroups.remove(cgroupPathOf(context.cgroupRoot, pod));
  await rm(context.paths.logDir(pod), { recursive: true, force: true });
  for (const { id, name } of state.containers)
    await unlinkLog(context.paths.logLinksDir, logOwnerOf(pod, name, id));
  await rm(context.paths.podDir(pod.metadata.uid), { recursive: true, force: true });
}
