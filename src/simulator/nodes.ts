/** Nodes without machines: what they look like to the API. */
import { type corev1, type Draft, declaredFeatures, formatTime } from "#api";
import { UserError } from "#base";

export interface SimulatedNode {
  /** `node-1` and so on where it is left out. */
  name?: string;
  labels?: Record<string, string>;
  taints?: corev1.Taint[];
  /** Beside or instead of cpu 32, memory 256Gi, pods 110. */
  capacity?: Record<string, string>;
}

/** A node with the place it has in the address plan. */
export interface PlacedNode {
  name: string;
  index: number;
  address: string;
  podCidr: string;
  spec: SimulatedNode;
}

const defaultCapacity = { cpu: "32", memory: "256Gi", "ephemeral-storage": "1Ti", pods: "110" };
/** `10.244.0.0` and up for pods, as clusters have it; beyond, the range for private use between networks. */
const firstRangeNodes = 11 * 256;
/** More would leave both. https://www.rfc-editor.org/rfc/rfc6598 */
const nodesMax = firstRangeNodes + 64 * 256;

export function placeNodes(wanted: number | readonly SimulatedNode[]): PlacedNode[] {
  const specs = typeof wanted === "number" ? Array.from({ length: wanted }, () => ({})) : wanted;
  if (specs.length > nodesMax)
    throw new UserError(`${specs.length} nodes cannot be simulated`, `ask for at most ${nodesMax}`);
  return specs.map((spec: SimulatedNode, index) => ({
    name: spec.name ?? `node-${index + 1}`,
    index,
    address: `172.30.${index >> 8}.${index & 255}`,
    podCidr: podCidrOf(index),
    spec,
  }));
}

function podCidrOf(index: number): string {
  const beyond = index - firstRangeNodes;
  return beyond < 0
    ? `10.${244 + (index >> 8)}.${index & 255}.0/24`
    : `100.${64 + (beyond >> 8)}.${beyond & 255}.0/24`;
}

/** The n-th pod address of the node, from 0; the first two of the range are the network and its gateway. */
export function podAddress({ podCidr }: PlacedNode, n: number): string {
  return `${podCidr.slice(0, podCidr.lastIndexOf(".") + 1)}${n + 2}`;
}

export const podAddressesPerNode = 253;

/** As a kubelet registers it: at once with what it has. */
export function nodeDraft(node: PlacedNode, nowMs: number): Draft<corev1.Node> {
  const labels = {
    "kubernetes.io/hostname": node.name,
    "kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "beta.kubernetes.io/os": "linux",
    "beta.kubernetes.io/arch": "amd64",
    ...node.spec.labels,
  };
  const { taints } = node.spec;
  return {
    metadata: { name: node.name, labels, annotations: { "simulator.knarr.dev/simulated": "true" } },
    spec: { podCIDR: node.podCidr, podCIDRs: [node.podCidr], ...(taints ? { taints } : {}) },
    status: nodeStatus(node, nowMs),
  };
}

export function nodeStatus(node: PlacedNode, nowMs: number): corev1.NodeStatus {
  const capacity = { ...defaultCapacity, ...node.spec.capacity };
  const time = formatTime(nowMs);
  const condition = (type: string, status: string, reason: string, message: string) => ({
    type,
    status,
    reason,
    message,
    lastHeartbeatTime: time,
    lastTransitionTime: time,
  });
  return {
    capacity,
    allocatable: capacity,
    addresses: [
      { type: "InternalIP", address: node.address },
      { type: "Hostname", address: node.name },
    ],
    conditions: [
      condition(
        "MemoryPressure",
        "False",
        "KubeletHasSufficientMemory",
        "kubelet has sufficient memory available",
      ),
      condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
      condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
      condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ],
    declaredFeatures: declaredFeatures({ hasExclusiveCpus: false }),
    nodeInfo: {
      architecture: "amd64",
      operatingSystem: "linux",
      osImage: "Simulated",
      kernelVersion: "0.0.0-simulated",
      containerRuntimeVersion: "simulator://0.0.0",
      kubeletVersion: "v1.36.0+knarr",
      kubeProxyVersion: "v1.36.0+knarr",
      machineID: node.name,
      systemUUID: node.name,
      bootID: node.name,
    },
  };
}
