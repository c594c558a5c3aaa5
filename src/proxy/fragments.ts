/**
 * What one Service, or one pod with host ports, adds to the nftables sets of this node: pure functions of the objects.
 * https://kubernetes.io/docs/reference/networking/virtual-ips/
 */
import { isIPv6 } from "node:net";
import type { corev1 } from "#api";
import { type Place, type Service, type Slice, type Target, type Targets, targetsOf } from "./endpoints.ts";

export type Family = "ip" | "ip6";

/** Where this node is. */
export interface ProxyPlace extends Place {
  family: Family;
  /** NodePorts and host ports answer on these, of the family. */
  nodeAddresses: readonly string[];
}

/** The nftables maps and sets; the elements of a set have the value "". */
export const mapNames = ["services", "endpoints", "inner", "innerEndpoints", "sticky", "refused"] as const;
export const setNames = ["hairpins", "restricted", "allowed", "clusterIps"] as const;
export type SetName = (typeof mapNames)[number] | (typeof setNames)[number];

/**
 * How a front balances: `n` at random, `h` by who asks (session affinity), `l` and `s` the same without ever touching
 * the source address, `i` what the cluster's own see of a front that keeps to local endpoints.
 */
export const kinds = ["n", "h", "l", "s", "i"] as const;
export type Kind = (typeof kinds)[number];

export interface Fragment {
  readonly elements: ReadonlyMap<SetName, ReadonlyMap<string, string>>;
  /** The most endpoints behind one front, by kind: chains up to these counts must exist. */
  readonly largest: Readonly<Partial<Record<Kind, number>>>;
  /** Seconds for which an affinity lasts. */
  readonly timeoutSeconds?: number;
}

/** nft takes no more in one `numgen`; upstream's slices hold 100 each. */
const targetsMax = 4096;

class Builder {
  readonly elements = new Map<SetName, Map<string, string>>();
  readonly largest: Partial<Record<Kind, number>> = {};

  add(set: SetName, element: string, value = ""): void {
    const all = this.elements.get(set);
    if (all) all.set(element, value);
    else this.elements.set(set, new Map([[element, value]]));
  }

  /** The balancing of one front among `targets`. */
  balance(front: string, kind: Kind, targets: readonly Target[]): void {
    const used = targets.slice(0, targetsMax);
    this.largest[kind] = Math.max(this.largest[kind] ?? 0, used.length);
    this.add(kind === "i" ? "inner" : "services", front, `goto ${kind}${used.length}`);
    for (const [i, { address, port }] of used.entries()) {
      this.add(kind === "i" ? "innerEndpoints" : "endpoints", `${front} . ${i}`, `${address} . ${port}`);
      this.add("hairpins", `${address} . ${address}`);
    }
  }
}

function familyOf(address: string): Family {
  return isIPv6(address) ? "ip6" : "ip";
}

function clusterAddresses({ spec }: Service, family: Family): string[] {
  const all = spec.clusterIPs?.length ? spec.clusterIPs : [spec.clusterIP ?? ""];
  return all.filter((address) => address && address !== "None" && familyOf(address) === family);
}

/** Addresses of load balancers that hand the traffic on as it came; those that do not (`Proxy`) are left to them. */
function balancerAddresses({ status }: Service, family: Family): string[] {
  const ingress = status?.loadBalancer?.ingress ?? [];
  return ingress.flatMap(({ ip, ipMode }) =>
    ip && ipMode !== "Proxy" && familyOf(ip) === family ? [ip] : [],
  );
}

/** What a Service needs here; undefined when it has no address of its own. */
export function serviceFragment(
  service: Service,
  slices: readonly Slice[],
  place: ProxyPlace,
): Fragment | undefined {
  const { spec } = service;
  const { family } = place;
  const addresses = clusterAddresses(service, family);
  if (spec.type === "ExternalName" || addresses.length === 0) return undefined;
  const builder = new Builder();
  const own = slices.filter(({ addressType }) => addressType === (family === "ip6" ? "IPv6" : "IPv4"));
  const timeoutSeconds =
    spec.sessionAffinity === "ClientIP"
      ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800)
      : undefined;
  const balancers = balancerAddresses(service, family);
  const external = (spec.externalIPs ?? []).filter((address) => familyOf(address) === family);
  for (const address of addresses) builder.add("clusterIps", address);
  for (const port of spec.ports ?? []) {
    const tail = `${(port.protocol ?? "TCP").toLowerCase()} . `;
    const targets = targetsOf(own, port.name ?? "", place);
    const make = { builder, targets, timeoutSeconds };
    for (const address of addresses)
      addFront(make, `${address} . ${tail}${port.port}`, spec.internalTrafficPolicy === "Local", false);
    const keepsLocal = spec.externalTrafficPolicy === "Local";
    for (const address of [...external, ...balancers])
      addFront(make, `${address} . ${tail}${port.port}`, keepsLocal, true);
    for (const address of balancers) restrict(builder, service, `${address} . ${tail}${port.port}`, family);
    if (!port.nodePort) continue;
    for (const address of place.nodeAddresses)
      addFront(make, `${address} . ${tail}${port.nodePort}`, keepsLocal, true);
  }
  return { ...builder, ...(timeoutSeconds === undefined ? {} : { timeoutSeconds }) };
}

