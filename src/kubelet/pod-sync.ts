/** One step towards what a pod shall be: observe, decide, act, report. Called again until nothing is left to do. */
import { type corev1, parseTime } from "#api";
import { messageOf } from "#base";
import type { PodSandboxConfig } from "#contracts";
import { VolumeError, VolumePendingError } from "#contracts";
import { abortable, InterruptedError } from "./abortable.ts";
import { rejected } from "./admission.ts";
import {
  asksForMore,
  type Condemned,
  computePodActions,
  isRestartableInit,
  type PodActions,
} from "./compute-actions.ts";
import { crashKey, ensureVolumeImages, StartError, startContainer } from "./container-start.ts";
import type { WaitingReason } from "./container-status.ts";
import { AllocationError } from "./devices/allocation.ts";
import { logOwnerOf, unlinkLog } from "./logs/links.ts";
import { removeLogs } from "./logs/rotation.ts";
import { containerNamed } from "./pod-containers.ts";
import type { PodContext } from "./pod-context.ts";
import { terminationMessage } from "./pod-files.ts";
import { cgroupPathOf } from "./pod-resources.ts";
import { isRunning, latestContainer, type ObservedPod, podIpsOf } from "./pod-state.ts";
import { isFinal, lastTold, podStatusOf } from "./pod-status.ts";
import { graceSecondsOf, stopContainer, stopPod } from "./pod-stop.ts";
import {
  allocate,
  giveResources,
  newResizeMemory,
  type ResizeMemory,
  resizeConditions,
  restartsForResize,
  tellingOf,
} from "./resize.ts";
import { createSandbox, planSandbox, tellOfSandbox } from "./sandbox.ts";

/** Why the kubelet ends a pod that may still run. */
export interface Eviction {
  reason: string;
  message: string;
  /** Without: the pod's own. */
  graceSeconds?: number;
  condition: corev1.PodCondition;
}

/** What the kubelet remembers of a pod between two steps. */
export interface PodMemory {
  waiting: Map<string, WaitingReason>;
  terminationMessages: Map<string, string>;
  failure: { reason: string; message: string } | undefined;
  /** Where the kubelet itself ends the pod: what its status says of it, and how long its containers have. */
  eviction: Pick<Eviction, "condition" | "graceSeconds"> | undefined;
  /** What it has of the node for itself is decided. */
  isPlaced: boolean;
  resize: ResizeMemory;
  /** What its image volumes show, by their names. */
  volumeImages: Map<string, string>;
  /** The other pods of the node that take part of it. */
  others(): readonly Readonly<corev1.Pod>[];
  /** The runtime has nothing of it: it need not be asked. */
  isNew: boolean;
}

export function newMemory(others: PodMemory["others"] = () => [], isNew = false): PodMemory {
  return {
    isNew,
    waiting: new Map(),
    terminationMessages: new Map(),
    failure: undefined,
    eviction: undefined,
    isPlaced: false,
    resize: newResizeMemory(),
    volumeImages: new Map(),
    others,
  };
}

/** A pod is looked at again after this long, or up to half as long again: pods that came together part. */
const resyncAfterMs = ({ world, resyncMs }: PodContext) => resyncMs * (1 + world.random.float() / 2);

const retryMs = 2000;
/** What a person has to mend (a missing ConfigMap) is looked for again after this long. */
const heldBackMs = 10_000;

/** Reads the pod's state, with what its ended containers left behind. */
export async function observe(context: PodContext, uid: string, memory: PodMemory): Promise<ObservedPod> {
  const state = memory.isNew ? { uid, sandboxes: [], containers: [] } : await context.reader.read(uid);
  const known = new Set(state.containers.map((c) => c.id));
  for (const id of memory.terminationMessages.keys())
    if (!known.has(id)) memory.terminationMessages.delete(id);
  for (const container of state.containers) {
    if (container.state !== "CONTAINER_EXITED" || memory.terminationMessages.has(container.id)) continue;
    memory.terminationMessages.set(container.id, await terminationMessage(container).catch(() => ""));
  }
  return state;
}

