/**
 * What the scheduler knows of the cluster, kept up to date by events: nodes with the pods on them, those included that
 * were just assigned. A cycle is synchronous, so during it nothing here changes: that is its snapshot.
 */
import { type corev1, type LabelRequirements, matchesLabels, type metav1, selectorRequirements } from "#api";
import { joinKey } from "#client";
import { addResources, noResources, podRequest, type Resources, resourcesOf } from "./resources.ts";

export type Pod = Readonly<corev1.Pod>;
export type Node = Readonly<corev1.Node>;

/** A port of the host: two pods may not take the same. */
export interface HostPort {
  protocol: string;
  ip: string;
  port: number;
}

/** A pod with everything that is asked of it again and again. */
export interface PodInfo {
  readonly pod: Pod;
  readonly key: string;
  readonly request: Readonly<Resources>;
  /** As compared between nodes: containers without requests count a little. */
  readonly assumed: Readonly<Resources>;
  readonly hostPorts: readonly HostPort[];
}

export interface NodeInfo {
  readonly name: string;
  readonly node: Node;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly Readonly<corev1.Taint>[];
  readonly allocatable: Readonly<Resources>;
  readonly requested: Readonly<Resources>;
  readonly assumed: Readonly<Resources>;
  readonly pods: ReadonlyMap<string, PodInfo>;
  readonly hostPorts: readonly HostPort[];
  /** Bytes by image name. */
  readonly images: ReadonlyMap<string, number>;
}

/** What plugins see. */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[];
  node(name: string): NodeInfo | undefined;
  /** How many nodes have the image. */
  nodesWithImage(name: string): number;
  /** How many pods of these namespaces match on each node; pods that are being deleted are not counted. */
  matching(
    namespaces: readonly string[],
    selector: metav1.LabelSelector | undefined,
  ): ReadonlyMap<string, number>;
  /** Pods that keep others away by required anti-affinity, with the node each is on. */
  readonly repelling: ReadonlyMap<string, { info: PodInfo; nodeName: string }>;
}

interface MutableNode {
  name: string;
  node: Node;
  labels: Record<string, string>;
  taints: readonly corev1.Taint[];
  allocatable: Resources;
  requested: Resources;
  assumed: Resources;
  pods: Map<string, PodInfo>;
  hostPorts: HostPort[];
  images: Map<string, number>;
}

/** One question of `matching`, answered ahead. */
interface Counting {
  namespaces: ReadonlySet<string>;
  /** Undefined matches nothing. */
  requirements: LabelRequirements | undefined;
  counts: Map<string, number>;
}

/** So many different questions are kept answered; the one not asked for longest is forgotten. */
const countingsMax = 512;

