/** The files the kubelet keeps for a pod: its folder, its hosts file, what containers leave when they end. */
import { constants } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { corev1 } from "#api";
import { messageOf } from "#base";
import { type Device, type Mount, VolumeError } from "#contracts";
import { expand } from "./environment.ts";
import { terminationMessagePathAnnotation, terminationMessagePolicyAnnotation } from "./labels.ts";
import { tailLines } from "./logs/cri-log.ts";
import { type PodContext, readText } from "./pod-context.ts";
import { hostsFile } from "./pod-network-config.ts";
import type { ObservedContainer } from "./pod-state.ts";
import { isSharedMount } from "./shared-mounts.ts";
import { ownWithin } from "./volumes/usual-folder.ts";

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

const messageMaxBytes = 4096;
const fallbackLines = 80;
const fallbackMaxBytes = 2048;

const propagations = {
  None: "PROPAGATION_PRIVATE",
  HostToContainer: "PROPAGATION_HOST_TO_CONTAINER",
  Bidirectional: "PROPAGATION_BIDIRECTIONAL",
} as const;

export async function ensurePodFolders(context: PodContext, pod: Readonly<corev1.Pod>): Promise<void> {
  await mkdir(context.paths.podDir(pod.metadata.uid), { recursive: true, mode: 0o750 });
  await mkdir(context.paths.logDir(pod), { recursive: true, mode: 0o755 });
}

interface MountInput {
  pod: Readonly<corev1.Pod>;
  container: Readonly<corev1.Container>;
  volumes: ReadonlyMap<string, string>;
  environment: ReadonlyMap<string, string>;
  podIps: readonly string[];
  clusterDomain: string;
  handler: string;
}

/** Where the machine itself shares no mounts, there is nothing to follow: the volume is mounted as it is. */
async function propagationOf(
  mount: Readonly<corev1.VolumeMount>,
  hostPath: string,
): Promise<Mount["propagation"]> {
  const wanted = mount.mountPropagation ?? "None";
  if (wanted !== "HostToContainer") return propagations[wanted];
  return isSharedMount(await readText("/proc/self/mountinfo"), hostPath)
    ? propagations[wanted]
    : propagations.None;
}

/**
 * Runtimes have it from containerd 2.0 on. https://kubernetes.io/docs/concepts/storage/volumes/#recursive-read-only-mounts
 */
export function isRecursive(
  { name, readOnly, recursiveReadOnly }: Readonly<corev1.VolumeMount>,
  isSupported: boolean,
): boolean {
  if (!readOnly || !recursiveReadOnly || recursiveReadOnly === "Disabled") return false;
  if (isSupported || recursiveReadOnly === "IfPossible") return isSupported;
  const words = `volume ${JSON.stringify(name)} requested recursive read-only mode, but it is not supported by the runtime`;
  throw new VolumeError(`failed to resolve recursive read-only mode: ${words}`);
}

/** What is written from the API is the kubelet's alone to change: whoever could write there could lead it astray. */
function isReadOnly(pod: Readonly<corev1.Pod>, volumeName: string): boolean {
  const volume = pod.spec.volumes?.find((v) => v.name === volumeName);
  if (volume?.configMap ?? volume?.secret ?? volume?.downwardAPI ?? volume?.projected) return true;
  return Boolean(volume?.persistentVolumeClaim?.readOnly || volume?.csi?.readOnly || volume?.nfs?.readOnly);
}

function missing(volume: string, container: Readonly<corev1.Container>): VolumeError {
  const [name, of] = [volume, container.name].map((each) => JSON.stringify(each));
  return new VolumeError(`cannot find volume ${name} to mount into container ${of}`);
}

/** https://kubernetes.io/docs/concepts/storage/persistent-volumes/#raw-block-volume-support */
export function containerDevices(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  volumes: ReadonlyMap<string, string>,
): Device[] {
  return (container.volumeDevices ?? []).map(({ name, devicePath }) => {
    const hostPath = volumes.get(name);
    if (!hostPath) throw missing(name, container);
    return { containerPath: devicePath, hostPath, permissions: isReadOnly(pod, name) ? "r" : "mrw" };
  });
}

/** A variable that is not there, or empty, names no part of a volume: the whole of it is not given instead. */
function subPathOf(mount: Readonly<corev1.VolumeMount>, environment: ReadonlyMap<string, string>): string {
  if (!mount.subPathExpr) return mount.subPath ?? "";
  const lacking = new Set<string>();
  const values = {
    get(name: string) {
      const value = environment.get(name);
      if (!value) lacking.add(name);
      return value;
    },
  };
  const subPath = expand(mount.subPathExpr, values);
  if (lacking.size > 0) throw new VolumeError(`missing value for ${[...lacking].sort().join(", ")}`);
  return subPath;
}