/** Follows the probes, makes the status and hands it to the status manager. */
export function report(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  memory: PodMemory,
  ending: boolean,
): corev1.PodStatus {
  const probed = pod.spec.hostNetwork ? (context.nodeAddresses[0] ?? "") : (podIpsOf(state)[0] ?? "");
  context.probes.follow(pod, state, probed, ending || pod.metadata.deletionTimestamp !== undefined);
  const known = context.statuses.get(pod.metadata.uid);
  const status = podStatusOf({
    pod,
    state,
    waiting: memory.waiting,
    probes: context.probes,
    runtimeName: context.runtimeName,
    terminationMessages: memory.terminationMessages,
    nowMs: context.world.clock.now(),
    nodeAddresses: context.nodeAddresses,
    failure: memory.failure,
    disruption: memory.eviction?.condition,
    resize: resizeConditions(memory.resize),
    resources: memory.resize.actual,
    wholeResources: memory.resize.actualWhole,
    volumeImages: memory.volumeImages,
    deviceHealth: (container) => [
      ...context.devices.healthOf(pod.metadata.uid, container.name),
      ...context.claims.healthOf(pod, container),
    ],
    old: known ? lastTold(known, pod.status) : (pod.status ?? {}),
    ending,
  });
  context.statuses.set(pod, status);
  memory.resize.told = tellingOf(memory.resize);
  return status;
}

/** https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-termination-and-cleanup */
function deadlineLeftMs(pod: Readonly<corev1.Pod>, startTime: string | undefined, nowMs: number): number {
  const seconds = pod.spec.activeDeadlineSeconds;
  const startMs = startTime ? parseTime(startTime) : undefined;
  return seconds === undefined || startMs === undefined
    ? Number.POSITIVE_INFINITY
    : startMs + seconds * 1000 - nowMs;
}

/** Brings the pod one step further; answers after how many milliseconds to look again. */
export async function syncPod(
  context: PodContext,
  wanted: Readonly<corev1.Pod>,
  memory: PodMemory,
  signal: AbortSignal,
): Promise<number> {
  const pod = allocate(wanted, memory.resize, memory.others, context.allocatable(), {
    cpu: context.cpus.isStatic,
    memory: context.memory.isStatic,
  });
  tellOfResize(context, pod, memory);
  let state = await observe(context, pod.metadata.uid, memory);
  let status = report(context, pod, state, memory, false);
  const deadlineMs = deadlineLeftMs(pod, status.startTime, context.world.clock.now());
  if (deadlineMs <= 0 && !isFinal(status.phase)) {
    memory.failure = {
      reason: "DeadlineExceeded",
      message: "Pod was active on the node longer than the specified deadline",
    };
    context.recorder.record(pod as corev1.Pod, "Normal", "DeadlineExceeded", memory.failure.message);
  }
  if (!memory.failure && !isFinal(status.phase)) await place(context, pod, state, memory, signal);
  if (memory.failure || isFinal(status.phase)) {
    return finishPod(context, pod, state, memory, signal);
  }
  const condemned = new Map<string, Condemned>(context.probes.unhealthy(pod.metadata.uid));
  for (const id of restartsForResize(context, pod, state, memory.resize)) condemned.set(id, "resize");
  const actions = computePodActions(pod, state, condemned, (c) => context.probes.isStarted(c.id));
  let againMs = resyncAfterMs(context);
  if (needsAct(actions)) {
    againMs = await act(context, pod, state, actions, memory, signal);
    state = await observe(context, pod.metadata.uid, memory);
    status = report(context, pod, state, memory, false);
    // What has ended meanwhile has been read: nobody tells of it again. What failed is tried again in its time.
    const next = computePodActions(pod, state, new Map(), (c) => context.probes.isStarted(c.id));
    if (againMs > retryMs && asksForMore(next, memory.waiting)) againMs = 0;
  } else {
    await refreshVolumes(context, pod);
  }
  if (await gaveResources(context, pod, state, memory)) report(context, pod, state, memory, false);
  await prune(context, pod, state);
  return Math.min(againMs, deadlineMs, backoffLeftMs(context, pod, state, memory));
}

/** Whether anything may have changed that the status tells. */
async function gaveResources(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  { resize }: PodMemory,
): Promise<boolean> {
  await giveResources(context, pod, state, resize);
  tellOfResize(context, pod, { resize });
  return resize.told !== tellingOf(resize);
}

function tellOfResize(context: PodContext, pod: Readonly<corev1.Pod>, { resize }: Pick<PodMemory, "resize">) {
  for (const { kind, reason, message } of resize.news.splice(0))
    context.recorder.record(pod, kind, reason, message);
}

function needsAct(actions: PodActions): boolean {
  return actions.killPod || actions.createSandbox || actions.start.length > 0 || actions.kill.length > 0;
}

