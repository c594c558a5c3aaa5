/**
 * NodeResourcesFit: does the pod fit, and where is most room left (the strategy LeastAllocated).
 * https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/
 */

import {
  type ClusterEvent,
  defineSchedulerPlugin,
  type Rejection,
  rejection,
  scoreMax,
  unresolvable,
} from "../define-plugin.ts";
import type { NodeInfo } from "../node-info.ts";
import type { Pod, PodInfo } from "../pod-info.ts";
import { podRequest } from "../resources.ts";

/** A node that is too small for the pod even when empty does not help it. */
function couldHold(pod: Pod, event: ClusterEvent): boolean {
  if (!("node" in event)) return true;
  const request = podRequest(pod);
  const { allocatable } = event.node;
  return request.milliCpu <= allocatable.milliCpu && request.memory <= allocatable.memory;
}

/** Asked of every node for every kind of pod: most often the answer is yes, and that must cost nothing. */
function fits({ request }: PodInfo, { allocatable, requested, pods }: NodeInfo): boolean {
  if (pods.size + 1 > allocatable.pods) return false;
  if (request.milliCpu > 0 && request.milliCpu > allocatable.milliCpu - requested.milliCpu) return false;
  if (request.memory > 0 && request.memory > allocatable.memory - requested.memory) return false;
  return request.ephemeralStorage === 0 && request.others.size === 0;
}

function shortages({ request }: PodInfo, { allocatable, requested, pods }: NodeInfo): Rejection | undefined {
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
  return reasons.length === 0 ? undefined : shortageOf(reasons, never);
}

const shortagesKnown = new Map<string, Rejection>();
const shortagesMax = 1_000;

/** The same again for the same reasons: whoever counts rejections counts few of them. */
function shortageOf(reasons: readonly string[], never: boolean): Rejection {
  const key = `${never} ${reasons.join()}`;
  const known = shortagesKnown.get(key);
  if (known) return known;
  if (shortagesKnown.size >= shortagesMax) shortagesKnown.clear();
  const shortage = never ? unresolvable(...reasons) : rejection(...reasons);
  shortagesKnown.set(key, shortage);
  return shortage;
}

function freeShare(all: number, used: number): number {
  return all === 0 || used > all ? 0 : Math.floor(((all - used) * scoreMax) / all);
}

export const nodeResourcesFit = defineSchedulerPlugin<true>({
  name: "NodeResourcesFit",
  local: true,
  wakes: [
    { on: "NodeAdded", helps: couldHold },
    { on: "NodeChanged", helps: couldHold },
    { on: "PodDeleted" },
    { on: "PodChanged" },
  ],
  prepare: () => true,
  filter: (info, node) => (fits(info, node) ? undefined : shortages(info, node)),
  prepareScore: () => true,
  score({ assumed }, node) {
    const cpu = freeShare(node.allocatable.milliCpu, node.assumed.milliCpu + assumed.milliCpu);
    const memory = freeShare(node.allocatable.memory, node.assumed.memory + assumed.memory);
    return Math.floor((cpu + memory) / 2);
  },
});
