/**
 * Whether this node takes a pod it was given: whoever binds pods may be wrong, or not have asked the scheduler at all.
 * https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename
 */
import {
  type corev1,
  isTolerated,
  podAmounts,
  qosClassOf,
  quantityMilliValue,
  quantityValue,
  requiredNodes,
} from "#api";
import { isCritical } from "./eviction/ranking.ts";
import type { PressureKind } from "./eviction/signals.ts";
import { forbiddenSysctl } from "./sysctls.ts";

type Pod = Readonly<corev1.Pod>;

/** What the status of a pod that is not taken says. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

export interface AdmissionState {
  /** All other pods that this node has taken and that have not ended. */
  readonly others: readonly Pod[];
  /** Undefined while the node is not known: then the scheduler's word on its labels and taints is taken. */
  readonly node: Readonly<corev1.Node> | undefined;
  readonly allocatable: Readonly<Record<string, string>>;
  /** Kernel parameters that pods may set though they are not safe. */
  readonly unsafeSysctls?: readonly string[];
  /** What the node is short of. */
  readonly pressures?: ReadonlySet<PressureKind>;
}

/** Its first reason, as upstream: pressure, kernel parameters, resources, then the node's labels, ports and taints. */
export function refusalOf(pod: Pod, state: AdmissionState): Refusal | undefined {
  const refusal =
    underPressure(pod, state) ?? forbidden(pod, state) ?? lacking(pod, state) ?? failedPredicate(pod, state);
  return refusal && { ...refusal, message: `Pod was rejected: ${refusal.message}` };
}

const conditionOf: Record<PressureKind, string> = {
  memory: "MemoryPressure",
  disk: "DiskPressure",
  pid: "PIDPressure",
};
const memoryTaint = { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" } as const;

/** A node that is short of memory still takes what it has promised memory to. */
function underPressure(pod: Pod, { pressures }: AdmissionState): Refusal | undefined {
  if (!pressures || pressures.size === 0 || isCritical(pod)) return undefined;
  const onlyMemory = pressures.size === 1 && pressures.has("memory");
  if (onlyMemory && (qosClassOf(pod.spec) !== "BestEffort" || isTolerated(pod, memoryTaint)))
    return undefined;
  const names = [...pressures].map((kind) => conditionOf[kind]);
  return { reason: "Evicted", message: `The node had condition: [${names.join(" ")}]. ` };
}

function forbidden(pod: Pod, { unsafeSysctls = [] }: AdmissionState): Refusal | undefined {
  const message = forbiddenSysctl(pod, unsafeSysctls);
  return message === undefined ? undefined : { reason: "SysctlForbidden", message };
}

function lacking(pod: Pod, { others, allocatable }: AdmissionState): Refusal | undefined {
  const isTooMany = others.length + 1 > quantityValue(allocatable.pods);
  if (allocatable.pods !== undefined && isTooMany)
    return outOf("pods", 1, others.length, quantityValue(allocatable.pods));
  for (const [name, amount] of Object.entries(podAmounts(pod, "requests"))) {
    // What the node does not know of is looked after by somebody else.
    if (allocatable[name] === undefined) continue;
    const inUnits = name === "cpu" ? quantityMilliValue : quantityValue;
    const requested = inUnits(amount);
    if (requested === 0) continue;
    const used = others.reduce((sum, other) => sum + inUnits(podAmounts(other, "requests")[name]), 0);
    const capacity = inUnits(allocatable[name]);
    if (requested > capacity - used) return outOf(name, requested, used, capacity);
  }
  return undefined;
}

function outOf(name: string, requested: number, used: number, capacity: number): Refusal {
  const amounts = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return { reason: `OutOf${name}`, message: `Node didn't have enough resource: ${name}, ${amounts}` };
}

function failedPredicate(pod: Pod, { others, node }: AdmissionState): Refusal | undefined {
  if (node) {
    const { name, labels = {} } = node.metadata;
    if (requiredNodes(pod)?.({ name, labels }) === false)
      return failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  }
  const taken = others.flatMap(hostPortsOf);
  if (hostPortsOf(pod).some((port) => taken.some((other) => collide(port, other))))
    return failed("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  const repels = (taint: Readonly<corev1.Taint>) => taint.effect === "NoExecute" && !isTolerated(pod, taint);
  if (node?.spec?.taints?.some(repels))
    return failed("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  return undefined;
}

function failed(reason: string, why: string): Refusal {
  return { reason, message: `Predicate ${reason} failed: ${why}` };
}

interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

const everyAddress = "0.0.0.0";

function hostPortsOf({ spec }: Pod): HostPort[] {
  const containers = [...spec.containers, ...(spec.initContainers ?? []).filter(isSidecar)];
  return containers.flatMap(({ ports = [] }) =>
    ports
      .filter(({ hostPort }) => hostPort)
      .map(({ hostPort = 0, hostIP, protocol }) => ({
        ip: hostIP || everyAddress,
        protocol: protocol ?? "TCP",
        port: hostPort,
      })),
  );
}

function isSidecar({ restartPolicy }: Readonly<corev1.Container>): boolean {
  return restartPolicy === "Always";
}

function collide(a: HostPort, b: HostPort): boolean {
  if (a.port !== b.port || a.protocol !== b.protocol) return false;
  return a.ip === b.ip || a.ip === everyAddress || b.ip === everyAddress;
}
