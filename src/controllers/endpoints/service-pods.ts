/** What EndpointSlices and Endpoints have in common: which pods stand behind a Service, and on which ports. */
import { isIPv6 } from "node:net";
import { type corev1, pods, services } from "#api";
import { type Informers, keyOf } from "#client";
import { isFinished, isReady, isTerminating } from "../kit/pods.ts";

export type Service = Readonly<corev1.Service>;
export type Pod = Readonly<corev1.Pod>;

export interface BackendPort {
  name: string;
  port: number;
  protocol: "TCP" | "UDP" | "SCTP";
  appProtocol?: string;
}

/** One pod behind a Service. */
export interface Backend {
  pod: Pod;
  ip: string;
  ports: readonly BackendPort[];
  ready: boolean;
  serving: boolean;
  terminating: boolean;
}

function selects(selector: Readonly<Record<string, string>>, labels: Readonly<Record<string, string>> = {}) {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

/** Services without a selector have their endpoints from somebody else. */
export function hasOwnBackends(service: Service): boolean {
  const { selector, type } = service.spec;
  return selector !== undefined && Object.keys(selector).length > 0 && type !== "ExternalName";
}

export function isHeadless(service: Service): boolean {
  return service.spec.clusterIP === "None";
}

/** Keys of the Services that select the pod. */
export function servicesOfPod(pod: Pod, informers: Informers): string[] {
  const all = informers.of(services).list(pod.metadata.namespace);
  return all
    .filter((service) => hasOwnBackends(service) && selects(service.spec.selector ?? {}, pod.metadata.labels))
    .map(keyOf);
}

export function podsOfService(service: Service, informers: Informers): readonly Pod[] {
  const selector = service.spec.selector ?? {};
  const all = informers.of(pods).list(service.metadata.namespace);
  return all.filter((pod) => selects(selector, pod.metadata.labels));
}

/** The port that a Service's port means on this pod; undefined where the pod has none of that name. */
function portOn(pod: Pod, port: Readonly<corev1.ServicePort>): number | undefined {
  const target = port.targetPort ?? port.port;
  if (typeof target === "number") return target === 0 ? port.port : target;
  const sidecars = (pod.spec.initContainers ?? []).filter(
    (container) => container.restartPolicy === "Always",
  );
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const each of container.ports ?? []) {
      if (each.name === target && (each.protocol ?? "TCP") === (port.protocol ?? "TCP"))
        return each.containerPort;
    }
  }
  return undefined;
}

function portsOn(service: Service, pod: Pod): BackendPort[] {
  const found: BackendPort[] = [];
  for (const port of service.spec.ports ?? []) {
    const number = portOn(pod, port);
    if (number === undefined) continue;
    found.push({
      name: port.name ?? "",
      port: number,
      protocol: port.protocol ?? "TCP",
      ...(port.appProtocol ? { appProtocol: port.appProtocol } : {}),
    });
  }
  return found;
}

export type Family = "IPv4" | "IPv6";

/** Of the Service's addresses, the first one foremost. */
export function familiesOf({ spec }: Service): readonly [Family, ...Family[]] {
  const isFamily = (family: string): family is Family => family === "IPv4" || family === "IPv6";
  const [first, ...others] = (spec.ipFamilies ?? []).filter(isFamily);
  return first ? [first, ...others] : ["IPv4"];
}

function addressOf({ status }: Pod, family: Family): string | undefined {
  const all = [status?.podIP, ...(status?.podIPs ?? []).map(({ ip }) => ip)];
  return all.find((ip) => ip && isIPv6(ip) === (family === "IPv6"));
}

/** The pods that have an address of this family, in order of their names. */
export function backendsOf(service: Service, candidates: readonly Pod[], family: Family): Backend[] {
  const backends: Backend[] = [];
  for (const pod of candidates) {
    const ip = addressOf(pod, family);
    if (!ip || isFinished(pod)) continue;
    const [serving, terminating] = [isReady(pod), isTerminating(pod)];
    const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
    backends.push({ pod, ip, ports: portsOn(service, pod), ready, serving, terminating });
  }
  return backends.sort((a, b) => (a.pod.metadata.name < b.pod.metadata.name ? -1 : 1));
}

/** A host name of its own in DNS: pods that ask for one under this Service. */
export function hostnameOf(service: Service, pod: Pod): string | undefined {
  const { hostname, subdomain } = pod.spec;
  return hostname && subdomain === service.metadata.name ? hostname : undefined;
}

export function podReference(pod: Pod): corev1.ObjectReference {
  const { namespace, name, uid } = pod.metadata;
  return { kind: "Pod", ...(namespace ? { namespace } : {}), name, uid };
}

/** Groups by equal ports. */
export function byPorts<T extends { ports: readonly BackendPort[] }>(items: readonly T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = portsKey(item.ports);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}

interface AnyPort {
  name?: string;
  port?: number;
  protocol?: string;
  appProtocol?: string;
}

export function portsKey(ports: readonly AnyPort[] | undefined | null): string {
  const keys = (ports ?? []).map((p) =>
    [p.name ?? "", p.port ?? "", p.protocol ?? "TCP", p.appProtocol ?? ""].join("|"),
  );
  return keys.sort().join(",");
}
