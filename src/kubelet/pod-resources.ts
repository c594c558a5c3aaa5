/**
 * Requests and limits as the kernel takes them: quality of service, cgroup figures, OOM scores.
 * https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/
 */
import { binaryQuantity, type corev1, podAmounts, qosClassOf, quantityMilliValue, quantityValue } from "#api";
import type { LinuxContainerResources } from "#contracts";
import { isCritical } from "./critical.ts";

/** What of the node decides over the figures of its containers. */
export interface NodeFigures {
  memoryBytes: number;
  /** Sizes of huge pages that the kernel here can limit. */
  hugePageSizes: readonly number[];
  swap: {
    /** 0: there is none. */
    bytes: number;
    behavior: string;
    /** Cgroups v2: of v1, containers of this node get no swap. */
    isUnified: boolean;
  };
  /** All processes of a container end with the one that the kernel kills: cgroups v2 alone can do that. */
  oomGroup: boolean;
  /** In which time a limit of CPU holds; 0: it does not hold at all. */
  cfsPeriodUs: number;
}

/** `2MB`, as the kernel names a size of pages. */
export function pageSizeName(bytes: number): string {
  for (const [unit, size] of [
    ["GB", 2 ** 30],
    ["MB", 2 ** 20],
  ] as const)
    if (bytes >= size) return `${bytes / size}${unit}`;
  return `${bytes / 1024}KB`;
}

const hugePagesName = (size: number) => `hugepages-${binaryQuantity(size)}`;

/** What is not asked for is not had. */
function hugePageLimits(
  { resources }: Readonly<corev1.Container>,
  { hugePageSizes }: NodeFigures,
): Pick<LinuxContainerResources, "hugepageLimits"> {
  if (hugePageSizes.length === 0) return {};
  const limitOf = (size: number) => quantityValue(resources?.limits?.[hugePagesName(size)]);
  return {
    hugepageLimits: hugePageSizes.map((size) => ({ pageSize: pageSizeName(size), limit: limitOf(size) })),
  };
}

/** As much of the swap as the container asks for of the memory; only burstable ones, and no critical ones. */
export function swapBytesFor(
  pod: Readonly<corev1.Pod>,
  { resources }: Readonly<corev1.Container>,
  { memoryBytes, swap }: NodeFigures,
): number {
  const request = quantityValue(resources?.requests?.memory);
  const isLimited = swap.behavior === "LimitedSwap" && swap.isUnified;
  const isFit = qosClassOf(pod.spec) === "Burstable" && !isCritical(pod);
  if (!isLimited || !isFit || request === 0 || request === quantityValue(resources?.limits?.memory)) return 0;
  return Math.floor((request / memoryBytes) * swap.bytes);
}

/**
 * Files of the container's group that the runtime writes as they are.
 * https://kubernetes.io/docs/concepts/cluster-administration/swap-memory-management/
 */
function unifiedFiles(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  node: NodeFigures,
): Pick<LinuxContainerResources, "unified"> {
  const unified: Record<string, string> = {};
  if (node.oomGroup) unified["memory.oom.group"] = "1";
  if (node.swap.isUnified && node.swap.bytes > 0)
    unified["memory.swap.max"] = String(swapBytesFor(pod, container, node));
  return Object.keys(unified).length > 0 ? { unified } : {};
}

/** Of cgroups v1 there is one limit of memory and swap together: no container has swap. */
function swapLimit(
  { swap }: NodeFigures,
  memoryLimit: number,
): Pick<LinuxContainerResources, "memorySwapLimitInBytes"> {
  const isLimited = swap.bytes > 0 && !swap.isUnified && memoryLimit > 0;
  return isLimited ? { memorySwapLimitInBytes: memoryLimit } : {};
}

