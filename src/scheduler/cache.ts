/**
 * What the scheduler knows of the cluster, kept up to date by events: nodes with the pods on them, those included that
 * were just assigned. A cycle is synchronous, so during it nothing here changes: that is its snapshot. Every node has a
 * place (`slot`) for as long as it is there, and every change of a node is told, so that whoever remembers something
 * about nodes looks again at those that changed only.
 */
import type { corev1 } from "#api";
import { PlacedTerms } from "./affinity-terms.ts";
import type { Node, NodeInfo } from "./node-info.ts";
import { type HostPort, type Pod, type PodInfo, type PodShape, podInfoOf } from "./pod-info.ts";
import { addResources, noResources, type Resources, resourcesOf } from "./resources.ts";
import { type CountQuestion, DomainCounts, keyOfQuestion, Topology } from "./topology.ts";

/** What plugins see. */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[];
  node(name: string): NodeInfo | undefined;
  /** How many nodes have the image. */
  nodesWithImage(name: string): number;
  /** How many nodes would rather not have some pods. */
  readonly nodesWithSoftTaints: number;
  counts(question: CountQuestion): DomainCounts;
  readonly placedTerms: PlacedTerms;
}

interface MutableNode extends NodeInfo {
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

interface Placed {
  info: PodInfo;
  nodeName: string;
}

/** So many different questions are kept answered; the one not asked for longest is forgotten. */
const questionsMax = 512;
/** Whoever is further behind looks at everything again. */
const changesKept = 1 << 15;

export class SchedulerCache implements Snapshot {
  readonly placedTerms: PlacedTerms;
  readonly #nodes = new Map<string, MutableNode>();
  readonly #bySlot: (MutableNode | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  /** Where each counted pod is. */
  readonly #placed = new Map<string, Placed>();
  /** How many placed pods are of each shape: a question about none of them, such as a new set's, looks at no pod. */
  readonly #shapes = new Map<PodShape, number>();
  readonly #assumed = new Set<string>();
  /** Pods whose node is not known, by its name. */
  readonly #waiting = new Map<string, Set<string>>();
  readonly #nominated = new Map<string, Map<string, PodInfo>>();
  readonly #nominations = new Map<string, string>();
  readonly #imageNodes = new Map<string, number>();
  readonly #topologies = new Map<string, Topology>();
  readonly #questions = new Map<string, DomainCounts>();
  readonly #changed = new Int32Array(changesKept);
  readonly #stamps: number[] = [];
  #changes = 0;
  #imagesEpoch = 0;
  #softTaints = 0;
  #list: MutableNode[] | undefined;

