/**
 * The static CPU policy: a container that asks for whole processors, in a pod that has promised all it takes, has them to
 * itself; all others share the rest.
 * https://kubernetes.io/docs/tasks/administer-cluster/cpu-management-policies/
 */
import { type corev1, qosClassOf, quantityMilliValue } from "#api";
import type { World } from "#base";
import { type Assignments, createAssignments } from "../assignments.ts";
import { AllocationError } from "../devices/allocation.ts";
import { type Hints, hintsBySize } from "../topology/hints.ts";
import type { HintProvider } from "../topology/manager.ts";
import { maskOf, masksOf, type NumaMask } from "../topology/numa.ts";
import type { CpuOptions } from "./options.ts";
import { type Cpu, formatCpus, takeCpus } from "./topology.ts";

type Pod = Readonly<corev1.Pod>;
type Container = Readonly<corev1.Container>;

export interface CpuManager extends HintProvider {
  readonly isStatic: boolean;
  /** Those that pods may have to themselves. */
  readonly allocatable: readonly number[];
  /** The processors of a container; "" where the policy does not care. Throws `AllocationError`. */
  cpusetFor(pod: Pod, container: Container): Promise<string>;
  /** What a container that runs shall have now. */
  current(podUid: string, container: string): string;
  /** What the container has to itself. */
  exclusive(podUid: string, container: string): readonly number[];
  release(podUid: string): void;
  load(): Promise<void>;
}

export interface CpuManagerOptions {
  policy: string;
  options: CpuOptions;
  topology: readonly Cpu[];
  /** Never given to one alone. */
  reserved: readonly number[];
  file: string;
  world: World;
  isActive(podUid: string): boolean;
}

/** How many processors the container has to itself. Pure. */
export function exclusiveCount(pod: Pod, { resources }: Container): number {
  if (qosClassOf(pod.spec) !== "Guaranteed") return 0;
  const milli = quantityMilliValue(resources?.requests?.cpu ?? resources?.limits?.cpu);
  return milli % 1000 === 0 ? milli / 1000 : 0;
}

/** The most that the pod has to itself at any time: init containers are over when the others run. */
function exclusiveCountOfPod(pod: Pod): number {
  const inits = (pod.spec.initContainers ?? []).map((each) => exclusiveCount(pod, each));
  return Math.max(
    pod.spec.containers.reduce((sum, each) => sum + exclusiveCount(pod, each), 0),
    ...inits,
  );
}

const isPassing = ({ restartPolicy }: Container) => restartPolicy !== "Always";

/** What the pod's init containers had, and none of its others has. */
function reusableBy(pod: Pod, assigned: Assignments<number[]>): number[] {
  const of = (containers: readonly Container[]) =>
    containers.flatMap(({ name }) => assigned.get(pod.metadata.uid, name) ?? []);
  const inits = pod.spec.initContainers ?? [];
  const kept = new Set(of([...pod.spec.containers, ...inits.filter((each) => !isPassing(each))]));
  return of(inits.filter(isPassing)).filter((id) => !kept.has(id));
}

/** Throws `AllocationError` where whole cores are asked for and cannot be had. */
function checkCores(
  topology: readonly Cpu[],
  count: number,
  free: ReadonlySet<number>,
  options: CpuOptions,
): void {
  if (!options.fullCores) return;
  const cores = [...Map.groupBy(topology, ({ core }) => core).values()];
  const perCore = Math.max(1, Math.floor(topology.length / Math.max(1, cores.length)));
  if (count % perCore !== 0)
    throw new AllocationError(
      `SMT Alignment Error: requested ${count} cpus not multiple cpus per core = ${perCore}`,
      "SMTAlignmentError",
    );
  const whole = cores.filter((cpus) => cpus.every(({ id }) => free.has(id))).flat().length;
  if (count > whole)
    throw new AllocationError(
      `SMT Alignment Error: not enough free physical CPUs: available physical CPUs = ${whole}, requested CPUs = ${count}, CPUs per core = ${perCore}`,
      "SMTAlignmentError",
    );
}

/** First what its init containers had, then what lies on the nodes, then what lies elsewhere. */
function choose(
  { topology, options }: CpuManagerOptions,
  count: number,
  available: readonly number[],
  mask: NumaMask | undefined,
): number[] | undefined {
  const chosen: number[] = [];
  const take = (from: readonly Cpu[], most: number) => {
    const free = new Set(from.map(({ id }) => id).filter((id) => !chosen.includes(id)));
    const taken = takeCpus(topology, free, Math.min(most, free.size), options);
    chosen.push(...(taken ?? []));
  };
  const all = topology.filter(({ id }) => available.includes(id));
  if (mask !== undefined)
    take(
      all.filter(({ numaNode }) => mask & (1 << numaNode)),
      count,
    );
  take(all, count - chosen.length);
  return chosen.length === count ? chosen.sort((a, b) => a - b) : undefined;
}