interface FrontMaking {
  builder: Builder;
  targets: Targets;
  timeoutSeconds: number | undefined;
}

/** One address and port that clients connect to, and where its connections go. */
function addFront(
  { builder, targets, timeoutSeconds }: FrontMaking,
  front: string,
  keepsLocal: boolean,
  external: boolean,
): void {
  const used = keepsLocal ? targets.local : targets.cluster;
  // Where clients cannot be remembered (see the ruleset) their address picks the endpoint.
  if (timeoutSeconds !== undefined && used.length > 0 && !front.includes(":"))
    builder.add("sticky", front, `jump t${timeoutSeconds}`);
  // To the cluster's own, a front that is meant for outside is a shortcut to every endpoint.
  if (keepsLocal && external && targets.cluster.length > 0) builder.balance(front, "i", targets.cluster);
  if (used.length === 0) {
    builder.add("refused", front, targets.anywhere && keepsLocal ? "drop" : "goto rejection");
    return;
  }
  const keepsSource = keepsLocal && external;
  const kind = timeoutSeconds === undefined ? (keepsSource ? "l" : "n") : keepsSource ? "s" : "h";
  builder.balance(front, kind, used);
}

/** `loadBalancerSourceRanges`: everybody else is dropped. */
function restrict(builder: Builder, { spec }: Service, front: string, family: Family): void {
  const ranges = (spec.loadBalancerSourceRanges ?? []).map((range) => range.trim());
  if (ranges.length === 0) return;
  builder.add("restricted", front);
  for (const range of ranges) {
    const [address = "", length] = range.split("/");
    if (familyOf(address) === family)
      builder.add("allowed", `${front} . ${length === "0" ? anyOf(family) : range}`);
  }
}

const anyOf = (family: Family) => (family === "ip6" ? "::/0" : "0.0.0.0/0");

const loopbackOf = (family: Family) => (family === "ip6" ? [] : ["127.0.0.1"]);
const unspecified = ["", "0.0.0.0", "::"];

export function hasHostPorts({ spec }: Readonly<corev1.Pod>): boolean {
  return [...(spec.initContainers ?? []), ...spec.containers].some((c) => c.ports?.some((p) => p.hostPort));
}

/** Where a pod's host ports lead, of the family; undefined for a pod without an address, or that has ended. */
export function hostPortAddress({ spec, status }: Readonly<corev1.Pod>, family: Family): string | undefined {
  if (spec.hostNetwork || status?.phase === "Succeeded" || status?.phase === "Failed") return undefined;
  const all = [status?.podIP ?? "", ...(status?.podIPs ?? []).map(({ ip }) => ip ?? "")];
  return all.find((address) => address && familyOf(address) === family);
}

/** Host ports of a pod on this node, as the CNI portmap plugin would map them. */
export function hostPortFragment(pod: Readonly<corev1.Pod>, place: ProxyPlace): Fragment | undefined {
  const address = hostPortAddress(pod, place.family);
  if (!address || !hasHostPorts(pod)) return undefined;
  const builder = new Builder();
  for (const container of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    for (const { hostPort, hostIP = "", containerPort, protocol = "TCP" } of container.ports ?? []) {
      if (!hostPort) continue;
      const anywhere = [...place.nodeAddresses, ...loopbackOf(place.family)];
      const fronts = unspecified.includes(hostIP)
        ? anywhere
        : familyOf(hostIP) === place.family
          ? [hostIP]
          : [];
      for (const front of fronts) {
        const target = { address, port: containerPort };
        builder.balance(`${front} . ${protocol.toLowerCase()} . ${hostPort}`, "l", [target]);
      }
    }
  }
  return builder;
}
