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
import { messageOf } from "#base";
import { isCritical } from "./critical.ts";
import type { PressureKind } from "./eviction/signals.ts";
import { podsToPreempt, requestOf } from "./preemption.ts";
import { needsAppArmor } from "./security-context.ts";
import { isStatic } from "./static/manifest.ts";
import { forbiddenSysctl } from "./sysctls.ts";

type Pod = Readonly<corev1.Pod>;

/** Why a pod is not taken; its status says so with `rejected` before it. */
export interface Refusal {
  readonly reason: string;
  readonly message: string;
}

/** A pod that is taken may need others to go first. */
export interface Admission {
  readonly refusal?: Refusal;
  readonly preempts?: readonly Pod[];
}

export const rejected = ({ reason, message }: Refusal): Refusal => ({
  reason,
  message: `Pod was rejected: ${message}`,
});

export interface AdmissionState {
  /** All other pods that this node has taken and that have not ended. */
  readonly others: readonly Pod[];
  /** Undefined while the node is not known: then the scheduler's word on its labels and taints is taken. */
  readonly node: Readonly<corev1.Node> | undefined;
  readonly allocatable: Readonly<Record<string, string>>;
  /** Kernel parameters that pods may set though they are not safe. */
  readonly unsafeSysctls?: readonly string[];
  /** The kernel does not have it. */
  readonly lacksAppArmor?: boolean;
  /** The machine goes down: nobody comes any more. */
  readonly isShuttingDown?: boolean;
  /** What the node is short of. */
  readonly pressures?: ReadonlySet<PressureKind>;
}

/** By the first reason, as upstream: what nothing mends comes before what the end of other pods would. */
export function admissionOf(pod: Pod, state: AdmissionState): Admission {
  const refusal = underPressure(pod, state) ?? forbidden(pod, state) ?? foreign(pod, state);
  if (refusal) return { refusal };
  const shortages = shortagesOf(pod, state);
  const failures = failedPredicates(pod, state);
  if (shortages.length === 0 && failures.length === 0) return lastWord(pod, state);
  // Whatever else is wrong with a critical pod, the lack of room is not the reason.
  if (!isCritical(pod)) return { refusal: (shortages[0] && outOf(shortages[0])) ?? failures[0]! };
  if (failures[0]) return { refusal: failures[0] };
  const needs = shortages.map(({ name, requested, used, capacity }) => ({
    name,
    amount: requested - (capacity - used),
  }));
  try {
    return { preempts: podsToPreempt(pod, state.others, needs) };
  } catch (error) {
    const cause = `preemption: error finding a set of pods to preempt: ${messageOf(error)}`;
    const message = `Unexpected error while attempting to recover from admission failure: ${cause}`;
    return { refusal: { reason: "UnexpectedAdmissionError", message } };
  }
}

function lastWord(pod: Pod, { isShuttingDown, lacksAppArmor }: AdmissionState): Admission {
  if (isShuttingDown) {
    const message = "Pod was rejected as the node is shutting down.";
    return { refusal: { reason: "NodeShutdown", message } };
  }
  if (lacksAppArmor && needsAppArmor(pod)) {
    const message = "Cannot enforce AppArmor: AppArmor is not enabled on the host";
    return { refusal: { reason: "AppArmor", message } };
  }
  return {};
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

const osLabel = "kubernetes.io/os";

/** Pods for other systems, and what this node's runtime cannot do. */
function foreign(pod: Pod, { node }: AdmissionState): Refusal | undefined {
  const label = pod.metadata.labels?.[osLabel];
  if (label !== undefined && label !== "linux")
    return {
      reason: "PodOSSelectorNodeLabelDoesNotMatch",
      message: "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
    };
  if (pod.spec.os && pod.spec.os.name !== "linux")
    return {
      reason: "PodOSNotSupported",
      message: "Failed to admit pod as the OS field doesn't match node OS",
    };
  const policy = pod.spec.securityContext?.supplementalGroupsPolicy;
  if (policy === "Strict" && !node?.status?.features?.supplementalGroupsPolicy)
    return {
      reason: "SupplementalGroupsPolicyNotSupported",
      message: "SupplementalGroupsPolicy=Strict is not supported in this node",
    };
  return undefined;
}

interface Shortage {
  readonly name: string;
  readonly requested: number;
  readonly used: number;
  readonly capacity: number;
}

function shortagesOf(pod: Pod, { others, allocatable }: AdmissionState): Shortage[] {
  return ["pods", ...Object.keys(podAmounts(pod, "requests"))].flatMap((name) => {
    // What the node does not know of is looked after by somebody else.
    if (allocatable[name] === undefined) return [];
    const requested = requestOf(pod, name);
    const used = others.reduce((sum, other) => sum + requestOf(other, name), 0);
    const capacity = name === "cpu" ? quantityMilliValue(allocatable.cpu) : quantityValue(allocatable[name]);
    return requested > 0 && requested > capacity - used ? [{ name, requested, used, capacity }] : [];
  });
}

function outOf({ name, requested, used, capacity }: Shortage): Refusal {
  const amounts = `requested: ${requested}, used: ${used}, capacity: ${capacity}`;
  return { reason: `OutOf${name}`, message: `Node didn't have enough resource: ${name}, ${amounts}` };
}

function failedPredicates(pod: Pod, { others, node }: AdmissionState): Refusal[] {
  const failures: Refusal[] = [];
  if (node) {
    const { name, labels = {} } = node.metadata;
    if (requiredNodes(pod)?.({ name, labels }) === false)
      failures.push(failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
  }
  const taken = others.flatMap(hostPortsOf);
  if (hostPortsOf(pod).some((port) => taken.some((other) => collide(port, other))))
    failures.push(failed("NodePorts", "node(s) didn't have free ports for the requested pod ports"));
  const repels = (taint: Readonly<corev1.Taint>) => taint.effect === "NoExecute" && !isTolerated(pod, taint);
  if (!isStatic(pod) && node?.spec?.taints?.some(repels))
    failures.push(failed("TaintToleration", "node(s) had taints that the pod didn't tolerate"));
  return failures;
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