export function podInfoOf(pod: Pod): PodInfo {
  const containers = [
    ...pod.spec.containers,
    ...(pod.spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always"),
  ];
  const hostPorts = containers.flatMap((container) =>
    (container.ports ?? [])
      .filter((port) => port.hostPort)
      .map((port) => ({
        protocol: port.protocol ?? "TCP",
        ip: port.hostIP || "0.0.0.0",
        port: port.hostPort!,
      })),
  );
  return {
    pod,
    key: joinKey(pod.metadata.namespace, pod.metadata.name),
    request: podRequest(pod),
    assumed: podRequest(pod, true),
    hostPorts,
  };
}

export function requiredAntiAffinity(pod: Pod): readonly Readonly<corev1.PodAffinityTerm>[] {
  return pod.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
}

export class SchedulerCache implements Snapshot {
  readonly #nodes = new Map<string, MutableNode>();
  /** Where each counted pod is. */
  readonly #placed = new Map<string, { info: PodInfo; nodeName: string }>();
  readonly #assumed = new Set<string>();
  readonly #waiting = new Map<string, Set<string>>();
  readonly #imageNodes = new Map<string, number>();
  readonly #countings = new Map<string, Counting>();
  readonly #repelling = new Map<string, { info: PodInfo; nodeName: string }>();
  #list: MutableNode[] | undefined;

  get nodes(): readonly NodeInfo[] {
    this.#list ??= [...this.#nodes.values()];
    return this.#list;
  }

  get repelling(): ReadonlyMap<string, { info: PodInfo; nodeName: string }> {
    return this.#repelling;
  }

  node(name: string): NodeInfo | undefined {
    return this.#nodes.get(name);
  }

  nodesWithImage(name: string): number {
    return this.#imageNodes.get(name) ?? 0;
  }

  setNode(node: Node): void {
    const { name } = node.metadata;
    const known = this.#nodes.get(name);
    const images = imagesOf(node);
    this.#countImages(known?.images, images);
    const described = {
      node,
      labels: node.metadata.labels ?? {},
      taints: node.spec?.taints ?? [],
      allocatable: resourcesOf(node.status?.allocatable ?? node.status?.capacity),
      images,
    };
    if (known) {
      Object.assign(known, described);
      return;
    }
    const fresh = { requested: noResources(), assumed: noResources(), pods: new Map(), hostPorts: [] };
    this.#nodes.set(name, { name, ...described, ...fresh });
    this.#list = undefined;
    // Pods may be known before their node is.
    for (const key of this.#waiting.get(name) ?? []) this.#occupy(this.#placed.get(key)!.info, name);
    this.#waiting.delete(name);
  }

  removeNode(name: string): void {
    const known = this.#nodes.get(name);
    if (!known) return;
    this.#countImages(known.images, new Map());
    this.#nodes.delete(name);
    this.#list = undefined;
    if (known.pods.size > 0) this.#waiting.set(name, new Set(known.pods.keys()));
  }

  /** A pod that the API says is on a node. */
  setPod(pod: Pod): void {
    const info = podInfoOf(pod);
    this.#assumed.delete(info.key);
    this.#place(info, pod.spec.nodeName ?? "");
  }

  removePod(key: string): void {
    this.#assumed.delete(key);
    this.#take(key);
  }

  /** A pod that has been chosen a node, before the API knows it. */
  assume(info: PodInfo, nodeName: string): void {
    this.#assumed.add(info.key);
    this.#place(info, nodeName);
  }

  /** The assignment failed. A pod that the API has confirmed meanwhile stays. */
  forget(key: string): void {
    if (this.#assumed.delete(key)) this.#take(key);
  }

  /** It has a node, as the API says or as this scheduler chose. */
  isPlaced(key: string): boolean {
    return this.#placed.has(key);
  }

  matching(
    namespaces: readonly string[],
    selector: metav1.LabelSelector | undefined,
  ): ReadonlyMap<string, number> {
    const question = JSON.stringify([[...namespaces].sort(), selector]);
    let counting = this.#countings.get(question);
    if (counting) {
      this.#countings.delete(question);
    } else {
      const requirements = selector && selectorRequirements(selector);
      counting = { namespaces: new Set(namespaces), requirements, counts: new Map() };
      for (const { info, nodeName } of this.#placed.values()) count(counting, info.pod, nodeName, 1);
    }
    this.#countings.set(question, counting);
    if (this.#countings.size > countingsMax) {
      for (const oldest of this.#countings.keys()) {
        this.#countings.delete(oldest);
        break;
      }
    }
    return counting.counts;
  }

  #place(info: PodInfo, nodeName: string): void {
    this.#take(info.key);
    this.#placed.set(info.key, { info, nodeName });
    for (const counting of this.#countings.values()) count(counting, info.pod, nodeName, 1);
    if (requiredAntiAffinity(info.pod).length > 0) this.#repelling.set(info.key, { info, nodeName });
    if (this.#nodes.has(nodeName)) {
      this.#occupy(info, nodeName);
      return;
    }
    const waiting = this.#waiting.get(nodeName) ?? new Set();
    waiting.add(info.key);
    this.#waiting.set(nodeName, waiting);
  }

  #occupy(info: PodInfo, nodeName: string): void {
    const node = this.#nodes.get(nodeName)!;
    node.pods.set(info.key, info);
    addResources(node.requested, info.request);
    addResources(node.assumed, info.assumed);
    node.hostPorts.push(...info.hostPorts);
  }

  #take(key: string): void {
    const placed = this.#placed.get(key);
    if (!placed) return;
    const { info, nodeName } = placed;
    this.#placed.delete(key);
    this.#repelling.delete(key);
    for (const counting of this.#countings.values()) count(counting, info.pod, nodeName, -1);
    this.#forgetWaiting(nodeName, key);
    const node = this.#nodes.get(nodeName);
    if (!node?.pods.delete(key)) return;
    addResources(node.requested, info.request, -1);
    addResources(node.assumed, info.assumed, -1);
    node.hostPorts = node.hostPorts.filter((port) => !info.hostPorts.includes(port));
  }

  #forgetWaiting(nodeName: string, key: string): void {
    const waiting = this.#waiting.get(nodeName);
    waiting?.delete(key);
    if (waiting?.size === 0) this.#waiting.delete(nodeName);
  }

  #countImages(before: ReadonlyMap<string, number> | undefined, now: ReadonlyMap<string, number>): void {
    for (const name of before?.keys() ?? [])
      this.#imageNodes.set(name, (this.#imageNodes.get(name) ?? 1) - 1);
    for (const name of now.keys()) this.#imageNodes.set(name, (this.#imageNodes.get(name) ?? 0) + 1);
    for (const name of before?.keys() ?? [])
      if (this.#imageNodes.get(name) === 0) this.#imageNodes.delete(name);
  }
}

function imagesOf(node: Node): Map<string, number> {
  const images = new Map<string, number>();
  for (const { names = [], sizeBytes = 0 } of node.status?.images ?? []) {
    for (const name of names) images.set(name, sizeBytes);
  }
  return images;
}

function count(counting: Counting, pod: Pod, nodeName: string, change: 1 | -1): void {
  if (pod.metadata.deletionTimestamp || !counting.namespaces.has(pod.metadata.namespace ?? "")) return;
  if (!counting.requirements || !matchesLabels(counting.requirements, pod.metadata.labels ?? {})) return;
  const next = (counting.counts.get(nodeName) ?? 0) + change;
  if (next === 0) counting.counts.delete(nodeName);
  else counting.counts.set(nodeName, next);
}
