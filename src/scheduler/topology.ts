/**
 * Pods counted by the domains of a node label, kept right by every event: what spreading and affinity ask costs the
 * same however many pods there are.
 */
import { type LabelRequirements, matchesLabels, type metav1, selectorRequirements } from "#api";
import type { NodeInfo } from "./node-info.ts";
import type { PodInfo, PodShape } from "./pod-info.ts";

/** One label key: each node's value of it as a small number, -1 where the node has no such label. */
export class Topology {
  readonly key: string;
  readonly #numbers = new Map<string, number>();
  readonly #domains: number[] = [];
  readonly #nodesIn: number[] = [];
  #labelled = 0;
  #inUse = 0;

  constructor(key: string) {
    this.key = key;
  }

  /** Of the node in this place. */
  domainAt(slot: number): number {
    return this.#domains[slot] ?? -1;
  }

  /** All these nodes are in one domain: nothing can be told apart by it. */
  isUniform(nodes: number): boolean {
    return this.#inUse <= 1 && this.#labelled === nodes;
  }

  set(slot: number, value: string | undefined): void {
    const before = this.domainAt(slot);
    if (before >= 0) this.#change(before, -1);
    const domain = value === undefined ? -1 : this.#number(value);
    this.#domains[slot] = domain;
    if (domain >= 0) this.#change(domain, 1);
  }

  #number(value: string): number {
    const known = this.#numbers.get(value);
    if (known !== undefined) return known;
    this.#numbers.set(value, this.#nodesIn.length);
    return this.#nodesIn.push(0) - 1;
  }

  #change(domain: number, by: 1 | -1): void {
    const before = this.#nodesIn[domain]!;
    this.#nodesIn[domain] = before + by;
    this.#labelled += by;
    if (before === 0) this.#inUse++;
    else if (before + by === 0) this.#inUse--;
  }
}

/** Pods of these namespaces that match; without a selector none does. */
export interface PodMatcher {
  readonly namespaces: readonly string[];
  readonly selector: metav1.LabelSelector | undefined;
}

export interface CountQuestion {
  readonly topologyKey: string;
  /** A pod counts that matches all of them. */
  readonly matchers: readonly PodMatcher[];
  /** Whether pods count that are being deleted. */
  readonly terminating: boolean;
  /** Nodes that are left out are no domain, and their pods do not count. `key` tells one such choice from another. */
  readonly eligible?: { readonly key: string; of(node: NodeInfo): boolean };
}

export function keyOfQuestion({ topologyKey, matchers, terminating, eligible }: CountQuestion): string {
  return JSON.stringify([topologyKey, matchers, terminating, eligible?.key]);
}

interface Matcher {
  namespaces: ReadonlySet<string>;
  requirements: LabelRequirements | undefined;
}

export class DomainCounts {
  readonly topology: Topology;
  readonly namespaces: ReadonlySet<string>;
  readonly #question: CountQuestion;
  readonly #matchers: readonly Matcher[];
  readonly #verdicts = new WeakMap<PodShape, boolean>();
  readonly #pods: number[] = [];
  readonly #nodes: number[] = [];
  readonly #eligible: boolean[] = [];
  /** How many domains have so many pods. */
  readonly #domainsWith: number[] = [];
  #domains = 0;
  #total = 0;

  constructor(question: CountQuestion, topology: Topology) {
    this.topology = topology;
    this.#question = question;
    this.#matchers = question.matchers.map(({ namespaces, selector }) => ({
      namespaces: new Set(namespaces),
      requirements: selector && selectorRequirements(selector),
    }));
    this.namespaces = this.#matchers[0]?.namespaces ?? new Set();
  }

  /** Pods in the domain of the node in this place; undefined: it is in none. */
  at(slot: number): number | undefined {
    const domain = this.topology.domainAt(slot);
    return domain < 0 ? undefined : (this.#pods[domain] ?? 0);
  }

  get domains(): number {
    return this.#domains;
  }

  get total(): number {
    return this.#total;
  }

  /** In the domain that has the fewest. */
  get least(): number {
    const least = this.#domainsWith.findIndex((domains) => domains > 0);
    return Math.max(0, least);
  }

  addNode(node: NodeInfo, pods: Iterable<PodInfo> = node.pods.values()): void {
    const domain = this.topology.domainAt(node.slot);
    const eligible = domain >= 0 && (this.#question.eligible?.of(node) ?? true);
    this.#eligible[node.slot] = eligible;
    if (!eligible) return;
    const before = this.#nodes[domain] ?? 0;
    this.#nodes[domain] = before + 1;
    if (before === 0) {
      this.#domains++;
      this.#pods[domain] = 0;
      this.#domainsWith[0] = (this.#domainsWith[0] ?? 0) + 1;
    }
    for (const info of pods) this.addPod(info, node.slot, 1);
  }

  /** As long as its place still has its old domain. */
  removeNode(node: NodeInfo): void {
    if (!this.#eligible[node.slot]) return;
    for (const info of node.pods.values()) this.addPod(info, node.slot, -1);
    this.#eligible[node.slot] = false;
    const domain = this.topology.domainAt(node.slot);
    this.#nodes[domain] = this.#nodes[domain]! - 1;
    if (this.#nodes[domain] !== 0) return;
    this.#domains--;
    this.#domainsWith[this.#pods[domain]!] = this.#domainsWith[this.#pods[domain]!]! - 1;
  }

  addPod(info: PodInfo, slot: number, sign: 1 | -1): void {
    if (!this.#eligible[slot] || !this.#matches(info)) return;
    const domain = this.topology.domainAt(slot);
    const before = this.#pods[domain]!;
    const after = before + sign;
    this.#pods[domain] = after;
    this.#total += sign;
    this.#domainsWith[before] = this.#domainsWith[before]! - 1;
    this.#domainsWith[after] = (this.#domainsWith[after] ?? 0) + 1;
  }

  #matches({ pod, shape }: PodInfo): boolean {
    if (pod.metadata.deletionTimestamp && !this.#question.terminating) return false;
    return this.concerns(shape);
  }

  /** Whether pods of that shape count, on nodes that do. */
  concerns(shape: PodShape): boolean {
    let verdict = this.#verdicts.get(shape);
    if (verdict === undefined) {
      verdict = this.#matchers.every(
        ({ namespaces, requirements }) =>
          namespaces.has(shape.namespace) &&
          requirements !== undefined &&
          matchesLabels(requirements, shape.labels),
      );
      this.#verdicts.set(shape, verdict);
    }
    return verdict;
  }
}
