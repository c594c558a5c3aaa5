/**
 * Which devices a container is given, and what of them is remembered. Pure.
 * https://kubernetes.io/docs/concepts/extend-kubernetes/compute-storage-net/device-plugins/
 */
import { type corev1, quantityValue } from "#api";

/** What the runtime is told of a container's devices. */
export interface DeviceGrant {
  envs: Record<string, string>;
  mounts: { containerPath: string; hostPath: string; readOnly: boolean }[];
  devices: { containerPath: string; hostPath: string; permissions: string }[];
  annotations: Record<string, string>;
  cdiDevices: { name: string }[];
}

/** The pod cannot have what it needs, and will not get it by waiting. */
export class AllocationError extends Error {
  override name = "AllocationError";
  /** What its status says; without one, what happened was not expected. */
  readonly reason: string | undefined;
  constructor(message: string, reason?: string) {
    super(message);
    this.reason = reason;
  }
}

/** One resource of one container. */
export interface Allocation {
  podUid: string;
  container: string;
  resource: string;
  ids: string[];
  grant: DeviceGrant;
}

/** What the node itself has. */
const own = /^(cpu|memory|ephemeral-storage|pods|hugepages-.*)$/;

/** How many devices a container asks for, by resource: limits and requests of such resources are the same. */
export function devicesWanted({
  resources,
}: Readonly<corev1.Container>): [resource: string, count: number][] {
  const amounts = Object.entries(resources?.limits ?? {});
  return amounts
    .filter(([name]) => !own.test(name))
    .map(([name, amount]): [string, number] => [name, quantityValue(amount)])
    .filter(([, count]) => count > 0);
}

export interface Candidates {
  /** Must be taken before any other: what the pod's init containers had. */
  reusable: string[];
  /** Healthy and nobody's. */
  free: string[];
}

/** Init containers have ended when the others run: what they had goes on to these. */
export function candidatesFor(
  pod: Readonly<corev1.Pod>,
  resource: string,
  healthy: readonly string[],
  allocations: readonly Allocation[],
): Candidates {
  const of = allocations.filter((each) => each.resource === resource);
  const inits = new Set(
    (pod.spec.initContainers ?? []).filter((each) => each.restartPolicy !== "Always").map(({ name }) => name),
  );
  const own = of.filter(({ podUid }) => podUid === pod.metadata.uid);
  const kept = new Set(own.filter(({ container }) => !inits.has(container)).flatMap(({ ids }) => ids));
  const hadByInits = own.filter(({ container }) => inits.has(container)).flatMap(({ ids }) => ids);
  const taken = new Set(of.flatMap(({ ids }) => ids));
  return {
    reusable: [...new Set(hadByInits)].filter((id) => healthy.includes(id) && !kept.has(id)),
    free: healthy.filter((id) => !taken.has(id)),
  };
}

/** In upstream's words. */
export function shortage(resource: string, requested: number, available: number): string {
  return `requested number of devices unavailable for ${resource}. Requested: ${requested}, Available: ${available}`;
}

/** Several resources of one container; of two that say the same the first counts. */
export function mergedGrant(grants: readonly DeviceGrant[]): DeviceGrant {
  const byPath = <T extends { containerPath: string }>(all: readonly T[]): T[] => [
    ...new Map(all.toReversed().map((each) => [each.containerPath, each])).values(),
  ];
  return {
    envs: Object.assign({}, ...grants.toReversed().map(({ envs }) => envs)),
    mounts: byPath(grants.flatMap(({ mounts }) => mounts)),
    devices: byPath(grants.flatMap(({ devices }) => devices)),
    annotations: Object.assign({}, ...grants.toReversed().map(({ annotations }) => annotations)),
    cdiDevices: grants.flatMap(({ cdiDevices }) => cdiDevices),
  };
}
