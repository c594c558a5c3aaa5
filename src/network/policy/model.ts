/**
 * What the policies of a node come to: chains of matches, sets of addresses, and which pod goes through which chain.
 * Plain data, so that it can be compared with what NetworkPolicies say, and with what the kernel has.
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
export type Direction = "ingress" | "egress";
export const directions: readonly Direction[] = ["ingress", "egress"];

export type Family = "ip" | "ip6";

export interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** The other side of a connection: pods, by their set, or addresses. */
export type PeerMatch = { readonly set: string } | { readonly ranges: readonly Range[] };

/** What the connection goes to: ports of a protocol (all of them without ranges), or ports by name, by their set. */
export type PortMatch =
  | { readonly protocol: string; readonly ranges?: readonly (readonly [from: number, to: number])[] }
  | { readonly named: string };

/** Allows what matches both; an absent half matches everything. */
export interface Match {
  readonly peer?: PeerMatch;
  readonly port?: PortMatch;
}

/** What a pod says of itself that policies look at. */
export interface PodFacts {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Of the family that is looked at. */
  readonly address: string;
  readonly ports: readonly { readonly name: string; readonly protocol: string; readonly port: number }[];
  /** On this node: what policies select is enforced here. */
  readonly local: boolean;
}
