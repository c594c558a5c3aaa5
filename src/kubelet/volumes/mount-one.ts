/** One volume of a pod: what stands behind its claim, what its plugin needs of the cluster, and then the mount. */
import { join } from "node:path";
import type { corev1 } from "#api";
import { messageOf } from "#base";
import type { Client } from "#client";
import {
  type MountableVolume,
  VolumeError,
  type VolumeHost,
  type VolumeNeeds,
  VolumePendingError,
  type VolumePlan,
  type VolumePlugin,
  type VolumeSources,
  type VolumeUsage,
} from "#contracts";
import type { ObjectSource } from "../object-source.ts";
import type { MountedRef } from "./object-watches.ts";
import { behindClaim } from "./persistent-volume-claim.ts";
import type { CertificateSource } from "./pod-certificates.ts";
import { pluginFor, refusalOf } from "./registry.ts";
import type { TimedStorage } from "./storage-metrics.ts";
import type { TokenSource } from "./tokens.ts";
import { trustBundleOf } from "./trust-bundles.ts";

export interface MountOptions {
  plugins: readonly VolumePlugin[];
  host: VolumeHost;
  client: Client;
  objects: ObjectSource;
  tokens: TokenSource;
  certificates: CertificateSource;
  nodeName: string;
  allocatable(): Readonly<Record<string, string>>;
  podDir(uid: string): string;
  /** The kubelet's folder. */
  dataDir: string;
  /** The folder of all pods' logs. */
  logDir: string;
}

export interface ObjectVersion {
  ref: MountedRef;
  version: string;
}

interface MountedOne {
  path: string;
  /** Its content is brought up to date while the pod runs. */
  isLive: boolean;
  /** Of what is more than a folder of the pod's own. */
  measure?: () => Promise<VolumeUsage>;
  objects: ObjectVersion[];
}

/** The objects that a volume is kept up to date with. */
export function liveObjectsOf(
  plugins: readonly VolumePlugin[],
  pod: Readonly<corev1.Pod>,
  volume: Readonly<MountableVolume>,
): MountedRef[] {
  const plugin = pluginFor(plugins, volume);
  if (!plugin?.live) return [];
  const namespace = pod.metadata.namespace ?? "";
  const needs = plugin.needs(volume, pod);
  return [
    ...needs.configMaps.map(({ name }) => ({ kind: "configMap" as const, namespace, name })),
    ...needs.secrets.map(({ name }) => ({ kind: "secret" as const, namespace, name })),
  ];
}

function versionIn(sources: VolumeSources, { kind, name }: MountedRef): string {
  const object = kind === "configMap" ? sources.configMaps.get(name) : sources.secrets.get(name);
  return object?.metadata.resourceVersion ?? "";
}

/** Gathers what plugins need of the cluster. */
async function gather(
  options: MountOptions,
  pod: Readonly<corev1.Pod>,
  volumeName: string,
  needs: VolumeNeeds,
) {
  const namespace = pod.metadata.namespace ?? "";
  const names = (list: readonly { name: string }[]) => list.map((n) => n.name);
  const [configMaps, secrets, tokens, trustBundles, certificates] = await Promise.all([
    options.objects.configMaps(namespace, names(needs.configMaps)),
    options.objects.secrets(namespace, names(needs.secrets)),
    Promise.all(needs.tokens.map((t) => options.tokens.tokenFor(pod, t.audience, t.expirationSeconds))),
    Promise.all((needs.trustBundles ?? []).map((bundle) => trustBundleOf(options.client, bundle))),
    Promise.all(
      (needs.certificates ?? []).map((each, i) =>
        options.certificates.credentialsFor(pod, `${volumeName}/${i}`, each),
      ),
    ),
  ]);
  return { configMaps, secrets, tokens, trustBundles, certificates };
}

export async function mountOne(
  options: MountOptions & { timed: TimedStorage },
  pod: Readonly<corev1.Pod>,
  given: Readonly<corev1.Volume>,
  isMounted: boolean,
): Promise<MountedOne> {
  const { plugins, host } = options;
  const volume = await processed(options.client, pod, given, isMounted);
  try {
    const plugin = pluginFor(plugins, volume);
    if (!plugin) throw new VolumeError(refusalOf(volume));
    const sources = await gather(options, pod, volume.name, plugin.needs(volume, pod));
    const plan = plugin.plan(volume, sources, {
      pod,
      nodeName: options.nodeName,
      allocatable: options.allocatable(),
      dataDir: options.dataDir,
      logDir: options.logDir,
    });
    const { fsGroup, fsGroupChangePolicy } = pod.spec.securityContext ?? {};
    const request = {
      plan,
      dir: join(options.podDir(pod.metadata.uid), "volumes", plugin.directoryName, volume.name),
      ...(fsGroup === undefined ? {} : { fsGroup }),
      ...(fsGroupChangePolicy === undefined ? {} : { fsGroupChangePolicy }),
    };
    const path = await options.timed("volume_mount", plugin, () => plugin.mount(request, host));
    const objects = liveObjectsOf(plugins, pod, volume);
    return {
      path,
      isLive: plugin.live,
      ...(isMeasured(plan) ? { measure: () => plugin.usage({ dir: request.dir, path }, host) } : {}),
      objects: objects.map((ref) => ({ ref, version: versionIn(sources, ref) })),
    };
  } catch (error) {
    if (error instanceof VolumePendingError) throw error;
    const step = (error instanceof VolumeError && error.step) || "MountVolume.SetUp";
    const name = volume.persistent?.name ?? given.name;
    throw new VolumeError(`${step} failed for volume "${name}" : ${messageOf(error)}`, step);
  }
}

/** File systems of their own: what others hold is counted with the pod's folder. */
function isMeasured(plan: VolumePlan): boolean {
  if (plan.kind === "network" || plan.kind === "iscsi") return true;
  return (plan.kind === "csi" || plan.kind === "local") && !plan.isBlock;
}

/** Before anything is mounted it has to be known what, and that the containers use it as what it is. */
async function processed(
  client: Client,
  pod: Readonly<corev1.Pod>,
  given: Readonly<corev1.Volume>,
  isMounted: boolean,
): Promise<Readonly<MountableVolume>> {
  const { name } = given;
  try {
    const volume = await behindClaim(client, pod, given, isMounted);
    checkUse(pod, volume);
    return volume;
  } catch (error) {
    const words = `unmounted volumes=[${name}], unattached volumes=[], failed to process volumes=[${name}]`;
    throw new VolumeError(`Unable to attach or mount volumes: ${words}: ${messageOf(error)}`);
  }
}

function checkUse({ spec }: Readonly<corev1.Pod>, { name, persistent }: Readonly<MountableVolume>): void {
  const containers = [...(spec.initContainers ?? []), ...spec.containers];
  const isBlock = persistent?.spec.volumeMode === "Block";
  if (isBlock && containers.some((c) => c.volumeMounts?.some((mount) => mount.name === name)))
    throw new VolumeError(`volume ${name} has volumeMode Block, but is specified in volumeMounts`);
  if (!isBlock && containers.some((c) => c.volumeDevices?.some((device) => device.name === name)))
    throw new VolumeError(`volume ${name} has volumeMode Filesystem, but is specified in volumeDevices`);
}