/** A pod whose phase is final: nothing of it runs on, its logs stay until it is deleted. */
async function finishPod(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  memory: PodMemory,
  signal: AbortSignal,
): Promise<number> {
  const graceSeconds = memory.eviction?.graceSeconds ?? graceSecondsOf(pod);
  await abortable(stopPod(context, { pod, state, graceSeconds, signal }), signal);
  memory.waiting.clear();
  report(context, pod, await observe(context, pod.metadata.uid, memory), memory, true);
  context.devices.release(pod.metadata.uid);
  context.cpus.release(pod.metadata.uid);
  context.memory.release(pod.metadata.uid);
  await context.claims.unprepare(pod.metadata.uid);
  await context.volumes.cleanUp(pod.metadata.uid);
  await context.cgroups.remove(cgroupPathOf(context.cgroupRoot, pod));
  return Number.POSITIVE_INFINITY;
}

/** Live content of volumes; a failure now does not disturb containers that run. */
async function refreshVolumes(context: PodContext, pod: Readonly<corev1.Pod>): Promise<void> {
  await context.volumes.ensure(pod).catch((error: unknown) => tellOfVolumes(context, pod, error));
}

/** Nothing is said while somebody else is at work. */
function tellOfVolumes(context: PodContext, pod: Readonly<corev1.Pod>, error: unknown): undefined {
  if (error instanceof VolumePendingError) return;
  const isBlock = error instanceof VolumeError && error.step?.startsWith("MapVolume");
  const reason = isBlock ? "FailedMapVolume" : "FailedMount";
  context.recorder.record(pod as corev1.Pod, "Warning", reason, messageOf(error));
}

/** False where the devices that the pod claims are not ready; that is told as an event. */
async function preparedClaims(context: PodContext, pod: Readonly<corev1.Pod>): Promise<boolean> {
  try {
    await context.claims.prepare(pod);
    return true;
  } catch (error) {
    const message = `Failed to prepare dynamic resources: prepare dynamic resources: ${messageOf(error)}`;
    context.recorder.record(pod, "Warning", "FailedPrepareDynamicResources", message);
    return false;
  }
}

/** Why an image of the pod's volumes is not there. */
async function missingVolumeImage(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  memory: PodMemory,
  signal: AbortSignal,
): Promise<WaitingReason | undefined> {
  try {
    memory.volumeImages = await ensureVolumeImages(context, pod, signal);
    return undefined;
  } catch (error) {
    if (error instanceof StartError) return { reason: error.reason, message: error.message };
    throw error;
  }
}

async function act(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  before: ObservedPod,
  actions: PodActions,
  memory: PodMemory,
  signal: AbortSignal,
): Promise<number> {
  const stopping = { pod, state: before, graceSeconds: graceSecondsOf(pod), signal };
  if (actions.killPod) await abortable(stopPod(context, stopping), signal);
  for (const { container, message, reason } of actions.kill) {
    const spec = containerNamed(pod, container.name);
    const probe =
      reason === "Unhealthy"
        ? spec?.livenessProbe
        : reason === "StartupProbe"
          ? spec?.startupProbe
          : undefined;
    const graceSeconds = probe?.terminationGracePeriodSeconds ?? stopping.graceSeconds;
    const restarts = actions.start.includes(container.name);
    const words = restarts ? `${message}, will be restarted` : message;
    const skipHooks = reason === "RestartAll";
    const how = { ...stopping, graceSeconds, skipHooks };
    await abortable(stopContainer(context, how, container, words), signal);
  }
  if (actions.start.length === 0) return 0;
  const missing = await missingVolumeImage(context, pod, memory, signal);
  if (missing) {
    for (const name of actions.start) memory.waiting.set(name, missing);
    return retryMs;
  }
  const plan = await planSandbox(context, pod, actions.attempt).catch((error: unknown) =>
    tellOfSandbox(context, pod, error),
  );
  if (!plan) return retryMs;
  const { isNew } = memory;
  memory.isNew = false;
  const prepare = () =>
    Promise.all([
      actions.createSandbox ? createSandbox(context, pod, plan) : actions.sandboxId,
      context.volumes.ensure(pod).catch((error: unknown) => tellOfVolumes(context, pod, error)),
    ]);
  const [sandboxId, volumes] = await (actions.createSandbox
    ? context.turns.run("sandbox", signal, prepare)
    : prepare());
  if (!sandboxId || !volumes || signal.aborted) return retryMs;
  if (!(await preparedClaims(context, pod))) return retryMs;
  return startAll(context, pod, actions, { sandboxId, ...plan, volumes, signal, isNew }, memory);
}

