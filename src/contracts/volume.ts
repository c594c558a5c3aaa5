/**
 * `defineVolumePlugin`: everything that is special about one kind of volume. `plan` is pure and says what the volume
 * shall hold; the other functions bring the machine there, are idempotent, and touch it only through `VolumeHost`.
 * https://kubernetes.io/docs/concepts/storage/volumes/
 */
import type { corev1 } from "#api";

/** One file of a volume that is written from the API; `path` is relative, without `..`. */
export interface VolumeFile {
  path: string;
  content: Uint8Array;
  mode: number;
  /** The user it belongs to; root's where it is not said. */
  owner?: number;
}

/** What stands behind a claim of the pod. */
export interface PersistentSource {
  /** Of the PersistentVolume. */
  name: string;
  spec: Readonly<corev1.PersistentVolumeSpec>;
  claim: Readonly<corev1.PersistentVolumeClaim>;
  /** The pod wants to read it only. */
  readOnly?: boolean;
}

/** A volume of a pod as it is to be mounted: what a claim is bound to has taken the claim's place. */
export interface MountableVolume extends corev1.Volume {
  local?: corev1.LocalVolumeSource;
  persistent?: PersistentSource;
}

/** What a plugin may read of the cluster while it plans. Values are gathered before `plan` is called. */
export interface VolumeSources {
  configMaps: ReadonlyMap<string, corev1.ConfigMap>;
  secrets: ReadonlyMap<string, corev1.Secret>;
  /** Token by volume source, in the order of the volume's projected sources. */
  tokens: readonly string[];
  /** PEM certificates by trust bundle, in the order of the volume's projected sources. */
  trustBundles?: readonly string[];
  /** PEM texts by pod certificate, in the order of the volume's projected sources. */
  certificates?: readonly { key: string; chain: string }[];
}

/** The API objects a volume of this kind is made from. */
export interface VolumeNeeds {
  configMaps: { name: string; optional: boolean }[];
  secrets: { name: string; optional: boolean }[];
  tokens: { audience?: string; expirationSeconds: number }[];
  trustBundles?: Readonly<corev1.ClusterTrustBundleProjection>[];
  certificates?: Readonly<corev1.PodCertificateProjection>[];
}

export interface VolumeContext {
  pod: Readonly<corev1.Pod>;
  nodeName: string;
  /** Allocatable of the node, for resource fields without a limit. */
  allocatable: Readonly<Record<string, string>>;
  /** The kubelet's folder. */
  dataDir: string;
  /** The folder of all pods' logs. */
  logDir: string;
}

/** What the volume shall be. */
export type VolumePlan =
  /** A folder of the kubelet's own; `sizeLimitBytes` bounds a memory-backed one. */
  | { kind: "directory"; medium: "disk" | "memory"; sizeLimitBytes?: number; mode: number }
  /** A folder of large pages of memory: `2Mi`. */
  | { kind: "hugePages"; pageSize: string; mode: number }
  /** Files replaced together, atomically, when they change; what is secret is kept in memory. */
  | { kind: "files"; medium: "disk" | "memory"; files: VolumeFile[] }
  /** A path of the host, checked or made first. */
  | { kind: "host"; path: string; type: string }
  /** A disk or folder of this node, which somebody else has made. */
  | { kind: "local"; path: string; isBlock: boolean; fsType: string; options: readonly string[] }
  /** A file system of another machine. `program` mounts it and comes with the Debian package `debianPackage`. */
  | {
      kind: "network";
      source: string;
      fsType: string;
      options: readonly string[];
      program: string;
      debianPackage: string;
    }
  /** A disk that the host's open-iscsi brings from another machine; `chap` by open-iscsi's own names. */
  | {
      kind: "iscsi";
      portals: readonly string[];
      iqn: string;
      lun: number;
      iface: string;
      chap: Readonly<Partial<Record<"discovery" | "session", Readonly<Record<string, string>>>>>;
      fsType: string;
      options: readonly string[];
    }
  | CsiPlan;

/** https://github.com/container-storage-interface/spec/blob/master/spec.md#node-service-rpc */
export interface CsiPlan {
  kind: "csi";
  driver: string;
  handle: string;
  attributes: Readonly<Record<string, string>>;
  /** Absent: the volume lives and dies with its pod. */
  persistent?: PersistentSource;
  isBlock: boolean;
  isReadOnly: boolean;
  fsType: string;
  mountOptions: readonly string[];
  accessModes: readonly string[];
  stageSecret?: corev1.SecretReference;
  publishSecret?: corev1.SecretReference;
  expandSecret?: corev1.SecretReference;
  pod: Readonly<corev1.Pod>;
  nodeName: string;
}

