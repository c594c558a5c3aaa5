/**
 * NetworkPolicies read slowly and literally, connection by connection, as the documentation tells them: what the compiled
 * rules are held against. https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
import { BlockList } from "node:net";
import { type networkingv1, selectorMatches } from "#api";
import type { Direction, PodFacts } from "./model.ts";

export interface World {
  pods: ReadonlyMap<string, PodFacts>;
  namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  policies: readonly Readonly<networkingv1.NetworkPolicy>[];
}

export interface Connection {
  from: string;
  to: string;
  protocol: string;
  port: number;
}

type Peer = Readonly<networkingv1.NetworkPolicyPeer>;
type Port = Readonly<networkingv1.NetworkPolicyPort>;

export function isAllowed(world: World, connection: Connection): boolean {
  if (connection.from === connection.to) return true;
  return isAllowedOneWay(world, connection, "egress") && isAllowedOneWay(world, connection, "ingress");
}

function podAt({ pods }: World, address: string): PodFacts | undefined {
  return [...pods.values()].find((pod) => pod.address === address);
}

function isAllowedOneWay(world: World, connection: Connection, direction: Direction): boolean {
  const [own, other] =
    direction === "ingress" ? [connection.to, connection.from] : [connection.from, connection.to];
  const pod = podAt(world, own);
  if (!pod?.local) return true;
  const type = direction === "ingress" ? "Ingress" : "Egress";
  const isolating = world.policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace &&
      selectorMatches(spec.podSelector, pod.labels) &&
      spec.policyTypes?.includes(type),
  );
  if (isolating.length === 0) return true;
  return isolating.some(({ metadata, spec }) => {
    const rules =
      direction === "ingress"
        ? (spec.ingress ?? []).map(({ from, ports }) => ({ peers: from, ports }))
        : (spec.egress ?? []).map(({ to, ports }) => ({ peers: to, ports }));
    return rules.some(
      ({ peers = [], ports = [] }) =>
        (peers.length === 0 || peers.some((peer) => isPeer(world, metadata.namespace ?? "", peer, other))) &&
        (ports.length === 0 || ports.some((port) => isPort(world, port, connection))),
    );
  });
}

function isPeer(world: World, ownNamespace: string, peer: Peer, address: string): boolean {
  const { ipBlock, namespaceSelector, podSelector } = peer;
  if (ipBlock) return isIn(ipBlock.cidr, address) && !(ipBlock.except ?? []).some((e) => isIn(e, address));
  const pod = podAt(world, address);
  if (!pod) return false;
  if (podSelector && !selectorMatches(podSelector, pod.labels)) return false;
  if (!namespaceSelector) return pod.namespace === ownNamespace;
  const labels = world.namespaces.get(pod.namespace);
  return labels !== undefined && selectorMatches(namespaceSelector, labels);
}

function isIn(cidr: string, address: string): boolean {
  const [network = "", length] = cidr.split("/");
  const list = new BlockList();
  list.addSubnet(network, Number(length), "ipv4");
  return list.check(address, "ipv4");
}

function isPort(world: World, { protocol = "TCP", port, endPort }: Port, connection: Connection): boolean {
  if (protocol.toLowerCase() !== connection.protocol) return false;
  if (port === undefined) return true;
  if (typeof port === "number") return connection.port >= port && connection.port <= (endPort ?? port);
  const target = podAt(world, connection.to);
  return (target?.ports ?? []).some(
    (each) => each.name === port && each.protocol === connection.protocol && each.port === connection.port,
  );
}
