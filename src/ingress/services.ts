/** Which servers stand behind a Service's port. https://kubernetes.io/docs/concepts/services-networking/service/ */
import type { corev1, discoveryv1 } from "#api";
import type { Server } from "./model.ts";

export interface ServiceSource {
  service(namespace: string, name: string): Readonly<corev1.Service> | undefined;
  slices(namespace: string, service: string): readonly Readonly<discoveryv1.EndpointSlice>[];
}

/** A Service's port as Ingresses and Gateways name it. */
export interface ServicePortRef {
  name?: string | undefined;
  number?: number | undefined;
}

/** The servers; or why there can be none. */
export type ServersOrProblem = { servers: Server[]; appProtocol?: string | undefined } | { problem: string };

export function serversOf(
  source: ServiceSource,
  namespace: string,
  name: string,
  ref: ServicePortRef,
  useClusterIp = false,
): ServersOrProblem {
  const service = source.service(namespace, name);
  if (!service) return { problem: `there is no Service ${namespace}/${name}` };
  const { spec } = service;
  const port = spec.ports?.find((each) => (ref.name ? each.name === ref.name : each.port === ref.number));
  if (spec.type === "ExternalName") {
    const number = ref.number ?? port?.port;
    if (!number || !spec.externalName) return { problem: `Service ${namespace}/${name} has no such port` };
    return { servers: [{ address: spec.externalName, port: number }] };
  }
  if (!port) return { problem: `Service ${namespace}/${name} has no port ${ref.name ?? ref.number}` };
  if (useClusterIp && spec.clusterIP && spec.clusterIP !== "None") {
    return { servers: [{ address: spec.clusterIP, port: port.port }] };
  }
  return { servers: endpointsOf(source.slices(namespace, name), port.name), appProtocol: port.appProtocol };
}

/** Ready ones; where there are none, those that still serve while they end. */
function endpointsOf(slices: readonly Readonly<discoveryv1.EndpointSlice>[], portName: string | undefined) {
  const found = new Map<string, Server & { ready: boolean }>();
  for (const { ports, endpoints } of slices) {
    const port = ports?.find((each) => (each.name ?? "") === (portName ?? ""))?.port;
    if (!port) continue;
    for (const { addresses, conditions } of endpoints ?? []) {
      const address = addresses[0];
      if (!address || conditions?.serving === false) continue;
      const ready = conditions?.ready !== false;
      if (!ready && !conditions?.terminating) continue;
      found.set(`${address} ${port}`, { address, port, ready });
    }
  }
  const all = [...found.values()];
  const chosen = all.some(({ ready }) => ready) ? all.filter(({ ready }) => ready) : all;
  return chosen.map(({ address, port }) => ({ address, port })).sort(byAddress);
}

function byAddress(a: Server, b: Server): number {
  return a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port;
}
