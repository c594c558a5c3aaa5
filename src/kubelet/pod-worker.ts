/**
 * One worker for each pod: it never does two things at once, and it does the newest thing. It is woken by changes of
 * the pod in the API, of its containers, by probes and by its own clock.
 */
import { rm } from "node:fs/promises";
import { type corev1, isStatus, pods } from "#api";
import { messageOf } from "#base";
import { isRuntimeNotFound } from "#contracts";
import { abortable, InterruptedError } from "./abortable.ts";
import type { PodContext } from "./pod-context.ts";
import { cgroupPathOf } from "./pod-resources.ts";
import { graceSecondsOf, stopPod } from "./pod-stop.ts";
import { newMemory, observe, report, syncPod } from "./pod-sync.ts";

export interface PodWorker {
  readonly uid: string;
  /** The pod as the API now has it. */
  update(pod: Readonly<corev1.Pod>): void;
  /** The API no longer has it. */
  removed(): void;
  wake(): void;
  pod(): Readonly<corev1.Pod>;
  /** Stops working; containers go on. */
  stop(): Promise<void>;
}

const failureMinMs = 1000;
const failureMaxMs = 30_000;

export function startPodWorker(
  context: PodContext,
  first: Readonly<corev1.Pod>,
  exists: boolean,
  onDone: () => void,
): PodWorker {
  const { world } = context;
  const { uid } = first.metadata;
  const memory = newMemory();
  const ending = new AbortController();
  let current = first;
  let inApi = exists;
  let step = new AbortController();
  let awake = Promise.withResolvers<void>();
  let dirty = true;

  const wake = () => {
    dirty = true;
    awake.resolve();
  };
  /** What is being waited for now no longer matters: a pull, a hook, a grace period. */
  const interrupt = () => step.abort();

  const mustEnd = () => !inApi || current.metadata.deletionTimestamp !== undefined;

  async function endPod(): Promise<void> {
    const { signal } = step;
    let state = await observe(context, uid, memory);
    report(context, current, state, memory, false);
    await abortable(
      stopPod(context, { pod: current, state, graceSeconds: graceSecondsOf(current), signal }),
      signal,
    );
    state = await observe(context, uid, memory);
    memory.waiting.clear();
    report(context, current, state, memory, true);
    if (inApi) await abortable(context.statuses.written(uid), signal);
    if (!(await context.volumes.cleanUp(uid))) throw new Error("volumes are still mounted");
    await context.cgroups.remove(cgroupPathOf(context.cgroupRoot, current));
    if (inApi) await deleteFromApi();
    await removeRemains(context, current, state);
  }

  async function deleteFromApi(): Promise<void> {
    const { namespace, name } = current.metadata;
    await context.client
      .delete(pods, { namespace, name }, { gracePeriodSeconds: 0, preconditions: { uid } })
      .catch((error: unknown) => {
        if (!isStatus(error, "NotFound") && !isStatus(error, "Conflict")) throw error;
      });
  }

  async function run(): Promise<void> {
    let failureMs = failureMinMs;
    let againMs = 0;
    while (!ending.signal.aborted) {
      if (!dirty)
        await Promise.race([awake.promise, world.clock.sleep(Math.min(againMs, 3_600_000), step.signal)]);
      if (ending.signal.aborted) return;
      // Ends the sleep that was not waited out.
      step.abort();
      dirty = false;
      awake = Promise.withResolvers<void>();
      step = new AbortController();
      try {
        if (mustEnd()) {
          await endPod();
          return;
        }
        againMs = await syncPod(context, current, memory, step.signal);
        failureMs = failureMinMs;
      } catch (error) {
        againMs = error instanceof InterruptedError ? 0 : failureMs;
        if (againMs === 0) continue;
        world.log.warn(
          { pod: current.metadata.name, error: messageOf(error) },
          "a pod could not be brought forward",
        );
        failureMs = Math.min(failureMaxMs, failureMs * 2);
      } finally {
        step.abort();
        step = new AbortController();
      }
    }
  }

  const done = run().finally(() => {
    context.probes.forget(uid);
    context.images.forget(uid);
    context.crashes.forget(`${uid}/`);
    context.statuses.forget(uid);
    if (!ending.signal.aborted) onDone();
  });

  return {
    uid,
    pod: () => current,
    update(pod) {
      const before = current;
      current = pod;
      inApi = true;
      const deleted = !before.metadata.deletionTimestamp && pod.metadata.deletionTimestamp;
      const hurried =
        (pod.metadata.deletionGracePeriodSeconds ?? 0) < (before.metadata.deletionGracePeriodSeconds ?? 0);
      if (deleted || hurried) interrupt();
      wake();
    },
    removed() {
      if (inApi) interrupt();
      inApi = false;
      wake();
    },
    wake,
    async stop() {
      ending.abort();
      step.abort();
      wake();
      await done;
    },
  };
}

/** Containers, sandboxes, logs and the folder of a pod that is gone. */
async function removeRemains(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  state: { containers: readonly { id: string }[]; sandboxes: readonly { id: string }[] },
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
  await rm(context.paths.podDir(pod.metadata.uid), { recursive: true, force: true });
}
