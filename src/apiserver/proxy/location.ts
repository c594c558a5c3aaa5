/**
 * Where a `proxy` subresource leads: to a pod, to a ready endpoint of a service, to a node.
 * https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/#manually-constructing-apiserver-proxy-urls
 */
import { isIP } from "node:net";
import {
  badRequest,
  type corev1,
  type discoveryv1,
  endpointSlices,
  nodes,
  pods,
  type ResourceDefinition,
  services,
  serviceUnavailable,
} from "#api";
import type { Random } from "#base";
import { keyPrefix } from "../cache/keys.ts";
import type { Storage } from "../registry/storage.ts";

export interface Location {
  scheme: "http" | "https";
  host: string;
  /** Undefined: the scheme's own. */
  port: number | undefined;
  /** It is the node's kubelet, to which this server proves who it is. */
  isKubelet: boolean;
}

interface Named {
  scheme: string;
  name: string;
  port: string;
}

/** `name`, `name:port` or `scheme:name:port`. */
export function splitName(id: string): Named | undefined {
  const parts = id.split(":");
  if (parts.length > 3) return undefined;
  const [scheme = "", name = "", port = ""] = parts.length === 3 ? parts : ["", ...parts];
  return name && ["", "http", "https"].includes(scheme) ? { scheme, name, port } : undefined;
}

/** Nobody reaches the server's own machine, or what only a link knows, through it. */
export function isProxyable(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !/^(?:0|127|22[4-9]|23\d)\.|^169\.254\./.test(address);
    case 6:
      return !/^(?:::(?:1|ffff:.*)?$|fe[89ab]|ff)/i.test(address);
    default:
      return false;
  }
}

export function locationOf(
  storage: Storage,
  definition: ResourceDefinition,
  namespace: string | undefined,
  id: string,
  random: Random,
): Location {
  const named = splitName(id);
  if (!named) throw badRequest(`invalid ${definition.singular} request ${JSON.stringify(id.slice(0, 300))}`);
  if (definition === (pods as ResourceDefinition)) return podLocation(storage, namespace, named);
  if (definition === (services as ResourceDefinition))
    return serviceLocation(storage, namespace, named, id, random);
  return nodeLocation(storage, named);
}

function schemeOf({ scheme }: Named): Location["scheme"] {
  return scheme === "https" ? "https" : "http";
}

/** The port that was named, or the first one of the first container that says it has one. */
function podLocation(storage: Storage, namespace: string | undefined, named: Named): Location {
  const pod = storage.get(pods as ResourceDefinition, namespace, named.name).parse() as corev1.Pod;
  const host = pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP ?? "";
  if (!isProxyable(host)) throw badRequest("address not allowed");
  const first = pod.spec.containers.find((c) => c.ports?.length)?.ports?.[0]?.containerPort;
  return { scheme: schemeOf(named), host, port: portNumber(named.port) ?? first, isKubelet: false };
}

function portNumber(text: string): number | undefined {
  if (!text) return undefined;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) throw badRequest(`invalid port ${JSON.stringify(text.slice(0, 100))}`);
  return port;
}

