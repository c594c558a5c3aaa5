/**
 * What preemption has found out about every node for pods of one shape, remembered until the node changes, with the
 * nodes that would do in order of the harm that is done there: a thousand important pods of a Deployment cost little
 * more than one. See docs/decisions/0007-scheduling-by-class.md.
 */
import type { SchedulerCache } from "./cache.ts";
import { KeyedHeap } from "./heap.ts";
import type { NodeInfo } from "./node-info.ts";
import { type PodInfo, priorityOf } from "./pod-info.ts";

export interface Candidate {
  readonly nodeName: string;
  readonly victims: readonly PodInfo[];
  readonly violations: number;
  /** The harm it does, by what weighs most. */
  readonly harm: readonly number[];
}

export type Verdict = { candidate: Candidate } | { reasons: readonly string[] };

interface Entry {
  readonly key: string;
  readonly candidate: Candidate;
}

export class PreemptionCandidates {
  readonly #cache: SchedulerCache;
  readonly #verdicts: (Verdict | undefined)[] = [];
  /** Nodes of which nothing is known. */
  readonly #unknown = new Set<number>();
  readonly #entries = new KeyedHeap<Entry>(
    ({ key }) => key,
    (a, b) => harmsLess(a.candidate, b.candidate),
  );
  readonly #reasons = new Map<string, number>();
  #harmless = 0;
  #seen = -1;

  constructor(cache: SchedulerCache) {
    this.#cache = cache;
  }

  /**
   * The node where least harm is done, of at least `wanted` that would do; the search for more of them begins `from`
   * there. Undefined: there is none.
   */
  find(wanted: number, from: number, findOut: (node: NodeInfo) => Verdict): Candidate | undefined {
    this.#refresh(from);
    for (const slot of this.#unknown) {
      if (this.#entries.size >= wanted && this.#harmless > 0) break;
      this.#unknown.delete(slot);
      const node = this.#cache.at(slot);
      if (node) this.#learn(slot, findOut(node));
    }
    return this.#entries.peek()?.candidate;
  }

  /** Why the others will not do, and how many of them. */
  reasons(): ReadonlyMap<string, number> {
    return this.#reasons;
  }

  #refresh(from: number): void {
    const cache = this.#cache;
    const { slots } = cache;
    if (this.#seen >= 0 && cache.remembers(this.#seen)) {
      for (const slot of cache.changedSince(this.#seen)) this.#forget(slot);
    } else {
      for (let i = 0; i < slots; i++) this.#forget((from + i) % slots);
    }
    this.#seen = cache.changes;
  }

  #learn(slot: number, verdict: Verdict): void {
    this.#verdicts[slot] = verdict;
    if ("candidate" in verdict) {
      this.#entries.set({ key: String(slot), candidate: verdict.candidate });
      if (verdict.candidate.violations === 0) this.#harmless++;
      return;
    }
    for (const reason of verdict.reasons) this.#count(reason, 1);
  }

  #forget(slot: number): void {
    this.#unknown.add(slot);
    const verdict = this.#verdicts[slot];
    if (!verdict) return;
    this.#verdicts[slot] = undefined;
    if ("candidate" in verdict) {
      this.#entries.delete(String(slot));
      if (verdict.candidate.violations === 0) this.#harmless--;
      return;
    }
    for (const reason of verdict.reasons) this.#count(reason, -1);
  }

  #count(reason: string, more: 1 | -1): void {
    const count = (this.#reasons.get(reason) ?? 0) + more;
    if (count > 0) this.#reasons.set(reason, count);
    else this.#reasons.delete(reason);
  }
}

export function candidateOf(nodeName: string, going: readonly PodInfo[], violations: number): Candidate {
  const victims = [...going].sort(byImportance);
  return { nodeName, victims, violations, harm: harmOf(victims, violations) };
}

/** Without a start it has not begun: the youngest. */
function startOf({ pod }: PodInfo): number {
  return Date.parse(pod.status?.startTime ?? "") || Number.MAX_SAFE_INTEGER;
}

export function byImportance(a: PodInfo, b: PodInfo): number {
  return priorityOf(b.pod) - priorityOf(a.pod) || startOf(a) - startOf(b);
}

/** Victims may have negative priorities: fewer of them must still be better. */
const priorityShift = 2 ** 31;

function harmOf(victims: readonly PodInfo[], violations: number): readonly number[] {
  const top = priorityOf(victims[0]!.pod);
  const sum = victims.reduce((total, { pod }) => total + priorityOf(pod) + priorityShift, 0);
  // The most important of the victims should have run for the shortest time.
  const earliest = Math.min(...victims.filter(({ pod }) => priorityOf(pod) === top).map(startOf));
  return [violations, top, sum, victims.length, -earliest];
}

export function harmsLess({ harm }: Candidate, other: Candidate): boolean {
  for (let i = 0; i < harm.length; i++) {
    const difference = harm[i]! - other.harm[i]!;
    if (difference !== 0) return difference < 0;
  }
  return false;
}