function hintsOf(
  { topology }: CpuManagerOptions,
  count: number,
  free: ReadonlySet<number>,
  mustHave: readonly number[],
): Hints {
  const nodes = [...new Set(topology.map(({ numaNode }) => numaNode))].sort((a, b) => a - b);
  const inMask = (mask: NumaMask) => topology.filter(({ numaNode }) => mask & (1 << numaNode));
  const hints = hintsBySize(masksOf(nodes), nodes.length, {
    total: (mask) => inMask(mask).length >= count,
    free(mask) {
      const ids = inMask(mask).map(({ id }) => id);
      if (!mustHave.every((id) => ids.includes(id))) return false;
      return mustHave.length + ids.filter((id) => free.has(id)).length >= count;
    },
  });
  return new Map([["cpu", hints]]);
}

/** Throws `AllocationError`. */
function takeFor(
  options: CpuManagerOptions,
  pod: Pod,
  count: number,
  mask: NumaMask | undefined,
  { assigned, free }: { assigned: Assignments<number[]>; free: readonly number[] },
): number[] {
  const reusable = reusableBy(pod, assigned);
  const available = [...new Set([...reusable, ...free])];
  checkCores(options.topology, count, new Set(available), options.options);
  const first = choose(options, Math.min(count, reusable.length), reusable, mask) ?? [];
  const rest = available.filter((id) => !first.includes(id));
  const cpus = choose(options, count - first.length, rest, mask);
  if (!cpus)
    throw new AllocationError(
      `not enough cpus available to satisfy request: requested=${count}, available=${available.length}`,
    );
  return [...first, ...cpus].sort((a, b) => a - b);
}

export function createCpuManager(options: CpuManagerOptions): CpuManager {
  const { topology, reserved } = options;
  const isStatic = options.policy === "static";
  const allocatable = topology.map(({ id }) => id).filter((id) => !reserved.includes(id));
  const nodeOf = new Map(topology.map(({ id, numaNode }) => [id, numaNode]));
  const assigned = createAssignments<number[]>(options);

  const without = (ids: readonly number[]) => {
    const taken = new Set(assigned.values().flat());
    return ids.filter((id) => !taken.has(id));
  };
  const shared = () =>
    formatCpus(without(options.options.strictReservation ? allocatable : topology.map(({ id }) => id)));
  const current = (podUid: string, container: string) => {
    if (!isStatic) return "";
    const own = assigned.get(podUid, container);
    return own ? formatCpus(own) : shared();
  };

  async function allocate(pod: Pod, container: Container, mask: NumaMask | undefined): Promise<void> {
    const { uid } = pod.metadata;
    const count = isStatic ? exclusiveCount(pod, container) : 0;
    if (count === 0 || assigned.get(uid, container.name)) return;
    assigned.keepActive(uid);
    const cpus = takeFor(options, pod, count, mask, { assigned, free: without(allocatable) });
    await assigned.set(uid, container.name, cpus);
  }

  function hints(pod: Pod, container: Container | undefined): Hints {
    if (!isStatic || pod.spec.resources) return new Map();
    const count = container ? exclusiveCount(pod, container) : exclusiveCountOfPod(pod);
    if (count === 0) return new Map();
    const names = container ? [container] : [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
    const had = names.flatMap(({ name }) => assigned.get(pod.metadata.uid, name) ?? []);
    if (had.length > 0) {
      const mask = maskOf(had.map((id) => nodeOf.get(id) ?? 0));
      return new Map([["cpu", [{ mask, preferred: true }]]]);
    }
    assigned.keepActive(pod.metadata.uid);
    const reusable = reusableBy(pod, assigned);
    return hintsOf(options, count, new Set(without(allocatable)), reusable.slice(0, count));
  }

  return {
    isStatic,
    allocatable: isStatic ? allocatable : [],
    allocate,
    hints,
    async cpusetFor(pod, container) {
      await allocate(pod, container, undefined);
      return current(pod.metadata.uid, container.name);
    },
    current,
    exclusive: (podUid, container) => assigned.get(podUid, container) ?? [],
    release: assigned.release,
    load: async () => {
      if (isStatic) await assigned.load();
    },
  };
}
