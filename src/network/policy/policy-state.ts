/**
 * What must be enforced on this node, kept up with every change of pods, namespaces and policies at the cost of that
 * change. Only policies that select a pod of this node have chains and sets here. No input or output.
 */
import { matchesLabels, type networkingv1 } from "#api";
import { type CompiledPolicy, compilePolicy, shortHash } from "./compile.ts";
import { ElementSet } from "./element-set.ts";
import { type Direction, directions, type Family, type Match, type PodFacts } from "./model.ts";

type Labels = Readonly<Record<string, string>>;

/** A chain of one policy's matches, or one that tries the chains of several and drops what none allows. */
export type Chain = { readonly matches: readonly Match[] } | { readonly tries: readonly string[] };

/** The chains that a pod of this node goes through; absent where it is not isolated. */
export interface Assignment {
  readonly address: string;
  readonly chains: Readonly<Partial<Record<Direction, string>>>;
  /** The policies behind them. */
  readonly policies: readonly string[];
}

interface Used<T> {
  readonly value: T;
  users: number;
}

export class PolicyState {
  readonly family: Family;
  readonly chains = new Map<string, Chain>();
  readonly sets = new Map<string, ElementSet>();
  readonly assignments = new Map<string, Assignment>();
  /** Names of chains and sets that came, went or changed since they were last looked at. */
  readonly dirtyChains = new Set<string>();
  readonly dirtySets = new Set<string>();

  readonly #pods = new Map<string, PodFacts>();
  readonly #podsByNamespace = new Map<string, Set<string>>();
  readonly #namespaces = new Map<string, Labels>();
  readonly #policies = new Map<string, CompiledPolicy>();
  readonly #policiesByNamespace = new Map<string, Set<string>>();
  /** Policies that select a pod here. */
  readonly #active = new Map<string, Used<CompiledPolicy>>();
  readonly #groups = new Map<string, number>();

  constructor(family: Family) {
    this.family = family;
  }

  get isEmpty(): boolean {
    return this.#policies.size === 0;
  }

  /** For a kernel that has nothing yet. */
  everythingIsDirty(): void {
    this.dirtyChains.clear();
    this.dirtySets.clear();
    for (const name of this.chains.keys()) this.dirtyChains.add(name);
    for (const name of this.sets.keys()) this.dirtySets.add(name);
  }

