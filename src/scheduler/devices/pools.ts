/** The devices that drivers offer, by pool and by the nodes that reach them. https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/resource-slice-v1/ */
import { type corev1, parseQuantity, type resourcev1, termMatches } from "#api";
import type { NodeInfo } from "../node-info.ts";

export type Slice = Readonly<resourcev1.ResourceSlice>;
export type Device = Readonly<resourcev1.Device>;

/** The newest slices of a pool; what a driver is replacing is not seen. */
export interface Pool {
  readonly id: string;
  readonly driver: string;
  readonly name: string;
  readonly slices: readonly Slice[];
  /** Not all slices have been published yet. */
  readonly isIncomplete: boolean;
  readonly isInvalid: boolean;
  /** By set and counter, in nanos. */
  readonly counters: ReadonlyMap<string, ReadonlyMap<string, bigint>>;
  readonly hasBindingConditions: boolean;
}

/** What of a pool a node reaches. */
export interface NodePool {
  readonly pool: Pool;
  readonly slices: readonly Slice[];
}

interface Place {
  readonly nodeName?: string;
  readonly allNodes?: boolean;
  readonly nodeSelector?: Readonly<corev1.NodeSelector>;
}

export function deviceId(driver: string, pool: string, device: string): string {
  return `${driver}/${pool}/${device}`;
}

/** Whether the slice, or in a slice where each device says it for itself the device, is reached from the node. */
export function reaches({ nodeName, allNodes, nodeSelector }: Place, node: NodeInfo): boolean {
  if (nodeName) return nodeName === node.name;
  if (allNodes) return true;
  return nodeSelector?.nodeSelectorTerms.some((term) => termMatches(term, node)) ?? false;
}

function sliceReaches({ spec }: Slice, node: NodeInfo): boolean {
  if (!spec.perDeviceNodeSelection) return reaches(spec, node);
  return spec.devices?.some((device) => reaches(device, node)) ?? false;
}

export class DevicePools {
  readonly #slices = new Map<string, Map<string, Slice>>();
  /** Worked out when first asked for after a change. */
  readonly #pools = new Map<string, Pool>();
  readonly #byNode = new Map<string, Set<string>>();
  readonly #shared = new Set<string>();

  get isEmpty(): boolean {
    return this.#slices.size === 0;
  }

  set(slice: Slice): void {
    const id = poolIdOf(slice);
    const slices = this.#slices.get(id) ?? new Map<string, Slice>();
    slices.set(slice.metadata.name, slice);
    this.#slices.set(id, slices);
    this.#pools.delete(id);
    const { nodeName } = slice.spec;
    if (!nodeName) {
      this.#shared.add(id);
      return;
    }
    const there = this.#byNode.get(nodeName) ?? new Set<string>();
    there.add(id);
    this.#byNode.set(nodeName, there);
  }

  delete(slice: Slice): void {
    const id = poolIdOf(slice);
    const slices = this.#slices.get(id);
    if (!slices) return;
    slices.delete(slice.metadata.name);
    this.#pools.delete(id);
    if (slices.size === 0) this.#slices.delete(id);
    const left = [...slices.values()].map(({ spec }) => spec.nodeName ?? "");
    const { nodeName } = slice.spec;
    if (!nodeName) {
      if (!left.includes("")) this.#shared.delete(id);
      return;
    }
    if (left.includes(nodeName)) return;
    const there = this.#byNode.get(nodeName);
    there?.delete(id);
    if (there?.size === 0) this.#byNode.delete(nodeName);
  }

  /** Those without conditions for binding come first: they are ready at once. */
  reachedFrom(node: NodeInfo): NodePool[] {
    const ids = new Set([...(this.#byNode.get(node.name) ?? []), ...this.#shared]);
    const found: NodePool[] = [];
    for (const id of ids) {
      const pool = this.#poolOf(id);
      const slices = pool?.slices.filter((slice) => sliceReaches(slice, node)) ?? [];
      if (pool && slices.length > 0) found.push({ pool, slices });
    }
    const rank = ({ pool }: NodePool) => (pool.hasBindingConditions ? 1 : 0);
    return found.sort((a, b) => rank(a) - rank(b) || (a.pool.id < b.pool.id ? -1 : 1));
  }

  #poolOf(id: string): Pool | undefined {
    let pool = this.#pools.get(id);
    const slices = this.#slices.get(id);
    if (!pool && slices) {
      pool = poolFrom(id, [...slices.values()]);
      this.#pools.set(id, pool);
    }
    return pool;
  }
}

function poolIdOf({ spec }: Slice): string {
  return `${spec.driver}/${spec.pool.name}`;
}

function poolFrom(id: string, all: readonly Slice[]): Pool {
  const generation = Math.max(...all.map(({ spec }) => spec.pool.generation));
  const slices = all
    .filter(({ spec }) => spec.pool.generation === generation)
    .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const { driver, pool } = slices[0]!.spec;
  const counters = new Map<string, Map<string, bigint>>();
  let repeated = false;
  for (const { spec } of slices) {
    for (const set of spec.sharedCounters ?? []) {
      if (counters.has(set.name)) repeated = true;
      const values = Object.entries(set.counters).map(
        ([name, { value }]) => [name, parseQuantity(value)?.nanos ?? 0n] as const,
      );
      counters.set(set.name, new Map(values));
    }
  }
  const devices = slices.flatMap(({ spec }) => spec.devices ?? []);
  const isUnknown = (set: string) => !counters.has(set);
  return {
    id,
    driver,
    name: pool.name,
    slices,
    isIncomplete: slices.length !== pool.resourceSliceCount,
    isInvalid:
      repeated ||
      new Set(devices.map(({ name }) => name)).size < devices.length ||
      devices.some((device) => device.consumesCounters?.some(({ counterSet }) => isUnknown(counterSet))),
    counters,
    hasBindingConditions: devices.some(({ bindingConditions = [] }) => bindingConditions.length > 0),
  };
}