/** As if the pod had not been admitted. */
function failForResources(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  memory: PodMemory,
  error: AllocationError,
): number {
  const refusal = error.reason
    ? { reason: error.reason, message: error.message }
    : {
        reason: "UnexpectedAdmissionError",
        message: `Allocate failed due to ${error.message}, which is unexpected`,
      };
  context.recorder.record(pod, "Warning", refusal.reason, refusal.message);
  memory.failure = rejected(refusal);
  return 0;
}

/** What the pod has of the node for itself, before anything of it is begun; containers that ran before keep theirs. */
async function place(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  memory: PodMemory,
  signal: AbortSignal,
): Promise<void> {
  if (memory.isPlaced) return;
  try {
    if (state.containers.length === 0) await abortable(context.topology.place(pod), signal);
    memory.isPlaced = true;
  } catch (error) {
    if (!(error instanceof AllocationError)) throw error;
    failForResources(context, pod, memory, error);
  }
}

async function startAll(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  actions: PodActions,
  where: {
    sandboxId: string;
    sandbox: PodSandboxConfig;
    handler: string;
    volumes: ReadonlyMap<string, string>;
    signal: AbortSignal;
    isNew: boolean;
  },
  memory: PodMemory,
): Promise<number> {
  const state = await (where.isNew
    ? context.reader.readNew(pod.metadata.uid, where.sandboxId)
    : observe(context, pod.metadata.uid, memory));
  const podIps = podIpsOf(state);
  await context.admitToNetwork(pod, podIps);
  let againMs = resyncAfterMs(context);
  for (const name of actions.start) {
    if (where.signal.aborted) return 0;
    const container = containerNamed(pod, name)!;
    try {
      await startContainer(context, { pod, container, state, podIps, ...where });
      memory.waiting.delete(name);
      if ((pod.spec.initContainers ?? []).includes(container) && isRestartableInit(container)) againMs = 0;
    } catch (error) {
      if (error instanceof InterruptedError) throw error;
      if (error instanceof AllocationError) return failForResources(context, pod, memory, error);
      const reason = error instanceof StartError ? error.reason : "CreateContainerError";
      memory.waiting.set(name, { reason, message: messageOf(error) });
      againMs = Math.min(
        againMs,
        reason === "ErrImagePull" || reason === "CreateContainerError" ? retryMs : heldBackMs,
      );
    }
  }
  return againMs;
}

/** How long until a container or image that is held back may be tried again. */
function backoffLeftMs(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  state: ObservedPod,
  memory: PodMemory,
): number {
  let soonest = Number.POSITIVE_INFINITY;
  const nowMs = context.world.clock.now();
  for (const [name, { reason }] of memory.waiting) {
    const latest = latestContainer(state, name);
    if (reason !== "CrashLoopBackOff" || !latest || isRunning(latest)) continue;
    const spec = containerNamed(pod, name);
    if (!spec) continue;
    const key = crashKey(pod.metadata.uid, spec);
    soonest = Math.min(soonest, context.crashes.remainingMs(key, latest.finishedAt / 1e6, nowMs));
  }
  return Math.min(soonest, context.images.remainingMs(pod)) + 1;
}

/** Beside the newest of each name one dead container stays, for its logs and its last state; of old sandboxes only those with one. */
async function prune(context: PodContext, pod: Readonly<corev1.Pod>, state: ObservedPod): Promise<void> {
  const used = new Set<string>();
  const newest = new Set<string>();
  const kept = new Set<string>();
  for (const container of state.containers) {
    const isNewest = !newest.has(container.name);
    newest.add(container.name);
    const dead = container.state === "CONTAINER_EXITED" && !isNewest;
    if (dead && kept.has(container.name)) {
      await context.runtime.removeContainer(container.id);
      if (container.logPath) await removeLogs(container.logPath);
      await unlinkLog(context.paths.logLinksDir, logOwnerOf(pod, container.name, container.id));
      continue;
    }
    if (dead) kept.add(container.name);
    used.add(container.podSandboxId);
  }
  for (const sandbox of state.sandboxes.slice(1)) {
    if (sandbox.state === "SANDBOX_READY" || used.has(sandbox.id)) continue;
    await context.runtime.stopPodSandbox(sandbox.id);
    await context.runtime.removePodSandbox(sandbox.id);
  }
}