/** Bytes and inodes: of a volume, or of the file system it lies on where the volume has no bounds of its own. */
export interface VolumeUsage {
  usedBytes: number;
  capacityBytes?: number;
  availableBytes?: number;
  inodes?: number;
  inodesFree?: number;
  inodesUsed?: number;
}

/** The machine as a plugin sees it. */
export interface VolumeHost {
  ensureDirectory(path: string, mode: number): Promise<void>;
  /** Replaces the content of `dir` as one step: readers see all of the old or all of the new. True when changed. */
  writeFiles(dir: string, files: readonly VolumeFile[], group: number | undefined): Promise<boolean>;
  mountTmpfs(path: string, sizeBytes: number | undefined, mode: number): Promise<void>;
  isMounted(path: string): Promise<boolean>;
  unmount(path: string): Promise<void>;
  removeDirectory(path: string): Promise<void>;
  /** Throws for one that holds anything: what was mounted there may be somebody's data. */
  removeEmptyDirectory(path: string): Promise<void>;
  /** What is at a path of the host. */
  pathType(path: string): Promise<HostPathType>;
  createFile(path: string, mode: number): Promise<void>;
  /** Gives a folder to a group, with the set-group-id bit, recursively; `onRootMismatch` only where its root is not the group's. */
  setGroup(path: string, gid: number, onRootMismatch?: boolean): Promise<void>;
  /** Mounts what `source` is; throws with the words of `mount`. */
  mount(source: string, path: string, fsType: string, options: readonly string[]): Promise<void>;
  /** Shows what is at `source`, which is not followed any further, at `path` too. */
  bind(source: string, path: string): Promise<void>;
  /** Makes a file system on a device that holds nothing. */
  format(device: string, fsType: string): Promise<void>;
  hasProgram(name: string): boolean;
  /** What a program of the host prints; throws with its words when it fails. */
  run(program: string, args: readonly string[]): Promise<string>;
  /** What is mounted, by where. */
  mountSources(): Promise<ReadonlyMap<string, string>>;
  /** What the files below a folder take, and what their file system has. */
  usage(path: string): Promise<VolumeUsage>;
  /** What a file system holds as a whole. */
  fileSystemUsage(path: string): Promise<VolumeUsage>;
}

export type HostPathType =
  | "absent"
  | "directory"
  | "file"
  | "socket"
  | "charDevice"
  | "blockDevice"
  | "other";

export interface MountRequest {
  plan: VolumePlan;
  /** Folder of this volume under the pod's own; the plugin may use it or not. */
  dir: string;
  fsGroup?: number;
  /** `OnRootMismatch`: what has the right group at its root is left as it is. */
  fsGroupChangePolicy?: string;
}

export interface VolumePlugin {
  /** The key of `VolumeSource` that selects it: `emptyDir`. */
  readonly name: string;
  /** `kubernetes.io~empty-dir`: the folder under the pod's volumes. */
  readonly directoryName: string;
  /** Its content follows the API while the pod runs. */
  readonly live: boolean;
  needs(volume: Readonly<MountableVolume>, pod: Readonly<corev1.Pod>): VolumeNeeds;
  plan(volume: Readonly<MountableVolume>, sources: VolumeSources, context: VolumeContext): VolumePlan;
  inspect(request: MountRequest, host: VolumeHost): Promise<{ mounted: boolean }>;
  /** Answers the path that containers mount. Calling it again brings the content up to date. */
  mount(request: MountRequest, host: VolumeHost): Promise<string>;
  unmount(dir: string, host: VolumeHost): Promise<void>;
  /** What can be known of a volume found on disk after a restart: the path that was mounted. */
  rebuild(dir: string, host: VolumeHost): Promise<{ path: string; mounted: boolean }>;
  /** `path`: what `mount` answered. */
  usage(mounted: { dir: string; path: string }, host: VolumeHost): Promise<VolumeUsage>;
}

/** Checks the shape once and gives the plugin its type. */
export function defineVolumePlugin(plugin: VolumePlugin): VolumePlugin {
  return Object.freeze(plugin);
}

/** A volume that needs nothing of the API. */
export const noNeeds: VolumeNeeds = { configMaps: [], secrets: [], tokens: [] };

/** The volume cannot be mounted now; the message becomes the event's. */
export class VolumeError extends Error {
  override name = "VolumeError";
  /** What was being done, in upstream's words; `MountVolume.SetUp` where it is not said. */
  readonly step: string | undefined;
  constructor(message: string, step?: string) {
    super(message);
    this.step = step;
  }
}

/** Somebody else has work to do first, and is at it: nothing to tell the user yet. */
export class VolumePendingError extends VolumeError {
  override name = "VolumePendingError";
}
