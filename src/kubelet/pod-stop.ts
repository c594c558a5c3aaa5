/**
 * Ending what runs of a pod: hooks, grace, then force; sidecars after the others; the sandbox last.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination
 */
import type { corev1 } from "#api";
import { messageOf } from "#base";
import { isRuntimeNotFound } from "#contracts";
import { isRestartableInit } from "./compute-actions.ts";
import { runHook } from "./lifecycle.ts";
import { containerNamed } from "./pod-containers.ts";
import { type PodContext, sayOf } from "./pod-context.ts";
import { isRunning, type ObservedContainer, type ObservedPod, podIpsOf } from "./pod-state.ts";

export interface StopOptions {
  pod: Readonly<corev1.Pod>;
  state: ObservedPod;
  graceSeconds: number;
  signal: AbortSignal;
  /** What shall end abruptly is not asked. */
  skipHooks?: boolean;
  /** Who has to have ended before this one is told to; its hook does not wait for them. */
  after?: readonly Promise<unknown>[];
}

/** What a container is left with when its hook has used up its time. */
const leastGraceSeconds = 2;

export function graceSecondsOf(pod: Readonly<corev1.Pod>): number {
  return pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30;
}

function ignoreGone(error: unknown): void {
  if (!isRuntimeNotFound(error)) throw error;
}

const lookMs = 100;

/** Sends the signal and waits; true when the time is used up, or the container has ended. */
async function signalled(
  context: PodContext,
  containerId: string,
  stopSignal: string,
  seconds: number,
): Promise<boolean> {
  const { clock, log } = context.world;
  try {
    await context.runtime.signalContainer(containerId, stopSignal);
    const untilMs = clock.monotonic() + seconds * 1000;
    while (clock.monotonic() < untilMs) {
      if ((await context.runtime.containerStatus(containerId)).state !== "CONTAINER_RUNNING") return true;
      await clock.sleep(lookMs);
    }
    return true;
  } catch (error) {
    log.debug({ containerId, error: messageOf(error) }, "a container could not be sent its stop signal");
    return false;
  }
}

/** For so many seconds at most; answers how many whole ones it took. */
async function waitFor(
  { world: { clock } }: PodContext,
  others: readonly Promise<unknown>[],
  seconds: number,
): Promise<number> {
  const startedMs = clock.monotonic();
  const late = Promise.withResolvers<void>();
  const timer = clock.after(seconds * 1000, late.resolve);
  await Promise.race([Promise.allSettled(others), late.promise]);
  timer.cancel();
  return Math.floor((clock.monotonic() - startedMs) / 1000);
}

/** One container, with its hook. */
export async function stopContainer(
  context: PodContext,
  options: StopOptions,
  container: ObservedContainer,
  message: string,
): Promise<void> {
  const { pod, graceSeconds, signal } = options;
  const spec = containerNamed(pod, container.name);
  const say = sayOf(context, pod, container.name);
  say("Normal", "Killing", message);
  let left = graceSeconds;
  const handler = spec?.lifecycle?.preStop;
  if (spec && handler && !options.skipHooks && graceSeconds > 0 && isRunning(container)) {
    const startedMs = context.world.clock.monotonic();
    const late = new AbortController();
    const timer = context.world.clock.after(graceSeconds * 1000, () => late.abort());
    const failure = await runHook({
      handler,
      container: spec,
      containerId: container.id,
      podIp: podIpsOf(options.state)[0] ?? context.nodeAddresses[0] ?? "",
      runtime: context.runtime,
      world: context.world,
      signal: AbortSignal.any([signal, late.signal]),
      timeoutMs: graceSeconds * 1000,
      say,
    });
    timer.cancel();
    if (failure !== undefined) say("Warning", "FailedPreStopHook", "PreStopHook failed");
    const usedSeconds = (context.world.clock.monotonic() - startedMs) / 1000;
    left = Math.max(leastGraceSeconds, Math.ceil(graceSeconds - usedSeconds));
  }
  if (options.after) {
    const usedSeconds = await waitFor(context, options.after, left);
    left = Math.max(Math.min(leastGraceSeconds, graceSeconds), left - usedSeconds);
  }
  const stopSignal = spec?.lifecycle?.stopSignal;
  // Older runtimes stop everything by the image's own signal.
  const isKnown = stopSignal === undefined || container.stopSignal === stopSignal;
  if (!isKnown && isRunning(container) && (await signalled(context, container.id, stopSignal, left)))
    left = 0;
  await context.runtime.stopContainer(container.id, left).catch((error: unknown) => {
    if (isRuntimeNotFound(error)) return;
    say("Warning", "FailedKillPod", `error killing pod: ${messageOf(error)}`);
    throw error;
  });
}

/** Everything of the pod; resolves when nothing runs any more. */
export async function stopPod(context: PodContext, options: StopOptions): Promise<void> {
  const { pod, state } = options;
  const running = state.containers.filter(
    (c) => c.state === "CONTAINER_RUNNING" || c.state === "CONTAINER_UNKNOWN",
  );
  const isSidecar = (name: string) => sidecarNames.includes(name);
  const sidecarNames = (pod.spec.initContainers ?? []).filter(isRestartableInit).map((c) => c.name);
  const stop = (c: ObservedContainer, after?: readonly Promise<unknown>[]) =>
    stopContainer(context, { ...options, ...(after ? { after } : {}) }, c, `Stopping container ${c.name}`);
  const stopping = running.filter((c) => !isSidecar(c.name)).map((c) => stop(c));
  // The last to have started goes first; hooks run at once, and the signal waits for its turn.
  for (const name of sidecarNames.reverse()) {
    const before = [...stopping];
    stopping.push(...running.filter((c) => c.name === name).map((c) => stop(c, before)));
  }
  await Promise.all(stopping);
  // One that died by itself may still hold its address.
  await Promise.all(state.sandboxes.map((s) => context.runtime.stopPodSandbox(s.id).catch(ignoreGone)));
}
