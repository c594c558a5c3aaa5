/** Plugins about resources: does the pod fit, where does it fit best, where are its images. */
import type { NodeInfo, Pod } from "../cache.ts";
import {
  type ClusterEvent,
  defineSchedulerPlugin,
  type Rejection,
  rejection,
  scoreMax,
  unresolvable,
} from "../define-plugin.ts";
import { podRequest } from "../resources.ts";

/** A node that is too small for the pod even when empty does not help it. */
function couldHold(pod: Pod, event: ClusterEvent): boolean {
  if (!("node" in event)) return true;
  const request = podRequest(pod);
  const { allocatable } = event.node;
  return request.milliCpu <= allocatable.milliCpu && request.memory <= allocatable.memory;
}

/** https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/ (the default strategy, LeastAllocated) */
export const nodeResourcesFit = defineSchedulerPlugin<true>({
  name: "NodeResourcesFit",
  wakes: [
    { on: "NodeAdded", helps: couldHold },
    { on: "NodeChanged", helps: couldHold },
    { on: "PodDeleted" },
    { on: "PodChanged" },
  ],
  prepare: () => true,
  filter({ request }, node): Rejection | undefined {
    const { allocatable, requested, pods } = node;
    const reasons: string[] = [];
    let never = false;
    const check = (name: string, wanted: number, used: number, all: number) => {
      if (wanted === 0 || wanted <= all - used) return;
      reasons.push(`Insufficient ${name}`);
      if (wanted > all) never = true;
    };
    if (pods.size + 1 > allocatable.pods) reasons.push("Too many pods");
    check("cpu", request.milliCpu, requested.milliCpu, allocatable.milliCpu);
    check("memory", request.memory, requested.memory, allocatable.memory);
    check(
      "ephemeral-storage",
      request.ephemeralStorage,
      requested.ephemeralStorage,
      allocatable.ephemeralStorage,
    );
    for (const [name, wanted] of request.others) {
      check(name, wanted, requested.others.get(name) ?? 0, allocatable.others.get(name) ?? 0);
    }
    if (reasons.length === 0) return undefined;
    return never ? unresolvable(...reasons) : rejection(...reasons);
  },
  prepareScore: () => true,
  score({ assumed }, node) {
    const free = (all: number, used: number) =>
      all === 0 || used > all ? 0 : Math.floor(((all - used) * scoreMax) / all);
    const cpu = free(node.allocatable.milliCpu, node.assumed.milliCpu + assumed.milliCpu);
    const memory = free(node.allocatable.memory, node.assumed.memory + assumed.memory);
    return Math.floor((cpu + memory) / 2);
  },
});

/** Prefers nodes whose CPU and memory are used alike. */
export const nodeResourcesBalancedAllocation = defineSchedulerPlugin<true>({
  name: "NodeResourcesBalancedAllocation",
  wakes: [],
  // A pod that asks for nothing leaves every balance as it is.
  prepareScore: ({ request }) => (request.milliCpu > 0 || request.memory > 0 ? true : undefined),
  score({ request }, node) {
    const share = (all: number, used: number) => (all === 0 ? 1 : Math.min(1, used / all));
    const cpu = share(node.allocatable.milliCpu, node.requested.milliCpu + request.milliCpu);
    const memory = share(node.allocatable.memory, node.requested.memory + request.memory);
    return Math.floor((1 - Math.abs(cpu - memory) / 2) * scoreMax);
  },
});

const mebibyte = 1024 * 1024;
/** Below this, having the images counts for nothing; above so much a container, for everything. */
const imageBytesMin = 23 * mebibyte;
const imageBytesMax = 1000 * mebibyte;

interface ImageWishes {
  images: readonly { name: string; spread: number }[];
  containers: number;
}

function withTag(image: string): string {
  return image.lastIndexOf(":") > image.lastIndexOf("/") || image.includes("@") ? image : `${image}:latest`;
}

function bytesOn(node: NodeInfo, name: string): number {
  return node.images.get(name) ?? 0;
}

/** An image that every node has draws more than one that a single node has: pods must not heap up there. */
export const imageLocality = defineSchedulerPlugin<ImageWishes>({
  name: "ImageLocality",
  wakes: [],
  prepareScore({ pod }, _feasible, snapshot) {
    const containers = [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
    const images = containers
      .map((container) => withTag(container.image ?? ""))
      .map((name) => ({ name, spread: snapshot.nodesWithImage(name) / snapshot.nodes.length }))
      .filter(({ spread }) => spread > 0);
    return images.length > 0 ? { images, containers: containers.length } : undefined;
  },
  score(_info, node, { images, containers }) {
    const bytes = images.reduce((sum, { name, spread }) => sum + Math.floor(bytesOn(node, name) * spread), 0);
    const max = imageBytesMax * containers;
    const bounded = Math.min(max, Math.max(imageBytesMin, bytes));
    return Math.floor((scoreMax * (bounded - imageBytesMin)) / (max - imageBytesMin));
  },
});
