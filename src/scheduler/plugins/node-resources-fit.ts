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
import { deviceResources } from "../devices/extended-requests.ts";
import type { NodeInfo } from "../node-info.ts";
import type { Pod, PodInfo } from "../pod-info.ts";
import { asHeld } from "../resizing.ts";
import { amountOf, podRequest } from "../resources.ts";

/** A node that is too small for the pod even when empty does not help it. */
function couldHold(pod: Pod, event: ClusterEvent): boolean {
  if (!("node" in event)) return true;
  const request = podRequest(pod);
  const { allocatable } = event.node;
  return request.milliCpu <= allocatable.milliCpu && request.memory <= allocatable.memory;
}

/** Only a pod that asks for less than before leaves more to others: one that is going still has what it had. */
function gaveBack({ pod, old }: { pod: Pod; old: Pod }): boolean {
  const [now, before] = [podRequest(asHeld(pod)), podRequest(asHeld(old))];
  const isLess = (name: string) => amountOf(now, name) < amountOf(before, name);
  return ["cpu", "memory", "ephemeral-storage", ...before.others.keys()].some(isLess);
}

/** Asked of every node for every kind of pod: most often the answer is yes, and that must cost nothing. */
function fits({ request }: PodInfo, { allocatable, requested, pods }: NodeInfo): boolean {
  if (pods.size + 1 > allocatable.pods) return false;
  if (request.milliCpu > 0 && request.milliCpu > allocatable.milliCpu - requested.milliCpu) return false;
  if (request.memory > 0 && request.memory > allocatable.memory - requested.memory) return false;
  return request.ephemeralStorage === 0 && request.others.size === 0;
}

function shortages(
  { request }: PodInfo,
  { allocatable, requested, pods }: NodeInfo,
  isIgnored: (resource: string) => boolean,
  devices: readonly string[],
): Rejection | undefined {
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
    // What the node has as devices alone is DynamicResources' to find.
    const isDevice = devices.includes(name) && !((allocatable.others.get(name) ?? 0) > 0);
    if (!isIgnored(name) && !isDevice)
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

/** Asked of a plugin by `pluginConfig`. */
export interface FitArgs {
  ignoredResources?: readonly string[];
  /** Of the form `example.com`: all resources of that domain. */
  ignoredResourceGroups?: readonly string[];
  /** Those that extenders count. */
  ignoredByScheduler?: ReadonlySet<string>;
  scoringStrategy?: {
    type?: "LeastAllocated" | "MostAllocated" | "RequestedToCapacityRatio";
    resources?: readonly { name: string; weight?: number }[];
    requestedToCapacityRatio?: { shape?: readonly { utilization: number; score: number }[] };
  };
}

interface Weighed {
  name: string;
  weight: number;
}

/** How good it is to use so much of so much, from 0 to 100. */
type Liking = (used: number, all: number) => number;

const leastAllocated: Liking = (used, all) => (used > all ? 0 : Math.floor(((all - used) * scoreMax) / all));
const mostAllocated: Liking = (used, all) => Math.floor((Math.min(used, all) * scoreMax) / all);

/** Straight lines between the points; utilization from 0 to 100, scores from 0 to 10. */
function alongShape(shape: readonly { utilization: number; score: number }[]): Liking {
  const points = shape.map(({ utilization, score }) => ({ at: utilization, score: score * 10 }));
  return (used, all) => {
    const share = used > all ? scoreMax : Math.floor((used * scoreMax) / all);
    const next = points.findIndex(({ at }) => share <= at);
    if (next < 0) return points.at(-1)?.score ?? 0;
    const [to, from] = [points[next]!, points[next - 1]];
    if (!from) return to.score;
    return Math.trunc(from.score + ((to.score - from.score) * (share - from.at)) / (to.at - from.at));
  };
}

const likingOf = ({ scoringStrategy = {} }: FitArgs): Liking => {
  if (scoringStrategy.type === "MostAllocated") return mostAllocated;
  if (scoringStrategy.type !== "RequestedToCapacityRatio") return leastAllocated;
  return alongShape(scoringStrategy.requestedToCapacityRatio?.shape ?? []);
};

function scoreOf(liking: Liking, resources: readonly Weighed[], isRatio: boolean) {
  return ({ request, assumed }: PodInfo, node: NodeInfo): number => {
    let [sum, weights] = [0, 0];
    for (const { name, weight } of resources) {
      const all = amountOf(node.allocatable, name);
      if (all === 0) continue;
      const isNative = name === "cpu" || name === "memory";
      const used = isNative
        ? amountOf(node.assumed, name) + amountOf(assumed, name)
        : amountOf(node.requested, name) + amountOf(request, name);
      // Extended resources that the pod does not ask for say nothing.
      if (!isNative && amountOf(request, name) === 0) continue;
      const score = liking(used, all);
      if (isRatio && score <= 0) continue;
      sum += score * weight;
      weights += weight;
    }
    if (weights === 0) return 0;
    return isRatio ? Math.round(sum / weights) : Math.floor(sum / weights);
  };
}

export function nodeResourcesFit(args: FitArgs = {}) {
  const { type, resources = [{ name: "cpu" }, { name: "memory" }] } = args.scoringStrategy ?? {};
  const ignored = new Set([...(args.ignoredResources ?? []), ...(args.ignoredByScheduler ?? [])]);
  const groups = new Set(args.ignoredResourceGroups);
  const isIgnored = (name: string) => ignored.has(name) || groups.has(name.split("/")[0]!);
  const weighed = resources.map(({ name, weight = 1 }) => ({ name, weight }));
  return defineSchedulerPlugin<readonly string[]>({
    name: "NodeResourcesFit",
    local: true,
    wakes: [
      { on: "NodeAdded", helps: couldHold },
      { on: "NodeChanged", helps: couldHold },
      { on: "PodDeleted" },
      { on: "PodChanged", helps: (_pod, event) => event.kind !== "PodChanged" || gaveBack(event) },
      { on: "DevicesChanged", helps: (pod) => podRequest(pod).others.size > 0 },
    ],
    prepare: (info, _snapshot, { devices }) => deviceResources(info, (name) => devices.classFor(name)),
    filter: (info, node, devices) =>
      fits(info, node) ? undefined : shortages(info, node, isIgnored, devices),
    prepareScore: () => [],
    score: scoreOf(likingOf(args), weighed, type === "RequestedToCapacityRatio"),
  });
}
