/**
 * Which endpoints of a Service's port a node may use: those that are ready, near ones where every endpoint says whom it
 * is for, and those that still serve while they end where none is ready. Pure.
 * https://kubernetes.io/docs/reference/networking/virtual-ips/#traffic-policies (KEP-1669, KEP-2433, KEP-3015)
 */
import type { corev1, discoveryv1 } from "#api";

export type Service = Readonly<corev1.Service>;
export type Slice = Readonly<discoveryv1.EndpointSlice>;

/** Where the proxy stands. */
export interface Place {
  nodeName: string;
  zone: string;
}

export interface Target {
  address: string;
  port: number;
}

interface Endpoint extends Target {
  nodeName: string | undefined;
  ready: boolean;
  terminating: boolean;
  zones: readonly string[];
  nodes: readonly string[];
}

export interface Targets {
  /** For traffic that may go to every node. */
  cluster: readonly Target[];
  /** For traffic that stays on this one. */
  local: readonly Target[];
  /** Some node could serve: here nothing is answered, rather than refused. */
  anywhere: boolean;
}

/** The endpoints of one port of a Service. */
export function targetsOf(slices: readonly Slice[], portName: string, place: Place): Targets {
  const all = endpointsOf(slices, portName);
  const ready = all.filter((each) => each.ready);
  const cluster = ready.length > 0 ? near(ready, place) : all.filter((each) => each.terminating);
  const here = all.filter((each) => each.nodeName === place.nodeName);
  const localReady = here.filter((each) => each.ready);
  const local = localReady.length > 0 ? localReady : here.filter((each) => each.terminating);
  return {
    cluster,
    local,
    anywhere: all.some((each) => each.ready || each.terminating),
  };
}

/** Ready endpoints of a Service on the node, whatever their port: what its health check tells. */
export function localReadyCount(slices: readonly Slice[], nodeName: string): number {
  const addresses = new Set<string>();
  for (const { endpoints } of slices) {
    for (const { addresses: own, conditions, nodeName: at } of endpoints ?? [])
      if (at === nodeName && (conditions?.ready ?? true) && own[0]) addresses.add(own[0]);
  }
  return addresses.size;
}

function endpointsOf(slices: readonly Slice[], portName: string): Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const slice of slices) {
    const port = slice.ports?.find((each) => (each.name ?? "") === portName)?.port;
    if (port === undefined) continue;
    for (const endpoint of slice.endpoints ?? []) {
      const { conditions = {}, hints, nodeName } = endpoint;
      const [address] = endpoint.addresses;
      const ready = conditions.ready ?? true;
      const terminating = !ready && conditions.serving === true && conditions.terminating === true;
      // One that is listed twice counts by its better half.
      if (!address || found.get(`${address}:${port}`)?.ready || !(ready || terminating)) continue;
      found.set(`${address}:${port}`, {
        address,
        port,
        nodeName,
        ready,
        terminating,
        zones: (hints?.forZones ?? []).map(({ name }) => name),
        nodes: (hints?.forNodes ?? []).map(({ name }) => name),
      });
    }
  }
  return [...found.values()].sort(byAddress);
}

function byAddress(a: Target, b: Target): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port;
}

/** Hints count only where every endpoint has one and at least one is for this node, or for its zone. */
function near(ready: readonly Endpoint[], { nodeName, zone }: Place): readonly Endpoint[] {
  const forNode = ready.filter(({ nodes }) => nodes.includes(nodeName));
  if (forNode.length > 0 && ready.every(({ nodes }) => nodes.length > 0)) return forNode;
  const forZone = ready.filter(({ zones }) => zones.includes(zone));
  return forZone.length > 0 && ready.every(({ zones }) => zones.length > 0) ? forZone : ready;
}
