/**
 * The static memory policy: a container of a guaranteed pod has its memory, and its huge pages, from as few NUMA nodes as
 * can be, and those nodes have promised it. https://kubernetes.io/docs/tasks/administer-cluster/memory-manager/
 */
import { type corev1, qosClassOf, quantityValue } from "#api";
import { messageOf, type World } from "#base";
import { type Assignments, createAssignments } from "../assignments.ts";
import { formatCpus } from "../cpus/topology.ts";
import { AllocationError } from "../devices/allocation.ts";
import type { Hints } from "../topology/hints.ts";
import type { HintProvider } from "../topology/manager.ts";
import { type NumaMask, type NumaNode, nodesIn } from "../topology/numa.ts";
import {
  type Amounts,
  type Block,
  type Demand,
  memoryHints,
  placeMemory,
  type ReservedMemory,
  stateOf,
} from "./state.ts";

type Pod = Readonly<corev1.Pod>;
type Container = Readonly<corev1.Container>;

export interface MemoryManager extends HintProvider {
  readonly isStatic: boolean;
  /** The NUMA nodes a container's memory comes from, `0-1`; "" where the policy does not care. */
  memsetFor(podUid: string, container: string): string;
  /** What the container has to itself. */
  blocks(podUid: string, container: string): readonly Block[];
  /** What pods may have to themselves, by node. */
  allocatable(): Block[];
  release(podUid: string): void;
  load(): Promise<void>;
}

export interface MemoryManagerOptions {
  policy: string;
  nodes: readonly NumaNode[];
  reserved: ReservedMemory;
  file: string;
  world: World;
  isActive(podUid: string): boolean;
}

const isMemory = (name: string) => name === "memory" || name.startsWith("hugepages-");
const isPassing = ({ restartPolicy }: Container) => restartPolicy !== "Always";

function requestsOf({ resources }: Container): Amounts {
  const requests = { ...resources?.limits, ...resources?.requests };
  return Object.fromEntries(
    Object.entries(requests)
      .filter(([name]) => isMemory(name))
      .map(([name, amount]): [string, number] => [name, quantityValue(amount)])
      .filter(([, bytes]) => bytes > 0),
  );
}

/** The most that the pod has at any time. */
function requestsOfPod(pod: Pod): Amounts {
  const total: Record<string, number> = {};
  const inits = pod.spec.initContainers ?? [];
  const lasting = [...pod.spec.containers, ...inits.filter((each) => !isPassing(each))];
  for (const each of lasting)
    for (const [name, bytes] of Object.entries(requestsOf(each))) total[name] = (total[name] ?? 0) + bytes;
  for (const each of inits.filter(isPassing))
    for (const [name, bytes] of Object.entries(requestsOf(each)))
      total[name] = Math.max(total[name] ?? 0, bytes);
  return total;
}

/** Memory promised to the pod as a whole is nobody's in it. */
const isPlaced = (pod: Pod) => qosClassOf(pod.spec) === "Guaranteed" && !pod.spec.resources;

/** Init containers that are over have nothing any more but what the others have not taken on. */
function initBlocks(pod: Pod, assigned: Assignments<Block[]>): Block[] {
  const inits = (pod.spec.initContainers ?? []).filter(isPassing);
  return inits.flatMap(({ name }) => assigned.get(pod.metadata.uid, name) ?? []);
}

function demandOf(pod: Pod, wanted: Amounts, assigned: Assignments<Block[]>): Demand {
  return {
    wanted,
    reusable: (mask, resource) =>
      initBlocks(pod, assigned)
        .filter((block) => block.mask === mask && block.resource === resource)
        .reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** What the pod's init containers had goes on to those that come after them. */
function inherit(pod: Pod, { mask, resource, bytes }: Block, assigned: Assignments<Block[]>): void {
  let left = bytes;
  for (const block of initBlocks(pod, assigned)) {
    if (block.mask !== mask || block.resource !== resource) continue;
    const taken = Math.min(left, block.bytes);
    block.bytes -= taken;
    left -= taken;
  }
}

export function createMemoryManager(options: MemoryManagerOptions): MemoryManager {
  const { nodes, reserved } = options;
  const isStatic = options.policy === "Static";
  const assigned = createAssignments<Block[]>(options);
  const states = () => stateOf(nodes, reserved, assigned.values().flat());

  function hints(pod: Pod, container: Container | undefined): Hints {
    if (!isStatic || !isPlaced(pod)) return new Map();
    const { uid } = pod.metadata;
    const wanted = container ? requestsOf(container) : requestsOfPod(pod);
    const containers = container ? [container] : [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
    const [had] = containers.flatMap(({ name }) => assigned.get(uid, name) ?? []);
    assigned.keepActive(uid);
    const possible = had
      ? [{ mask: had.mask, preferred: true }]
      : memoryHints(states(), demandOf(pod, wanted, assigned));
    return new Map(Object.keys(wanted).map((name) => [name, possible]));
  }

  async function allocate(pod: Pod, container: Container, decided: NumaMask | undefined): Promise<void> {
    const { uid } = pod.metadata;
    if (!isStatic || !isPlaced(pod) || assigned.get(uid, container.name)) return;
    const wanted = requestsOf(container);
    if (Object.keys(wanted).length === 0) return;
    assigned.keepActive(uid);
    let mask: NumaMask;
    try {
      mask = placeMemory(states(), demandOf(pod, wanted, assigned), decided);
    } catch (error) {
      throw new AllocationError(messageOf(error));
    }
    const blocks = Object.entries(wanted).map(([resource, bytes]) => ({ resource, bytes, mask }));
    for (const block of blocks) inherit(pod, block, assigned);
    await assigned.set(uid, container.name, blocks);
  }

  return {
    isStatic,
    hints,
    allocate,
    memsetFor(podUid, container) {
      const [block] = assigned.get(podUid, container) ?? [];
      return block ? formatCpus(nodesIn(block.mask)) : "";
    },
    blocks: (podUid, container) => assigned.get(podUid, container) ?? [],
    allocatable: () =>
      isStatic
        ? [...stateOf(nodes, reserved, []).values()].flatMap(({ id, allocatable }) =>
            Object.entries(allocatable).map(([resource, bytes]) => ({ resource, bytes, mask: 1 << id })),
          )
        : [],
    release: assigned.release,
    load: async () => {
      if (isStatic) await assigned.load();
    },
  };
}