async function volumeMounts(context: PodContext, input: MountInput): Promise<Mount[]> {
  const mounts: Mount[] = [];
  const canRecurse = context.handlers.supports(input.handler, "recursiveReadOnlyMounts");
  for (const [index, mount] of (input.container.volumeMounts ?? []).entries()) {
    const volumePath = input.volumes.get(mount.name);
    if (!volumePath) throw missing(mount.name, input.container);
    const recursive = isRecursive(mount, canRecurse);
    const subPath = subPathOf(mount, input.environment);
    const hostPath = subPath ? await partOf(context, input, index, volumePath, subPath) : volumePath;
    mounts.push({
      containerPath: mount.mountPath.startsWith("/") ? mount.mountPath : `/${mount.mountPath}`,
      hostPath,
      readonly: mount.readOnly || isReadOnly(input.pod, mount.name),
      ...(recursive ? { recursiveReadOnly: true } : {}),
      propagation: await propagationOf(mount, hostPath),
    });
    if (!subPath) mounts.push(...(await mountsWithin(context, input.pod, mount, mounts.at(-1)!)));
  }
  return mounts;
}

/** The machine's own folders have this node's in them, where pods expect those. */
async function mountsWithin(
  { paths: { dataDir, logRoot: logDir } }: PodContext,
  { spec }: Readonly<corev1.Pod>,
  { name }: Readonly<corev1.VolumeMount>,
  outer: Mount,
): Promise<Mount[]> {
  const path = spec.volumes?.find((volume) => volume.name === name)?.hostPath?.path;
  if (path === undefined) return [];
  const own = ownWithin(path, { dataDir, logDir });
  for (const each of own)
    for (const folder of [each.at, each.path]) await mkdir(folder, { recursive: true, mode: 0o755 });
  return own.map(({ within, path: hostPath }) => ({
    containerPath: join(outer.containerPath, within),
    hostPath,
    readonly: outer.readonly,
    propagation: "PROPAGATION_PRIVATE",
  }));
}

/** What is wrong with the part is the owner's of the volume to know: the event says upstream's words and no more. */
async function partOf(
  context: PodContext,
  { pod, container }: MountInput,
  index: number,
  volumePath: string,
  subPath: string,
): Promise<string> {
  const { name } = container.volumeMounts![index]!;
  const place = { podUid: pod.metadata.uid, volume: name, container: container.name, index };
  try {
    return await context.volumes.subPath(place, volumePath, subPath);
  } catch (error) {
    if (error instanceof VolumeError && /SubPath/.test(error.message)) throw error;
    context.world.log.warn({ ...place, subPath, error: messageOf(error) }, "a subPath is not to be had");
    const words = `failed to prepare subPath for volumeMount ${JSON.stringify(name)} of container ${JSON.stringify(container.name)}`;
    throw new VolumeError(words);
  }
}

async function hostsMount(context: PodContext, input: MountInput): Promise<Mount> {
  const path = join(context.paths.podDir(input.pod.metadata.uid), "etc-hosts");
  const nodeHosts = input.pod.spec.hostNetwork ? await readText("/etc/hosts") : "";
  await writeFile(path, hostsFile(input.pod, input.podIps, input.clusterDomain, nodeHosts), { mode: 0o644 });
  return { containerPath: "/etc/hosts", hostPath: path, readonly: false, propagation: "PROPAGATION_PRIVATE" };
}

/** A file of this container alone, mounted where it shall leave its last words. */
async function terminationMount(context: PodContext, input: MountInput): Promise<Mount> {
  const dir = join(context.paths.podDir(input.pod.metadata.uid), "containers", input.container.name);
  await mkdir(dir, { recursive: true, mode: 0o750 });
  const path = join(dir, context.world.random.suffix(8));
  await writeFile(path, "");
  const file = await open(path, "r+");
  // Whoever the container runs as may write it.
  await file.chmod(0o666).finally(() => file.close());
  const containerPath = input.container.terminationMessagePath ?? "/dev/termination-log";
  return { containerPath, hostPath: path, readonly: false, propagation: "PROPAGATION_PRIVATE" };
}

export async function containerMounts(context: PodContext, input: MountInput): Promise<Mount[]> {
  const mounts = await volumeMounts(context, input);
  if (!mounts.some((m) => m.containerPath === "/etc/hosts")) mounts.push(await hostsMount(context, input));
  if (input.container.terminationMessagePath !== "") mounts.push(await terminationMount(context, input));
  return mounts;
}

/** https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/ */
export async function terminationMessage(container: ObservedContainer): Promise<string> {
  const path = container.annotations[terminationMessagePathAnnotation];
  const hostPath = container.mounts.find((m) => m.containerPath === path)?.hostPath;
  const text = hostPath ? await readStart(hostPath, messageMaxBytes) : "";
  if (text || container.annotations[terminationMessagePolicyAnnotation] !== "FallbackToLogsOnError")
    return text;
  if (container.exitCode === 0) return "";
  const lines = await tailLines(container.logPath, fallbackLines);
  return Buffer.from(lines).subarray(-fallbackMaxBytes).toString("utf8");
}

/** Containers can put there what they like: a link out of the volume is not followed, a pipe not waited for. */
async function readStart(path: string, maxBytes: number): Promise<string> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined);
  if (!file) return "";
  try {
    if (!(await file.stat()).isFile()) return "";
    const buffer = Buffer.alloc(maxBytes);
    const { bytesRead } = await file.read(buffer, 0, maxBytes, 0);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } finally {
    await file.close();
  }
}
