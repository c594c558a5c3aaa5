/**
 * One NetworkPolicy as matches. Pure: who the pods are is left to the sets that the matches name.
 * https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/network-policy-v1/
 */
import { createHash } from "node:crypto";
import { type LabelRequirement, matchesLabels, type networkingv1, selectorRequirements } from "#api";
import type { Direction, Family, Match, PeerMatch, PodFacts, PortMatch } from "./model.ts";
import { blockRanges, joinRanges } from "./ranges.ts";

type Policy = Readonly<networkingv1.NetworkPolicy>;
type Peer = Readonly<networkingv1.NetworkPolicyPeer>;
type Port = Readonly<networkingv1.NetworkPolicyPort>;
type Labels = Readonly<Record<string, string>>;

/** What stands in a set: which pods, and what of them. */
export interface SetSource {
  readonly kind: "pods" | "ports";
  /** Of pods that could be its elements: undefined for any. */
  readonly namespace?: string;
  /** The elements that a pod adds. */
  elementsOf(pod: PodFacts, namespaceLabels: Labels | undefined): readonly string[];
}

export interface CompiledPolicy {
  readonly namespace: string;
  /** A name for its chains. */
  readonly id: string;
  readonly selects: readonly LabelRequirement[];
  /** Absent: pods are not isolated in this direction by it. */
  readonly matches: Readonly<Partial<Record<Direction, readonly Match[]>>>;
  readonly sets: ReadonlyMap<string, SetSource>;
}

/** Short and free of what nft does not take in a name. */
export function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

const portMax = 65_535;

class Compiler {
  readonly sets = new Map<string, SetSource>();
  readonly #namespace: string;
  readonly #family: Family;

  constructor(namespace: string, family: Family) {
    this.#namespace = namespace;
    this.#family = family;
  }

  /** A rule without peers is for everybody, one without ports for everything. */
  rule(peers: readonly Peer[], ports: readonly Port[]): Match[] {
    const from = peers.length === 0 ? [undefined] : this.#peers(peers);
    const to = ports.length === 0 ? [undefined] : this.#ports(ports);
    return from.flatMap((peer) => to.map((port) => ({ ...(peer && { peer }), ...(port && { port }) })));
  }

  #peers(peers: readonly Peer[]): PeerMatch[] {
    const blocks = peers.flatMap(({ ipBlock }) => (ipBlock ? blockRanges(ipBlock, this.#family) : []));
    const pods = peers.filter(({ ipBlock }) => !ipBlock).map((peer) => ({ set: this.#podSet(peer) }));
    return blocks.length > 0 ? [...pods, { ranges: joinRanges(blocks) }] : pods;
  }

  /** Without a namespace selector the policy's own namespace is meant. */
  #podSet({ podSelector, namespaceSelector }: Peer): string {
    const podRequirements = selectorRequirements(podSelector);
    const spaceRequirements = namespaceSelector && selectorRequirements(namespaceSelector);
    const namespace = spaceRequirements ? undefined : this.#namespace;
    const name = `s_${shortHash(JSON.stringify([namespace, spaceRequirements, podRequirements]))}`;
    this.sets.set(name, {
      kind: "pods",
      ...(namespace === undefined ? {} : { namespace }),
      elementsOf(pod, labels) {
        if (namespace !== undefined && pod.namespace !== namespace) return [];
        if (spaceRequirements && !(labels && matchesLabels(spaceRequirements, labels))) return [];
        return matchesLabels(podRequirements, pod.labels) ? [pod.address] : [];
      },
    });
    return name;
  }

  #ports(ports: readonly Port[]): PortMatch[] {
    const numbers = new Map<string, [number, number][]>();
    const whole = new Set<string>();
    const matches: PortMatch[] = [];
    for (const { protocol: upper = "TCP", port, endPort } of ports) {
      const protocol = upper.toLowerCase();
      if (port === undefined) whole.add(protocol);
      else if (typeof port === "string") matches.push({ named: this.#portSet(port, protocol) });
      else numbers.set(protocol, [...(numbers.get(protocol) ?? []), [port, endPort ?? port]]);
    }
    for (const protocol of whole) matches.push({ protocol });
    for (const [protocol, all] of numbers) {
      if (whole.has(protocol)) continue;
      const joined = joinRanges(all.map(([from, to]) => ({ first: BigInt(from), last: BigInt(to) })));
      const ranges = joined.map(
        ({ first, last }) => [Number(first), Math.min(Number(last), portMax)] as const,
      );
      matches.push({ protocol, ranges });
    }
    return matches;
  }

  /** A name means another number in every pod that has such a port. */
  #portSet(wanted: string, protocol: string): string {
    const name = `n_${shortHash(JSON.stringify([wanted, protocol]))}`;
    this.sets.set(name, {
      kind: "ports",
      elementsOf: ({ address, ports }) =>
        ports
          .filter((each) => each.name === wanted && each.protocol === protocol)
          .map(({ port }) => `${address} . ${protocol} . ${port}`),
    });
    return name;
  }
}

export function compilePolicy({ metadata, spec }: Policy, family: Family): CompiledPolicy {
  const { namespace = "", name, uid } = metadata;
  const compiler = new Compiler(namespace, family);
  const types = spec.policyTypes ?? ["Ingress"];
  const ingress = (spec.ingress ?? []).flatMap(({ from = [], ports = [] }) => compiler.rule(from, ports));
  const egress = (spec.egress ?? []).flatMap(({ to = [], ports = [] }) => compiler.rule(to, ports));
  return {
    namespace,
    id: shortHash(uid ?? `${namespace}/${name}`),
    selects: selectorRequirements(spec.podSelector),
    matches: {
      ...(types.includes("Ingress") ? { ingress } : {}),
      ...(types.includes("Egress") ? { egress } : {}),
    },
    sets: compiler.sets,
  };
}