function serviceLocation(
  storage: Storage,
  namespace: string | undefined,
  named: Named,
  id: string,
  random: Random,
): Location {
  const { name } = named;
  const service = storage.get(services as ResourceDefinition, namespace, name).parse() as corev1.Service;
  const backends = readyBackends(storage, service, named.port);
  while (backends.length > 0) {
    const [chosen] = backends.splice(random.int(backends.length), 1);
    const { endpoint, port } = chosen!;
    const host = endpoint.addresses[0] ?? "";
    if (!isProxyable(host) || !isOfPod(storage, service, endpoint, host)) continue;
    return { scheme: schemeOf(named), host, port, isKubelet: false };
  }
  throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(id.slice(0, 300))}`);
}

function readyBackends(storage: Storage, service: Readonly<corev1.Service>, port: string): Backend[] {
  const portName = servicePortName(service, port);
  return [...slicesOf(storage, service)].flatMap((slice) => backendsOf(slice, portName));
}

/**
 * A ready endpoint of a service that the cluster's administrator has named (a webhook, an aggregated API): whatever its
 * endpoints say is trusted. Throws `StatusError`.
 */
export function endpointOf(
  storage: Storage,
  named: { namespace: string; name: string; port: number },
  random: Random,
): { host: string; port: number } {
  const { namespace, name } = named;
  const found = storage.find(services as ResourceDefinition, namespace, name)?.parse();
  if (!found) throw serviceUnavailable(`service ${JSON.stringify(name)} not found`);
  const service = found as corev1.Service;
  if (service.spec.type === "ExternalName")
    return { host: service.spec.externalName ?? "", port: named.port };
  const backends = readyBackends(storage, service, String(named.port));
  if (backends.length === 0)
    throw serviceUnavailable(`no endpoints available for service ${JSON.stringify(name)}`);
  const { endpoint, port } = backends[random.int(backends.length)]!;
  return { host: endpoint.addresses[0] ?? "", port };
}

/** A number is looked up among the service's own ports; endpoints know only names. */
function servicePortName(service: Readonly<corev1.Service>, port: string): string {
  if (!/^\d+$/.test(port)) return port;
  const found = service.spec.ports?.find((each) => each.port === Number(port));
  if (found) return found.name ?? "";
  throw serviceUnavailable(`no service port ${port} found for service "${service.metadata.name}"`);
}

export function* slicesOf(
  storage: Storage,
  { metadata }: Readonly<corev1.Service>,
): Generator<discoveryv1.EndpointSlice> {
  const definition = endpointSlices as ResourceDefinition;
  for (const object of storage.cache(definition).scan(keyPrefix(definition, metadata.namespace))) {
    const slice = object.parse() as discoveryv1.EndpointSlice;
    if (slice.metadata.labels?.["kubernetes.io/service-name"] === metadata.name) yield slice;
  }
}

interface Backend {
  endpoint: discoveryv1.Endpoint;
  port: number;
}

/** Ready ones that have the port of that name. */
export function backendsOf(slice: Readonly<discoveryv1.EndpointSlice>, portName: string): Backend[] {
  const port = slice.ports?.find((each) => (each.name ?? "") === portName)?.port;
  if (!port) return [];
  const ready = (slice.endpoints ?? []).filter((each) => each.conditions?.ready !== false);
  return ready.map((endpoint) => ({ endpoint, port }));
}

/** Whoever writes endpoints by hand may not send this server to any address: it must be that of the pod it names. */
function isOfPod(
  storage: Storage,
  service: Readonly<corev1.Service>,
  { targetRef }: Readonly<discoveryv1.Endpoint>,
  host: string,
): boolean {
  const { namespace } = service.metadata;
  if (targetRef?.kind !== "Pod" || !targetRef.name || (targetRef.namespace ?? namespace) !== namespace)
    return false;
  const pod = storage.find(pods as ResourceDefinition, namespace, targetRef.name)?.parse();
  return (pod as corev1.Pod | undefined)?.status?.podIPs?.some(({ ip }) => ip === host) ?? false;
}

/** The kubelet, unless another port of the node was named. */
function nodeLocation(storage: Storage, named: Named): Location {
  const node = storage.get(nodes as ResourceDefinition, undefined, named.name).parse() as corev1.Node;
  const host = node.status?.addresses?.find((a) => a.type === "InternalIP")?.address;
  const kubeletPort = node.status?.daemonEndpoints?.kubeletEndpoint?.Port;
  if (!host) throw serviceUnavailable(`node ${named.name} does not say where it is reached`);
  const port = portNumber(named.port) ?? kubeletPort;
  if (port === undefined)
    throw serviceUnavailable(`node ${named.name} does not say where its kubelet listens`);
  if (port === kubeletPort) return { scheme: "https", host, port, isKubelet: true };
  if (!isProxyable(host)) throw badRequest("address not allowed");
  return { scheme: schemeOf(named), host, port, isKubelet: false };
}