function allContainers(pod: Readonly<corev1.Pod>): readonly Readonly<corev1.Container>[] {
  return [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
}

/** The kernel's own period: 100 ms. */
const cpuPeriodUs = 100_000;
const minQuotaUs = 1000;
const minShares = 2;
const maxShares = 262_144;

export function cpuShares(milliCpu: number): number {
  return milliCpu === 0
    ? minShares
    : Math.min(maxShares, Math.max(minShares, Math.floor((milliCpu * 1024) / 1000)));
}

/** Microseconds of CPU time in a period; 0 is without a limit. */
export function cpuQuota(milliCpu: number, periodUs = cpuPeriodUs): number {
  return milliCpu === 0 ? 0 : Math.max(minQuotaUs, Math.floor((milliCpu * periodUs) / 1000));
}

/** The more of the node's memory a container asked for, the later it is killed. */
export function oomScoreAdj(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  nodeMemoryBytes: number,
): number {
  if ((pod.spec.priority ?? 0) >= 2_000_000_000) return -997;
  const qos = qosClassOf(pod.spec);
  if (qos === "Guaranteed") return -997;
  if (qos === "BestEffort") return 1000;
  const request = quantityValue(container.resources?.requests?.memory ?? container.resources?.limits?.memory);
  const score = 1000 - Math.floor((1000 * request) / Math.max(1, nodeMemoryBytes));
  return Math.min(999, Math.max(3, score));
}

/** Nothing is said to the runtime of what does not hold. */
function cpuTime(milliCpu: number, { cfsPeriodUs }: NodeFigures) {
  return cfsPeriodUs === 0 ? {} : { cpuPeriod: cfsPeriodUs, cpuQuota: cpuQuota(milliCpu, cfsPeriodUs) };
}

export function containerResources(
  pod: Readonly<corev1.Pod>,
  container: Readonly<corev1.Container>,
  node: NodeFigures,
): LinuxContainerResources {
  const { requests, limits } = container.resources ?? {};
  // Who has no limit of its own is told of the pod's: what runs inside looks there.
  const whole = pod.spec.resources?.limits;
  const cpuLimit = quantityMilliValue(limits?.cpu ?? whole?.cpu);
  const memoryLimit = quantityValue(limits?.memory ?? whole?.memory);
  return {
    cpuShares: cpuShares(quantityMilliValue(requests?.cpu ?? limits?.cpu)),
    ...cpuTime(cpuLimit, node),
    memoryLimitInBytes: memoryLimit,
    oomScoreAdj: oomScoreAdj(pod, container, node.memoryBytes),
    ...hugePageLimits(container, node),
    ...unifiedFiles(pod, container, node),
    ...swapLimit(node, memoryLimit),
  };
}

export interface PodCgroup {
  cpuShares: number;
  /** 0 is without a limit. */
  cpuQuotaUs: number;
  cpuPeriodUs: number;
  memoryLimitBytes: number;
  /** Processes and threads; 0 is without a limit. */
  pidsLimit: number;
  /** Bytes by the kernel's name of the page's size. */
  hugePages?: Readonly<Record<string, number>>;
}

/** What all containers of a pod may take together: the larger of an init container and the sum of the others. */
function podSum(pod: Readonly<corev1.Pod>, amountOf: (c: Readonly<corev1.Container>) => number): number {
  let sidecars = 0;
  let initMax = 0;
  for (const c of pod.spec.initContainers ?? []) {
    if (c.restartPolicy === "Always") {
      sidecars += amountOf(c);
      initMax = Math.max(initMax, sidecars);
    } else {
      initMax = Math.max(initMax, sidecars + amountOf(c));
    }
  }
  return Math.max(initMax, sidecars + pod.spec.containers.reduce((sum, c) => sum + amountOf(c), 0));
}

type GroupFigures = Pick<NodeFigures, "hugePageSizes" | "cfsPeriodUs">;
const ordinaryGroup: GroupFigures = { hugePageSizes: [], cfsPeriodUs: cpuPeriodUs };

/** A limit holds for the pod only when every container has one. */
export function podCgroup(
  pod: Readonly<corev1.Pod>,
  pidsLimit = 0,
  { hugePageSizes, cfsPeriodUs }: GroupFigures = ordinaryGroup,
): PodCgroup {
  const overall = pod.spec.resources;
  const limited = (name: "cpu" | "memory") =>
    overall?.limits?.[name] !== undefined ||
    allContainers(pod).every((c) => quantityMilliValue(c.resources?.limits?.[name]) > 0);
  const request = podSum(pod, (c) =>
    quantityMilliValue(c.resources?.requests?.cpu ?? c.resources?.limits?.cpu),
  );
  const cpu = limited("cpu")
    ? overall?.limits?.cpu !== undefined
      ? quantityMilliValue(overall.limits.cpu)
      : podSum(pod, (c) => quantityMilliValue(c.resources?.limits?.cpu))
    : 0;
  const memory = limited("memory")
    ? overall?.limits?.memory !== undefined
      ? quantityValue(overall.limits.memory)
      : podSum(pod, (c) => quantityValue(c.resources?.limits?.memory))
    : 0;
  // What the runtime itself takes for such a pod; where there is no limit, there is none with it.
  const overheadMilli = quantityMilliValue(pod.spec.overhead?.cpu);
  const overheadBytes = quantityValue(pod.spec.overhead?.memory);
  const requested = overall?.requests?.cpu !== undefined ? quantityMilliValue(overall.requests.cpu) : request;
  return {
    cpuShares: cpuShares(requested + overheadMilli),
    cpuQuotaUs: cfsPeriodUs === 0 ? 0 : cpuQuota(cpu > 0 ? cpu + overheadMilli : 0, cfsPeriodUs),
    cpuPeriodUs: cfsPeriodUs || cpuPeriodUs,
    memoryLimitBytes: memory > 0 ? memory + overheadBytes : 0,
    pidsLimit,
    ...podHugePages(pod, hugePageSizes),
  };
}

function podHugePages(pod: Readonly<corev1.Pod>, sizes: readonly number[]): Pick<PodCgroup, "hugePages"> {
  if (sizes.length === 0) return {};
  const limits = podAmounts(pod, "limits");
  const entries = sizes.map((size) => [pageSizeName(size), quantityValue(limits[hugePagesName(size)])]);
  return { hugePages: Object.fromEntries(entries) };
}

/** `/kubepods/burstable/pod<uid>`. */
export function cgroupPathOf(root: string, pod: Readonly<corev1.Pod>): string {
  const qos = qosClassOf(pod.spec);
  const parent = qos === "Guaranteed" ? root : `${root}/${qos.toLowerCase()}`;
  return `${parent}/pod${pod.metadata.uid}`;
}
