/**
 * The shape of every scheduler plugin: upstream's names and meaning, synchronous, over a snapshot that does not change
 * during a cycle. What can make a rejected pod fit is data.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
 */
import type { corev1, metav1, storagev1 } from "#api";
import type { World } from "#base";
import type { Client } from "#client";
import type { Snapshot } from "./cache.ts";
import type { Claim } from "./devices/claims.ts";
import type { DeviceLookups } from "./devices/device-lookups.ts";
import type { GroupLookups, PodGroup } from "./groups/group-lookups.ts";
import type { NodeInfo } from "./node-info.ts";
import type { Pod, PodInfo } from "./pod-info.ts";

/** Why a node, or every node, will not do. */
export interface Rejection {
  readonly reasons: readonly string[];
  /** No pod that goes could change it. */
  readonly unresolvable: boolean;
}

export function rejection(...reasons: string[]): Rejection {
  return { reasons, unresolvable: false };
}

export function unresolvable(...reasons: string[]): Rejection {
  return { reasons, unresolvable: true };
}

/** What happened in the cluster. */
export type ClusterEvent =
  | { kind: "NodeAdded" | "NodeChanged"; node: NodeInfo }
  | { kind: "PodAdded" | "PodDeleted"; pod: Pod }
  | { kind: "PodChanged"; pod: Pod; old: Pod }
  /** A pod of a group, still without a node. */
  | { kind: "PodWaiting"; pod: Pod }
  | { kind: "PodGroupChanged"; group: PodGroup }
  /** A claim, a volume, a class or what a node says of its drivers. */
  | { kind: "StorageChanged" }
  /** `isFreed`: devices are there for others again. */
  | { kind: "ClaimChanged"; claim: Claim; isFreed: boolean }
  /** What drivers offer, a class of devices or a rule that taints them. */
  | { kind: "DevicesChanged" };

/** An event after which a pod that this plugin rejected may fit; `helps` looks closer. */
interface Wake {
  readonly on: ClusterEvent["kind"];
  helps?(pod: Pod, event: ClusterEvent): boolean;
}

/** What plugins may ask beside the snapshot. */
export interface SchedulingWorld {
  /** The selector of the Services and the owner that the pod belongs to: what default spreading counts. */
  kinSelector(info: PodInfo): metav1.LabelSelector | undefined;
  /** Names of the namespaces with these labels. */
  namespacesWith(selector: NonNullable<unknown>): readonly string[];
  readonly storage: StorageLookups;
  readonly devices: DeviceLookups;
  readonly groups: GroupLookups;
}

export interface StorageLookups {
  claim(namespace: string, name: string): Readonly<corev1.PersistentVolumeClaim> | undefined;
  volume(name: string): Readonly<corev1.PersistentVolume> | undefined;
  volumes(): readonly Readonly<corev1.PersistentVolume>[];
  storageClass(name: string): Readonly<storagev1.StorageClass> | undefined;
  csiNode(name: string): Readonly<storagev1.CSINode> | undefined;
  csiDriver(name: string): Readonly<storagev1.CSIDriver> | undefined;
  /** What drivers say of the room that they have left. */
  capacities(): readonly Readonly<storagev1.CSIStorageCapacity>[];
}

/** What a plugin may do once a pod has been chosen a node. */
export interface BindHost extends SchedulingWorld {
  readonly client: Client;
  readonly world: World;
  readonly signal: AbortSignal;
}

/** What a plugin says of a pod that fits nowhere, and what it does so that it may fit later. */
export interface Aftermath {
  readonly message: string;
  readonly work?: Promise<void>;
}

/** Scores as they came; in place made into 0 to 100, where more is better. */
type Normalize = (scores: number[]) => void;

/** The nodes that are left to choose from; worked out when first asked for. */
export interface Feasible {
  readonly nodes: readonly NodeInfo[];
}

export interface SchedulerPlugin<Prepared = unknown> {
  readonly name: string;
  readonly wakes: readonly Wake[];
  /**
   * What it says of a node depends on the pod's shape and on this node alone: it is remembered until the node changes,
   * for all pods of the shape.
   */
  readonly local?: true;
  /** A reason not to try at all for now; asked again when one of `wakes` happens. */
  gate?(pod: Pod, world: SchedulingWorld): string | undefined;
  /** Which of two pods is tried first: negative, `a`. */
  compare?(a: { pod: Pod; queuedMs: number }, b: { pod: Pod; queuedMs: number }): number;
  /** Once a cycle, before all nodes: what `filter` needs. Undefined: this pod is none of the plugin's business. */
  prepare?(info: PodInfo, snapshot: Snapshot, world: SchedulingWorld): Prepared | undefined;
  filter?(info: PodInfo, node: NodeInfo, prepared: Prepared): Rejection | undefined;
  /** Why no node at all will do, however many pods went. */
  refuse?(info: PodInfo, snapshot: Snapshot, world: SchedulingWorld): string | undefined;
  /** The pod fits nowhere; undefined: that is none of the plugin's business. */
  afterFailure?(info: PodInfo, snapshot: Snapshot, host: BindHost): Aftermath | undefined;
  /** The pod has been chosen the node: what it takes beside the node's own is taken from now on. */
  reserve?(info: PodInfo, node: NodeInfo, host: BindHost): void;
  /** What must be done before the pod is bound to the node. Throws what went wrong: the pod is tried again. */
  preBind?(info: PodInfo, node: NodeInfo, host: BindHost): Promise<void>;
  /** The pod was not bound after all. What is in memory is given back at once. Never throws. */
  unreserve?(info: PodInfo, host: BindHost): Promise<void>;
  /** Once a cycle, before the nodes that are left: what `score` needs. Undefined: no opinion. */
  prepareScore?(
    info: PodInfo,
    feasible: Feasible,
    snapshot: Snapshot,
    world: SchedulingWorld,
  ): Prepared | undefined;
  score?(info: PodInfo, node: NodeInfo, prepared: Prepared): number;
  readonly normalize?: Normalize;
}

export function defineSchedulerPlugin<Prepared>(plugin: SchedulerPlugin<Prepared>): SchedulerPlugin {
  return plugin as unknown as SchedulerPlugin;
}

/** A node that comes or changes helps where the pod may go there as far as this plugin knows. */
export function onNodes(helps: (asked: { pod: Pod; node: NodeInfo }) => boolean): readonly Wake[] {
  const looksCloser = (pod: Pod, event: ClusterEvent) => "node" in event && helps({ pod, node: event.node });
  return [
    { on: "NodeAdded", helps: looksCloser },
    { on: "NodeChanged", helps: looksCloser },
  ];
}

export const scoreMax = 100;

export function highest(scores: readonly number[]): number {
  let max = Number.NEGATIVE_INFINITY;
  for (const score of scores) if (score > max) max = score;
  return max;
}

/** The best gets 100. */
export function toMaximum(scores: number[]): void {
  const max = Math.max(0, highest(scores));
  for (let i = 0; i < scores.length; i++)
    scores[i] = max === 0 ? 0 : Math.floor((scores[i]! * scoreMax) / max);
}

/** The least gets 100. */
export function toMaximumReversed(scores: number[]): void {
  const max = Math.max(0, highest(scores));
  for (let i = 0; i < scores.length; i++) {
    scores[i] = max === 0 ? scoreMax : scoreMax - Math.floor((scores[i]! * scoreMax) / max);
  }
}