  setNamespace(name: string, labels: Labels | undefined): void {
    if (labels) this.#namespaces.set(name, labels);
    else this.#namespaces.delete(name);
    for (const key of this.#podsByNamespace.get(name) ?? []) this.#refreshSets(key);
  }

  setPod(key: string, facts: PodFacts | undefined): void {
    const before = this.#pods.get(key);
    if (!before && !facts) return;
    const namespace = (facts ?? before)!.namespace;
    if (facts) {
      this.#pods.set(key, facts);
      membersOf(this.#podsByNamespace, namespace).add(key);
    } else {
      this.#pods.delete(key);
      remove(this.#podsByNamespace, namespace, key);
    }
    this.#refreshSets(key);
    if (before?.local || facts?.local) this.#assign(key);
  }

  setPolicy(key: string, policy: Readonly<networkingv1.NetworkPolicy> | undefined): void {
    const before = this.#policies.get(key);
    const namespace = (before ?? policy?.metadata)?.namespace ?? "";
    const touched = [...(this.#podsByNamespace.get(namespace) ?? [])].filter(
      (pod) => this.#pods.get(pod)?.local,
    );
    if (before) {
      this.#policies.delete(key);
      remove(this.#policiesByNamespace, namespace, key);
      for (const pod of touched) this.#assign(pod);
    }
    if (!policy) return;
    this.#policies.set(key, compilePolicy(policy, this.family));
    membersOf(this.#policiesByNamespace, namespace).add(key);
    for (const pod of touched) this.#assign(pod);
  }

  #refreshSets(key: string): void {
    const pod = this.#pods.get(key);
    const labels = pod && this.#namespaces.get(pod.namespace);
    for (const [name, set] of this.sets) if (set.set(key, pod, labels)) this.dirtySets.add(name);
  }

  /** Which chains a pod goes through, from what selects it now. */
  #assign(key: string): void {
    const before = this.assignments.get(key);
    const after = this.#assignmentOf(key);
    // What both have is never let go of between.
    for (const policy of after?.policies ?? []) this.#activate(policy);
    for (const direction of directions) {
      const chain = after?.chains[direction];
      if (chain) this.#useGroup(chain, direction, after.policies);
    }
    if (after) this.assignments.set(key, after);
    else this.assignments.delete(key);
    for (const direction of directions) {
      const chain = before?.chains[direction];
      if (chain) this.#leaveGroup(chain);
    }
    for (const policy of before?.policies ?? []) this.#deactivate(policy);
  }

  #assignmentOf(key: string): Assignment | undefined {
    const pod = this.#pods.get(key);
    if (!pod?.local) return undefined;
    const policies = [...(this.#policiesByNamespace.get(pod.namespace) ?? [])]
      .filter((policy) => matchesLabels(this.#policies.get(policy)!.selects, pod.labels))
      .sort();
    if (policies.length === 0) return undefined;
    const chains: Partial<Record<Direction, string>> = {};
    for (const direction of directions) {
      const ids = this.#idsOf(policies, direction);
      if (ids.length > 0) chains[direction] = `${direction}_${shortHash(ids.join())}`;
    }
    return { address: pod.address, chains, policies };
  }

  #idsOf(policies: readonly string[], direction: Direction): string[] {
    return policies.flatMap((key) => {
      const { id, matches } = this.#policies.get(key)!;
      return matches[direction] ? [chainOf(direction, id)] : [];
    });
  }

  #useGroup(name: string, direction: Direction, policies: readonly string[]): void {
    const users = this.#groups.get(name) ?? 0;
    this.#groups.set(name, users + 1);
    if (users > 0) return;
    this.chains.set(name, { tries: this.#idsOf(policies, direction) });
    this.dirtyChains.add(name);
  }

  #leaveGroup(name: string): void {
    const users = this.#groups.get(name) ?? 0;
    if (users > 1) {
      this.#groups.set(name, users - 1);
      return;
    }
    this.#groups.delete(name);
    this.chains.delete(name);
    this.dirtyChains.add(name);
  }

  #activate(key: string): void {
    const known = this.#active.get(key);
    if (known) {
      known.users++;
      return;
    }
    const policy = this.#policies.get(key)!;
    this.#active.set(key, { value: policy, users: 1 });
    for (const direction of directions) {
      const matches = policy.matches[direction];
      if (!matches) continue;
      this.chains.set(chainOf(direction, policy.id), { matches });
      this.dirtyChains.add(chainOf(direction, policy.id));
    }
    for (const [name, source] of policy.sets) {
      let set = this.sets.get(name);
      if (!set) {
        set = new ElementSet(source);
        for (const [pod, facts] of this.#pods) set.set(pod, facts, this.#namespaces.get(facts.namespace));
        this.sets.set(name, set);
        this.dirtySets.add(name);
      }
      set.users++;
    }
  }

  #deactivate(key: string): void {
    const known = this.#active.get(key);
    if (!known || --known.users > 0) return;
    this.#active.delete(key);
    const policy = known.value;
    for (const direction of directions) {
      if (!policy.matches[direction]) continue;
      this.chains.delete(chainOf(direction, policy.id));
      this.dirtyChains.add(chainOf(direction, policy.id));
    }
    for (const name of policy.sets.keys()) {
      const set = this.sets.get(name);
      if (!set || --set.users > 0) continue;
      this.sets.delete(name);
      this.dirtySets.add(name);
    }
  }
}

function chainOf(direction: Direction, id: string): string {
  return `${direction}_of_${id}`;
}

function membersOf(index: Map<string, Set<string>>, name: string): Set<string> {
  let members = index.get(name);
  if (!members) {
    members = new Set();
    index.set(name, members);
  }
  return members;
}

function remove(index: Map<string, Set<string>>, name: string, member: string): void {
  const members = index.get(name);
  members?.delete(member);
  if (members?.size === 0) index.delete(name);
}
