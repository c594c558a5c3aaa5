/**
 * On which NUMA nodes devices lie, and from which of them a pod's could come. Pure.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/#device-plugin-integration-with-the-topology-manager
 */
import type { corev1 } from "#api";
import { type Hint, type Hints, hintsBySize } from "../topology/hints.ts";
import { maskOf, masksOf, type NumaMask } from "../topology/numa.ts";
import { type Allocation, candidatesFor, devicesWanted } from "./allocation.ts";
import type { Endpoint } from "./endpoint.ts";
import type { Endpoints } from "./endpoints.ts";

type Places = Pick<Endpoint, "places">;

/** Those at the nodes, and the others: first what lies elsewhere, then what lies nowhere in particular. */
export function byPlace(
  ids: readonly string[],
  { places }: Places,
  mask: NumaMask | undefined,
): [near: string[], far: string[]] {
  if (mask === undefined || places.size === 0) return [[...ids], []];
  const isNear = (id: string) => (maskOf(places.get(id) ?? []) & mask) !== 0;
  const others = ids.filter((id) => !isNear(id));
  return [ids.filter(isNear), others.toSorted((a, b) => Number(places.has(b)) - Number(places.has(a)))];
}

/** Where `count` devices of one resource could come from. */
function hintsOf(
  nodes: readonly number[],
  { places }: Places,
  count: number,
  free: readonly string[],
  mustHave: readonly string[],
): Hint[] {
  const isIn = (id: string, mask: NumaMask) => (maskOf(places.get(id) ?? []) & mask) !== 0;
  const placed = mustHave.filter((id) => places.has(id));
  return hintsBySize(masksOf(nodes), nodes.length, {
    total: (mask) => [...places.keys()].filter((id) => isIn(id, mask)).length >= count,
    free: (mask) =>
      placed.every((id) => isIn(id, mask)) &&
      placed.length + free.filter((id) => isIn(id, mask)).length >= count,
  });
}

/** How many of each resource a container, or at most the whole pod at any time, asks for. */
function wantedBy(pod: Readonly<corev1.Pod>, container: Readonly<corev1.Container> | undefined) {
  if (container) return new Map(devicesWanted(container));
  const total = new Map<string, number>();
  const inits = pod.spec.initContainers ?? [];
  const lasting = [...pod.spec.containers, ...inits.filter((each) => each.restartPolicy === "Always")];
  for (const [name, count] of lasting.flatMap(devicesWanted)) total.set(name, (total.get(name) ?? 0) + count);
  for (const [name, count] of inits.flatMap(devicesWanted))
    total.set(name, Math.max(total.get(name) ?? 0, count));
  return total;
}

export function deviceHints(input: {
  pod: Readonly<corev1.Pod>;
  container: Readonly<corev1.Container> | undefined;
  endpoints: Endpoints;
  allocations: readonly Allocation[];
  nodes: readonly number[];
}): Hints {
  const { pod, container, endpoints, allocations, nodes } = input;
  const hints = new Map<string, readonly Hint[] | undefined>();
  for (const [resource, count] of wantedBy(pod, container)) {
    const endpoint = endpoints.find(resource)?.endpoint;
    if (!endpoint || endpoint.places.size === 0) {
      hints.set(resource, undefined);
      continue;
    }
    const had = allocations.filter(
      (each) =>
        each.podUid === pod.metadata.uid &&
        each.resource === resource &&
        (!container || each.container === container.name),
    );
    const own = [...new Set(had.flatMap(({ ids }) => ids))];
    const healthy = [...endpoint.devices].filter(([, isHealthy]) => isHealthy).map(([id]) => id);
    const { reusable, free } = candidatesFor(pod, resource, healthy, allocations);
    if (own.length > 0)
      hints.set(resource, own.length === count ? hintsOf(nodes, endpoint, count, own, []) : []);
    else hints.set(resource, hintsOf(nodes, endpoint, count, free, reusable.slice(0, count)));
  }
  return hints;
}
