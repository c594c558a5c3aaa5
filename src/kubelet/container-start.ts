/** From the specification of a container to a running one, or to the reason why it waits. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import { failpoint, messageOf } from "#base";
import type { EventKind } from "#client";
import { type Image, type Mount, type PodSandboxConfig, VolumeError } from "#contracts";
import { abortable } from "./abortable.ts";
import { grantOf, readCdiSpecs } from "./claims/cdi.ts";
import { isRestartableInit } from "./compute-actions.ts";
import { containerConfig, logPathOf } from "./cri-config.ts";
import { AllocationError, type DeviceGrant, mergedGrant } from "./devices/allocation.ts";
import { envFilesFor, fileValue } from "./env-files.ts";
import { ContainerConfigError, environmentNeeds, environmentOf } from "./environment.ts";
import { FieldPathError } from "./field-paths.ts";
import { crashLoopMessage, ImageError } from "./image-puller.ts";
import { containerHash } from "./labels.ts";
import { runHook } from "./lifecycle.ts";
import { linkLog, logOwnerOf } from "./logs/links.ts";
import { containerField, ephemeralContainersOf } from "./pod-containers.ts";
import { figuresFor, type PodContext, sayOf } from "./pod-context.ts";
import { containerDevices, containerMounts } from "./pod-files.ts";
import { containerResources } from "./pod-resources.ts";
import { isRunning, latestContainer, type ObservedPod } from "./pod-state.ts";
import { verifyNonRoot } from "./security-context.ts";

/** The container cannot start now; the reason is shown in its status. */
export class StartError extends Error {
  override name = "StartError";
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface StartInput {
  pod: Readonly<corev1.Pod>;
  container: Readonly<corev1.Container>;
  state: ObservedPod;
  sandboxId: string;
  sandbox: PodSandboxConfig;
  /** The runtime's. */
  handler: string;
  podIps: readonly string[];
  volumes: ReadonlyMap<string, string>;
  signal: AbortSignal;
}

/** A hook after the start has no grace period of its own; this only bounds one that hangs. */
const hookTimeoutMs = 10 * 60_000;

/** A container with another image has not crashed yet. */
export const crashKey = (uid: string, container: Readonly<corev1.Container>) =>
  `${uid}/${container.name}/${containerHash(container)}`;

/** Throws `StartError` CrashLoopBackOff while the last end is too near. Answers what counts the try. */
function holdBack(context: PodContext, input: StartInput): () => void {
  const latest = latestContainer(input.state, input.container.name);
  const free = () => {};
  if (latest?.state !== "CONTAINER_EXITED") return free;
  // An init container that has done its work runs again only because its sandbox was lost.
  const isInit = (input.pod.spec.initContainers ?? []).includes(input.container);
  if (isInit && !isRestartableInit(input.container) && latest.exitCode === 0) return free;
  const key = crashKey(input.pod.metadata.uid, input.container);
  const endedMs = latest.finishedAt / 1e6;
  const nowMs = context.world.clock.now();
  if (context.crashes.remainingMs(key, endedMs, nowMs) > 0) {
    const message = crashLoopMessage(context.crashes.delayMs(key), input.pod, input.container.name);
    const say = sayOf(context, input.pod, input.container.name);
    const words = `Back-off restarting failed container ${input.container.name} in pod ${input.pod.metadata.name}_${input.pod.metadata.namespace}(${input.pod.metadata.uid})`;
    say("Warning", "BackOff", words);
    throw new StartError("CrashLoopBackOff", message);
  }
  return () => context.crashes.next(key, endedMs, nowMs);
}

/** The secrets of registries that the pod names; those that are not there may not be needed, but are told of. */
async function pullSecrets(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
): Promise<Readonly<corev1.Secret>[]> {
  const names = (pod.spec.imagePullSecrets ?? []).flatMap((s) => (s.name ? [s.name] : []));
  if (names.length === 0) return [];
  const found = await context.objects.secrets(pod.metadata.namespace ?? "", names);
  const missing = names.filter((name) => !found.has(name));
  if (missing.length > 0) {
    const words = `Unable to retrieve some image pull secrets (${missing.join(", ")}); attempting to pull the image may not succeed.`;
    context.recorder.record(pod, "Warning", "FailedToRetrieveImagePullSecret", words);
  }
  return [...found.values()];
}

async function ensureImage(context: PodContext, input: StartInput): Promise<Image> {
  const { pod, container } = input;
  const say = sayOf(context, pod, container.name);
  try {
    const secrets = await pullSecrets(context, pod);
    return await abortable(context.images.ensure(pod, container, secrets, say), input.signal);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    say("Warning", "Failed", `Error: ${error.reason}`);
    throw new StartError(error.reason, error.message);
  }
}

/** The images that the pod's volumes show, present, by the names of the volumes; a container that mounts one waits for it as for its own. */
export async function ensureVolumeImages(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const volumes = (pod.spec.volumes ?? []).filter(({ image }) => image);
  const shown = new Map<string, string>();
  if (volumes.length === 0) return shown;
  const secrets = await pullSecrets(context, pod);
  for (const { name, image: { reference = "", pullPolicy } = {} } of volumes) {
    const wanted = { name: "", image: reference, ...(pullPolicy ? { imagePullPolicy: pullPolicy } : {}) };
    const say = (kind: EventKind, reason: string, message: string) =>
      context.recorder.record(pod, kind, reason, message);
    try {
      const image = await abortable(context.images.ensure(pod, wanted, secrets, say), signal);
      shown.set(name, image.repoDigests[0] ?? image.id);
    } catch (error) {
      if (error instanceof ImageError) throw new StartError(error.reason, error.message);
      throw error;
    }
  }
  return shown;
}

async function environmentFor(context: PodContext, input: StartInput): Promise<Map<string, string>> {
  const { pod, container } = input;
  const namespace = pod.metadata.namespace ?? "";
  const needs = environmentNeeds(container);
  // A container that starts before the services are known would never learn of them.
  await context.services.waitForSync();
  const [configMaps, secrets, files] = await Promise.all([
    context.objects.configMaps(namespace, needs.configMaps),
    context.objects.secrets(namespace, needs.secrets),
    envFilesFor(container, input.volumes),
  ]);
  const hostNetworkIps = pod.spec.hostNetwork ? context.nodeAddresses : input.podIps;
  return environmentOf({
    pod,
    container,
    services: context.services.list(),
    configMaps,
    secrets,
    podIps: hostNetworkIps,
    hostIps: context.nodeAddresses,
    allocatable: context.allocatable(),
    fileValue: (selector) => fileValue(selector, files),
  });
}

/** How often this container has been started before, also where the runtime has forgotten. */
function restartCountOf(input: StartInput): number {
  const latest = latestContainer(input.state, input.container.name);
  if (latest) return latest.restartCount + 1;
  const statuses = [
    ...(input.pod.status?.containerStatuses ?? []),
    ...(input.pod.status?.initContainerStatuses ?? []),
    ...(input.pod.status?.ephemeralContainerStatuses ?? []),
  ];
  const before = statuses.find((s) => s.name === input.container.name);
  if (!before) return 0;
  // Of one that has been lost the count tells already.
  return before.containerID ? before.restartCount + 1 : before.restartCount;
}

/** The id of the container whose processes an ephemeral one shall see. */
function targetOf({ pod, container, state }: StartInput): string | undefined {
  const name = ephemeralContainersOf(pod).find((c) => c.name === container.name)?.targetContainerName;
  if (!name) return undefined;
  const target = latestContainer(state, name);
  if (target && isRunning(target)) return target.id;
  throw new StartError("CreateContainerError", `unable to find target container ${JSON.stringify(name)}`);
}

/** The devices of plugins and of claims. */
async function grantFor(
  context: PodContext,
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
): Promise<DeviceGrant> {
  const byPlugins = await context.devices.grantFor(pod, container);
  const names = [
    ...byPlugins.cdiDevices.map(({ name }) => name),
    ...context.claims.devicesOf(pod, container),
  ];
  if (names.length === 0) return byPlugins;
  if (context.runtimeKnowsCdi) return { ...byPlugins, cdiDevices: names.map((name) => ({ name })) };
  return mergedGrant([{ ...byPlugins, cdiDevices: [] }, grantOf(await readCdiSpecs(), names)]);
}

/** What a device plugin wants to be seen inside. */
function deviceMounts({ mounts }: DeviceGrant): Mount[] {
  return mounts.map(({ containerPath, hostPath, readOnly }) => ({
    containerPath,
    hostPath,
    readonly: readOnly,
    propagation: "PROPAGATION_PRIVATE" as const,
  }));
}

async function create(context: PodContext, input: StartInput, image: Image): Promise<string> {
  const { pod, container } = input;
  const dns = await context.dns();
  verifyNonRoot(pod, container, image);
  const cpuset = await context.cpus.cpusetFor(pod, container);
  const memset = context.memory.memsetFor(pod.metadata.uid, container.name);
  const grant = await grantFor(context, pod, container);
  const environment = await environmentFor(context, input);
  // What the specification says comes first.
  for (const [name, value] of Object.entries(grant.envs))
    if (!environment.has(name)) environment.set(name, value);
  const ownMounts = await containerMounts(context, {
    pod,
    container,
    volumes: input.volumes,
    environment,
    podIps: input.podIps,
    clusterDomain: dns.clusterDomain,
    handler: input.handler,
  });
  const mounts = [...ownMounts, ...deviceMounts(grant)];
  await mkdir(join(input.sandbox.logDirectory, container.name), { recursive: true, mode: 0o755 });
  const config = containerConfig({
    pod,
    container,
    image,
    environment,
    mounts,
    devices: [...containerDevices(pod, container, input.volumes), ...grant.devices],
    cdiDevices: grant.cdiDevices,
    annotations: grant.annotations,
    restartCount: restartCountOf(input),
    resources: {
      ...containerResources(pod, container, figuresFor(context, pod, container.name)),
      ...(cpuset ? { cpusetCpus: cpuset } : {}),
      ...(memset ? { cpusetMems: memset } : {}),
    },
    security: context.security,
    targetId: targetOf(input),
    users: input.sandbox.linux.securityContext.namespaceOptions.usernsOptions,
  });
  return context.runtime.createContainer(input.sandboxId, config, input.sandbox).catch((error: unknown) => {
    throw new StartError("CreateContainerError", messageOf(error));
  });
}

const typeNames: Record<string, string> = {
  initContainers: "init_container",
  ephemeralContainers: "ephemeral_container",
};

/** As metrics call it. */
const typeOf = ({ pod, container }: StartInput) =>
  typeNames[containerField(pod, container.name)] ?? "container";

/** Creates and starts; answers the container's id. Throws `StartError`. */
async function make(
  context: PodContext,
  input: StartInput,
  image: Image,
  countTry: () => void,
): Promise<string> {
  const say = sayOf(context, input.pod, input.container.name);
  let id: string;
  try {
    id = await create(context, input, image);
  } catch (error) {
    say("Warning", "Failed", `Error: ${messageOf(error)}`);
    const config =
      error instanceof ContainerConfigError ||
      error instanceof FieldPathError ||
      error instanceof VolumeError;
    if (error instanceof StartError || error instanceof AllocationError) throw error;
    throw new StartError(config ? "CreateContainerConfigError" : "CreateContainerError", messageOf(error));
  }
  failpoint("kubelet/container-made");
  countTry();
  say("Normal", "Created", "Container created");
  try {
    await context.runtime.startContainer(id);
  } catch (error) {
    say("Warning", "Failed", `Error: ${messageOf(error)}`);
    throw new StartError("RunContainerError", messageOf(error));
  }
  failpoint("kubelet/container-started");
  say("Normal", "Started", "Container started");
  return id;
}

/** With its image there before and its hook run after it; answers the container's id. Throws `StartError`. */
export async function startContainer(context: PodContext, input: StartInput): Promise<string> {
  const countTry = holdBack(context, input);
  const container_type = typeOf(input);
  context.metrics.startedContainers.inc({ container_type });
  try {
    return await begin(context, input, countTry);
  } catch (error) {
    if (error instanceof StartError)
      context.metrics.containerErrors.inc({ container_type, code: error.reason });
    throw error;
  }
}

async function begin(context: PodContext, input: StartInput, countTry: () => void): Promise<string> {
  const { pod, container, signal } = input;
  const image = await ensureImage(context, input);
  const id = await context.turns.run("container", signal, () => make(context, input, image, countTry));
  const owner = logOwnerOf(pod, container.name, id);
  const log = logPathOf(container, restartCountOf(input));
  await linkLog(context.paths.logLinksDir, owner, input.sandbox.logDirectory, log).catch((error: unknown) =>
    context.world.log.warn({ ...owner, error: messageOf(error) }, "a container's log could not be linked"),
  );
  await afterStart(context, input, id);
  return id;
}

async function afterStart(context: PodContext, input: StartInput, containerId: string): Promise<void> {
  const { pod, container } = input;
  const handler = container.lifecycle?.postStart;
  if (!handler) return;
  const say = sayOf(context, pod, container.name);
  const hook = runHook({
    handler,
    container,
    containerId,
    podIp: input.podIps[0] ?? context.nodeAddresses[0] ?? "",
    runtime: context.runtime,
    world: context.world,
    signal: input.signal,
    timeoutMs: hookTimeoutMs,
    say,
  });
  const failure = await abortable(hook, input.signal);
  if (failure === undefined) return;
  say("Warning", "FailedPostStartHook", "PostStartHook failed");
  say("Normal", "Killing", "FailedPostStartHook");
  // A deletion does not wait for this grace period: it has its own.
  const stopped = context.runtime.stopContainer(containerId, pod.spec.terminationGracePeriodSeconds ?? 30);
  await abortable(stopped, input.signal);
  throw new StartError("PostStartHookError", `PostStartHook failed: ${failure}`);
}
