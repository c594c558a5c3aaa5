/**
 * What the nftables sets of this node must hold, as data: a pure function of Services, EndpointSlices and the pods
 * with host ports. https://kubernetes.io/docs/reference/networking/virtual-ips/
 */
import type { corev1, discoveryv1 } from "#api";

/** Where this node is and what it sees. */
export interface ProxyState {
  nodeName: string;
  /** NodePorts and host ports answer on these. */
  nodeAddresses: readonly string[];
  services: readonly Readonly<corev1.Service>[];
  slices: readonly Readonly<discoveryv1.EndpointSlice>[];
  /** Pods of this node. */
  pods: readonly Readonly<corev1.Pod>[];
}

/** Elements as nft writes them, by set. */
export interface ProxyElements {
  services: Map<string, string>;
  endpoints: Map<string, string>;
  rejects: Set<string>;
  hairpins: Set<string>;
  /** The most endpoints behind one front: balancing chains up to that count must exist. */
  largest: number;
}

interface Target {
  address: string;
  port: number;
}

/** nft takes no more in one `numgen`; upstream's slices hold 100 each. */
const targetsMax = 4096;

export function proxyElements(state: ProxyState): ProxyElements {
  const out: ProxyElements = {
    services: new Map(),
    endpoints: new Map(),
    rejects: new Set(),
    hairpins: new Set(),
    largest: 0,
  };
  const slicesOf = groupSlices(state.slices);
  for (const service of state.services) {
    addService(
      out,
      state,
      service,
      slicesOf.get(`${service.metadata.namespace}/${service.metadata.name}`) ?? [],
    );
  }
  for (const pod of state.pods) addHostPorts(out, state, pod);
  return out;
}

function groupSlices(slices: ProxyState["slices"]): Map<string, Readonly<discoveryv1.EndpointSlice>[]> {
  const groups = new Map<string, Readonly<discoveryv1.EndpointSlice>[]>();
  for (const slice of slices) {
    const service = slice.metadata.labels?.["kubernetes.io/service-name"];
    if (!service || slice.addressType !== "IPv4") continue;
    const key = `${slice.metadata.namespace}/${service}`;
    const group = groups.get(key);
    if (group) group.push(slice);
    else groups.set(key, [slice]);
  }
  return groups;
}

function addService(
  out: ProxyElements,
  state: ProxyState,
  service: Readonly<corev1.Service>,
  slices: readonly Readonly<discoveryv1.EndpointSlice>[],
): void {
  const spec = service.spec;
  if (spec.type === "ExternalName" || !spec.clusterIP || spec.clusterIP === "None") return;
  const balance = spec.sessionAffinity === "ClientIP" ? "h" : "n";
  for (const port of spec.ports ?? []) {
    const protocol = (port.protocol ?? "TCP").toLowerCase();
    const all = targetsOf(slices, port.name ?? "");
    const inside = spec.internalTrafficPolicy === "Local" ? local(all, state.nodeName) : all;
    const outside = spec.externalTrafficPolicy === "Local" ? local(all, state.nodeName) : all;
    for (const address of [spec.clusterIP]) addFront(out, address, protocol, port.port, inside, balance);
    for (const address of externalAddresses(service))
      addFront(out, address, protocol, port.port, outside, balance);
    if (!port.nodePort) continue;
    for (const address of state.nodeAddresses)
      addFront(out, address, protocol, port.nodePort, outside, balance);
  }
}

function externalAddresses(service: Readonly<corev1.Service>): string[] {
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  return [...(service.spec.externalIPs ?? []), ...ingress.flatMap((i) => (i.ip ? [i.ip] : []))];
}

interface Endpoint extends Target {
  nodeName: string | undefined;
}

function local(targets: readonly Endpoint[], nodeName: string): Endpoint[] {
  return targets.filter((t) => t.nodeName === nodeName);
}

/** Ready endpoints of a port; where none is ready, those that still serve while they terminate (KEP-1669). */
function targetsOf(slices: readonly Readonly<discoveryv1.EndpointSlice>[], portName: string): Endpoint[] {
  const ready: Endpoint[] = [];
  const terminating: Endpoint[] = [];
  const seen = new Set<string>();
  for (const slice of slices) {
    const port = slice.ports?.find((p) => (p.name ?? "") === portName)?.port;
    if (port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const conditions = endpoint.conditions ?? {};
      const list =
        (conditions.ready ?? true)
          ? ready
          : conditions.serving && conditions.terminating
            ? terminating
            : undefined;
      const address = endpoint.addresses[0];
      if (!list || !address || seen.has(`${address}:${port}`)) continue;
      seen.add(`${address}:${port}`);
      list.push({ address, port, nodeName: endpoint.nodeName });
    }
  }
  const targets = ready.length > 0 ? ready : terminating;
  return targets.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port));
}

/** One address and port that clients connect to, and where its connections go. */
function addFront(
  out: ProxyElements,
  address: string,
  protocol: string,
  port: number,
  targets: readonly Target[],
  balance: "n" | "h",
): void {
  const front = `${address} . ${protocol} . ${port}`;
  if (targets.length === 0) {
    out.rejects.add(front);
    return;
  }
  const used = targets.slice(0, targetsMax);
  out.largest = Math.max(out.largest, used.length);
  out.services.set(front, `goto ${balance}${used.length}`);
  for (const [i, target] of used.entries()) {
    out.endpoints.set(`${front} . ${i}`, `${target.address} . ${target.port}`);
    out.hairpins.add(`${target.address} . ${target.address}`);
  }
}

/** Host ports of the pods on this node, as the CNI portmap plugin would map them. */
function addHostPorts(out: ProxyElements, state: ProxyState, pod: Readonly<corev1.Pod>): void {
  const address = pod.status?.podIP;
  const over = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
  if (!address || over || pod.spec.hostNetwork) return;
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    for (const port of container.ports ?? []) {
      if (!port.hostPort) continue;
      const fronts = port.hostIP && port.hostIP !== "0.0.0.0" ? [port.hostIP] : state.nodeAddresses;
      const target = { address, port: port.containerPort };
      for (const front of fronts) {
        addFront(out, front, (port.protocol ?? "TCP").toLowerCase(), port.hostPort, [target], "n");
      }
    }
  }
}