  constructor() {
    this.placedTerms = new PlacedTerms((key) => this.#topology(key));
  }

  get nodes(): readonly NodeInfo[] {
    this.#list ??= [...this.#nodes.values()];
    return this.#list;
  }

  get nodesWithSoftTaints(): number {
    return this.#softTaints;
  }

  /** Changes when the share of nodes that have an image may have changed. */
  get imagesEpoch(): number {
    return this.#imagesEpoch;
  }

  /** How many changes of nodes there were. */
  get changes(): number {
    return this.#changes;
  }

  /** One more than the highest place of a node. */
  get slots(): number {
    return this.#bySlot.length;
  }

  /** Another one after every change of the node. */
  stampOf(slot: number): number {
    return this.#stamps[slot] ?? -1;
  }

  node(name: string): NodeInfo | undefined {
    return this.#nodes.get(name);
  }

  at(slot: number): NodeInfo | undefined {
    return this.#bySlot[slot];
  }

  nodesWithImage(name: string): number {
    return this.#imageNodes.get(name) ?? 0;
  }

  /** The places that changed after so many changes; undefined: too many, look at all. */
  *changedSince(seen: number): Generator<number> {
    for (let i = seen; i < this.#changes; i++) yield this.#changed[i % changesKept]!;
  }

  remembers(seen: number): boolean {
    return this.#changes - seen <= Math.min(changesKept, this.#bySlot.length);
  }

  setNode(node: Node): void {
    const { name } = node.metadata;
    const known = this.#nodes.get(name);
    if (known) this.#withdraw(known);
    const described = {
      node,
      labels: node.metadata.labels ?? {},
      taints: node.spec?.taints ?? [],
      allocatable: resourcesOf(node.status?.allocatable ?? node.status?.capacity),
      images: imagesOf(node),
    };
    if (known) {
      Object.assign(known, described);
      this.#introduce(known);
      return;
    }
    const slot = this.#freeSlots.pop() ?? this.#bySlot.length;
    const fresh = { requested: noResources(), assumed: noResources(), pods: new Map(), hostPorts: [] };
    const entered: MutableNode = { name, slot, ...described, ...fresh };
    this.#nodes.set(name, entered);
    this.#bySlot[slot] = entered;
    this.#list = undefined;
    this.#introduce(entered);
    // Pods may be known before their node is.
    for (const key of this.#waiting.get(name) ?? []) this.#occupy(this.#placed.get(key)!.info, entered);
    this.#waiting.delete(name);
  }

  removeNode(name: string): void {
    const known = this.#nodes.get(name);
    if (!known) return;
    this.#withdraw(known);
    for (const topology of this.#topologies.values()) topology.set(known.slot, undefined);
    this.#nodes.delete(name);
    this.#bySlot[known.slot] = undefined;
    this.#freeSlots.push(known.slot);
    this.#list = undefined;
    this.#tell(known.slot);
    if (known.pods.size > 0) this.#waiting.set(name, new Set(known.pods.keys()));
  }

  /** A pod that the API says is on a node. */
  setPod(pod: Pod): void {
    const info = podInfoOf(pod);
    const nodeName = pod.spec.nodeName ?? "";
    this.#assumed.delete(info.key);
    this.denominate(info.key);
    const placed = this.#placed.get(info.key);
    if (placed?.nodeName === nodeName && countsAlike(placed.info, info)) {
      placed.info = info;
      this.#nodes.get(nodeName)?.pods.set(info.key, info);
    } else {
      this.#place(info, nodeName);
    }
  }

  removePod(key: string): void {
    this.#assumed.delete(key);
    this.#take(key);
  }

  /** A pod that has been chosen a node, before the API knows it. */
  assume(info: PodInfo, nodeName: string): void {
    this.#assumed.add(info.key);
    this.denominate(info.key);
    this.#place(info, nodeName);
  }

  /** The cluster as it would be without some pods of a node, for as long as `work` takes. */
  imagining<T>(work: (whatIf: { remove(info: PodInfo): void; add(info: PodInfo): void }) => T): T {
    const away = new Map<string, Placed>();
    try {
      return work({
        remove: (info) => {
          const placed = this.#placed.get(info.key);
          if (placed) away.set(info.key, { ...placed });
          this.#take(info.key);
        },
        add: (info) => {
          const placed = away.get(info.key);
          away.delete(info.key);
          if (placed) this.#place(placed.info, placed.nodeName);
        },
      });
    } finally {
      for (const { info, nodeName } of away.values()) this.#place(info, nodeName);
    }
  }

  /** The assignment failed. A pod that the API has confirmed meanwhile stays. */
  forget(key: string): void {
    if (this.#assumed.delete(key)) this.#take(key);
  }

  /** It has a node, as the API says or as this scheduler chose. */
  isPlaced(key: string): boolean {
    return this.#placed.has(key);
  }

  /** Where it is, as the API says or as this scheduler chose. */
  nodeNameOf(key: string): string | undefined {
    return this.#placed.get(key)?.nodeName;
  }

  /** Room is being made for the pod there: to others no more important, it counts as being there. */
  nominate(info: PodInfo, nodeName: string): void {
    this.denominate(info.key);
    const there = this.#nominated.get(nodeName) ?? new Map<string, PodInfo>();
    there.set(info.key, info);
    this.#nominated.set(nodeName, there);
    this.#nominations.set(info.key, nodeName);
    this.#tellName(nodeName);
  }

  denominate(key: string): void {
    const nodeName = this.#nominations.get(key);
    if (nodeName === undefined) return;
    this.#nominations.delete(key);
    const there = this.#nominated.get(nodeName);
    there?.delete(key);
    if (there?.size === 0) this.#nominated.delete(nodeName);
    this.#tellName(nodeName);
  }

  nominationOf(key: string): string | undefined {
    return this.#nominations.get(key);
  }

  /** Pods that are to come to the node. */
  nominatedTo(nodeName: string): readonly PodInfo[] {
    return [...(this.#nominated.get(nodeName)?.values() ?? [])];
  }

  /** The node as a pod of this priority sees it: with those on it that are to come and are no less important. */
  asSeen(node: NodeInfo, priority: number, except?: string): NodeInfo {
    const there = this.#nominated.get(node.name);
    if (!there) return node;
    const others = [...there.values()].filter(
      (info) => info.key !== except && info.shape.priority >= priority,
    );
    return others.length > 0 ? imagine(node, [], others) : node;
  }

  counts(question: CountQuestion): DomainCounts {
    const key = keyOfQuestion(question);
    let counts = this.#questions.get(key);
    if (counts) {
      this.#questions.delete(key);
    } else {
      counts = this.#newCounts(question);
    }
    this.#questions.set(key, counts);
    if (this.#questions.size > questionsMax) {
      for (const oldest of this.#questions.keys()) {
        this.#questions.delete(oldest);
        break;
      }
    }
    return counts;
  }

  #newCounts(question: CountQuestion): DomainCounts {
    const counts = new DomainCounts(question, this.#topology(question.topologyKey));
    const concerned = [...this.#shapes.keys()].some((shape) => counts.concerns(shape));
    for (const node of this.#nodes.values()) counts.addNode(node, concerned ? node.pods.values() : []);
    return counts;
  }

  #topology(key: string): Topology {
    const known = this.#topologies.get(key);
    if (known) return known;
    const topology = new Topology(key);
    for (const node of this.#nodes.values()) topology.set(node.slot, node.labels[key]);
    this.#topologies.set(key, topology);
    return topology;
  }

  /** Takes what the node says of itself out of every count. */
  #withdraw(node: MutableNode): void {
    for (const counts of this.#questions.values()) counts.removeNode(node);
    for (const info of node.pods.values()) this.placedTerms.addPod(info, node.slot, -1);
    this.#countImages(node.images, -1);
    if (hasSoftTaint(node)) this.#softTaints--;
  }

  #introduce(node: MutableNode): void {
    for (const topology of this.#topologies.values()) topology.set(node.slot, node.labels[topology.key]);
    for (const info of node.pods.values()) this.placedTerms.addPod(info, node.slot, 1);
    for (const counts of this.#questions.values()) counts.addNode(node);
    this.#countImages(node.images, 1);
    if (hasSoftTaint(node)) this.#softTaints++;
    this.#tell(node.slot);
  }

  #place(info: PodInfo, nodeName: string): void {
    this.#take(info.key);
    this.#placed.set(info.key, { info, nodeName });
    this.#shapes.set(info.shape, (this.#shapes.get(info.shape) ?? 0) + 1);
    const node = this.#nodes.get(nodeName);
    if (node) {
      this.#occupy(info, node);
      return;
    }
    const waiting = this.#waiting.get(nodeName) ?? new Set();
    waiting.add(info.key);
    this.#waiting.set(nodeName, waiting);
  }

  #occupy(info: PodInfo, node: MutableNode): void {
    enter(node, info);
    this.#count(info, node.slot, 1);
  }

  #take(key: string): void {
    const placed = this.#placed.get(key);
    if (!placed) return;
    const { nodeName } = placed;
    this.#placed.delete(key);
    this.#forgetShape(placed.info.shape);
    this.#forgetWaiting(nodeName, key);
    const node = this.#nodes.get(nodeName);
    const info = node?.pods.get(key);
    if (!node || !info) return;
    leave(node, info);
    this.#count(info, node.slot, -1);
  }

  #forgetShape(shape: PodShape): void {
    const others = this.#shapes.get(shape)! - 1;
    if (others > 0) this.#shapes.set(shape, others);
    else this.#shapes.delete(shape);
  }

  #count(info: PodInfo, slot: number, sign: 1 | -1): void {
    for (const counts of this.#questions.values()) {
      if (counts.namespaces.has(info.shape.namespace)) counts.addPod(info, slot, sign);
    }
    this.placedTerms.addPod(info, slot, sign);
    this.#tell(slot);
  }

  #tell(slot: number): void {
    this.#stamps[slot] = this.#changes;
    this.#changed[this.#changes++ % changesKept] = slot;
  }

  #tellName(nodeName: string): void {
    const node = this.#nodes.get(nodeName);
    if (node) this.#tell(node.slot);
  }

  #forgetWaiting(nodeName: string, key: string): void {
    const waiting = this.#waiting.get(nodeName);
    waiting?.delete(key);
    if (waiting?.size === 0) this.#waiting.delete(nodeName);
  }

  #countImages(images: ReadonlyMap<string, number>, sign: 1 | -1): void {
    if (images.size > 0 || this.#imageNodes.size > 0) this.#imagesEpoch++;
    for (const name of images.keys()) {
      const count = this.nodesWithImage(name) + sign;
      if (count > 0) this.#imageNodes.set(name, count);
      else this.#imageNodes.delete(name);
    }
  }
}

/** The node as it would be without some of its pods and with some others. */
export function imagine(
  node: NodeInfo,
  without: readonly PodInfo[],
  beside: readonly PodInfo[],
): NodeInfo & { pods: Map<string, PodInfo> } {
  const copy: MutableNode = {
    ...(node as MutableNode),
    requested: copyOf(node.requested),
    assumed: copyOf(node.assumed),
    pods: new Map(node.pods),
    hostPorts: [...node.hostPorts],
  };
  for (const info of without) leave(copy, info);
  for (const info of beside) enter(copy, info);
  return copy;
}

function copyOf(resources: Readonly<Resources>): Resources {
  return { ...resources, others: new Map(resources.others) };
}

export function enter(node: NodeInfo, info: PodInfo): void {
  const there = node as MutableNode;
  there.pods.set(info.key, info);
  addResources(there.requested, info.request);
  addResources(there.assumed, info.assumed);
  if (info.hostPorts.length > 0) there.hostPorts.push(...info.hostPorts);
}

export function leave(node: NodeInfo, info: PodInfo): void {
  const there = node as MutableNode;
  there.pods.delete(info.key);
  addResources(there.requested, info.request, -1);
  addResources(there.assumed, info.assumed, -1);
  if (info.hostPorts.length > 0) there.hostPorts = [...there.pods.values()].flatMap((each) => each.hostPorts);
}

/** Nothing that is counted differs. */
function countsAlike(a: PodInfo, b: PodInfo): boolean {
  const going = ({ pod }: PodInfo) => pod.metadata.deletionTimestamp === undefined;
  return a.shape === b.shape && a.pod.metadata.uid === b.pod.metadata.uid && going(a) === going(b);
}

function hasSoftTaint(node: NodeInfo): boolean {
  return node.taints.some((taint) => taint.effect === "PreferNoSchedule");
}

function imagesOf(node: Node): Map<string, number> {
  const images = new Map<string, number>();
  for (const { names = [], sizeBytes = 0 } of node.status?.images ?? []) {
    for (const name of names) images.set(name, sizeBytes);
  }
  return images;
}
