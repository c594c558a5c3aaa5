/**
 * The cycle of a group of pods: one after the other they are given nodes, each as if the ones before it were there; if
 * enough of them fit they are all bound, if not none is. Where pods must be near each other, every domain is tried, and
 * the one that holds most of them is taken.
 * https://github.com/kubernetes/enhancements/tree/master/keps/sig-scheduling/4671-gang-scheduling
 */
import type { Binder } from "../binder.ts";
import type { SchedulerCache } from "../cache.ts";
import type { NoNode, SchedulingCycle } from "../cycle.ts";
import type { NodeInfo } from "../node-info.ts";
import type { PodInfo } from "../pod-info.ts";
import type { Preemption, Preemptor } from "../preemption.ts";
import type { QueuedPod } from "../queue.ts";
import { minCountOf, type PodGroup } from "./group-lookups.ts";

/** What is said of a group as a whole. */
export const unschedulable = "pod group is unschedulable";

export interface GroupMember {
  readonly queued: QueuedPod;
  readonly info: PodInfo;
}

/** A pod with the node it was given, if only in a trial. */
interface Placed extends GroupMember {
  readonly nodeName: string;
  /** The node that was being made ready for it before. */
  readonly nominated: string | undefined;
}

interface Failed extends GroupMember {
  /** Undefined: there was a node, but something else it needs was taken meanwhile. */
  readonly failure: NoNode | undefined;
  /** Pods that have been told to go are still on the node kept for it. */
  readonly keepsNomination?: boolean;
}

interface Preempting extends GroupMember {
  readonly choice: Preemption;
  readonly rejectedBy: ReadonlySet<string>;
}

export type GroupResult =
  /** The places are reserved. */
  | { kind: "placed"; placed: readonly Placed[]; failed: readonly Failed[] }
  /** They will be there when these pods have gone. */
  | {
      kind: "preempt";
      placed: readonly Placed[];
      failed: readonly Failed[];
      preempting: readonly Preempting[];
    }
  /** `feasible`: those that would have had a place. `message`: instead of each pod's own. */
  | { kind: "none"; feasible: readonly GroupMember[]; failed: readonly Failed[]; message?: string };

export interface GroupCycleOptions {
  readonly cache: SchedulerCache;
  readonly cycle: SchedulingCycle;
  readonly preemptor: Preemptor;
  readonly binder: Binder;
}

interface Attempt {
  placed: Placed[];
  failed: Failed[];
  preempting: Preempting[];
}

type Within = (node: NodeInfo) => boolean;

export class GroupCycle {
  readonly #options: GroupCycleOptions;

  constructor(options: GroupCycleOptions) {
    this.#options = options;
  }

  /** `there`: the nodes of those that have one already. */
  schedule(group: PodGroup, members: readonly GroupMember[], there: readonly string[]): GroupResult {
    const isEnough = ({ placed }: Attempt) =>
      placed.length > 0 && placed.length + there.length >= minCountOf(group);
    const key = group.spec.schedulingConstraints?.topology?.[0]?.key;
    const domains = key === undefined ? [undefined] : this.#domains(key, there);
    const attempts = domains.map((within) => this.#attempt(members, within));
    const best = mostPlaced(attempts);
    if (best && isEnough(best) && this.#takeAgain(best))
      return { kind: "placed", placed: best.placed, failed: best.failed };
    if (key !== undefined) return nowhere(members, attempts);
    const attempt = this.#attemptWithPreemption(members);
    if (isEnough(attempt) && attempt.preempting.length > 0) return { kind: "preempt", ...attempt };
    return { kind: "none", feasible: attempt.placed, failed: attempt.failed };
  }

  /** Pods that are there already have chosen the domain for all. */
  #domains(key: string, there: readonly string[]): Within[] {
    const { cache } = this.#options;
    const chosen = new Set(there.flatMap((name) => cache.node(name)?.labels[key] ?? []));
    const values = chosen.size > 0 ? chosen : new Set(cache.nodes.flatMap(({ labels }) => labels[key] ?? []));
    return [...values].map(
      (value) =>
        ({ labels }) =>
          labels[key] === value,
    );
  }

  /** Nothing has changed afterwards. */
  #attempt(members: readonly GroupMember[], within: Within | undefined): Attempt {
    const attempt: Attempt = { placed: [], failed: [], preempting: [] };
    for (const member of members) {
      const result = this.#options.cycle.schedule(member.info, within);
      if (result.kind === "none") attempt.failed.push({ ...member, failure: result });
      else this.#take(attempt, member, result.name);
    }
    this.#giveBack(attempt);
    return attempt;
  }

  /** As things would be without those that must go; nothing has changed afterwards. */
  #attemptWithPreemption(members: readonly GroupMember[]): Attempt {
    return this.#options.cache.imagining((whatIf) => {
      const attempt: Attempt = { placed: [], failed: [], preempting: [] };
      for (const member of members) this.#tryHard(attempt, member, whatIf.remove);
      this.#giveBack(attempt);
      return attempt;
    });
  }

  #tryHard(attempt: Attempt, member: GroupMember, remove: (victim: PodInfo) => void): void {
    const { cycle, preemptor } = this.#options;
    const result = cycle.schedule(member.info);
    if (result.kind === "node") {
      this.#take(attempt, member, result.name);
      return;
    }
    const preemption = preemptor.preempt(member.info, result);
    if (preemption.kind === "no") {
      const { keepsNomination, message } = preemption;
      const failure = { ...result, message: message ? `${result.message} ${message}` : result.message };
      attempt.failed.push({ ...member, failure, keepsNomination });
      return;
    }
    const { choice } = preemption;
    attempt.preempting.push({ ...member, choice, rejectedBy: result.rejectedBy });
    for (const victim of choice.victims) remove(victim);
    this.#take(attempt, member, choice.nodeName);
  }

  #take(attempt: Attempt, member: GroupMember, nodeName: string): void {
    const nominated = this.#options.cache.nominationOf(member.info.key);
    try {
      this.#options.binder.reserve(member.info, nodeName);
      attempt.placed.push({ ...member, nodeName, nominated });
    } catch {
      attempt.failed.push({ ...member, failure: undefined });
    }
  }

  #giveBack({ placed }: Attempt): void {
    const { binder, cache } = this.#options;
    for (const { info, nominated } of placed) {
      void binder.release(info);
      if (nominated !== undefined) cache.nominate(info, nominated);
    }
  }

  #takeAgain({ placed }: Attempt): boolean {
    const again: Attempt = { placed: [], failed: [], preempting: [] };
    for (const { nodeName, ...member } of placed) this.#take(again, member, nodeName);
    if (again.failed.length === 0) return true;
    this.#giveBack(again);
    return false;
  }
}

function mostPlaced(attempts: readonly Attempt[]): Attempt | undefined {
  let best = attempts[0];
  for (const attempt of attempts) if (attempt.placed.length > best!.placed.length) best = attempt;
  return best;
}

/** As upstream tells it: by the first domain, whatever the others lack. What any of them lacks may help. */
function nowhere(members: readonly GroupMember[], attempts: readonly Attempt[]): GroupResult {
  const first = attempts[0] ?? { placed: members, failed: [] };
  const placements = `0/${attempts.length} placements are available`;
  const message =
    attempts.length > 0 ? `${placements}, first placement status: ${unschedulable}` : placements;
  const rejectedBy = new Set(
    attempts.flatMap(({ failed }) => failed.flatMap(({ failure }) => [...(failure?.rejectedBy ?? [])])),
  );
  const failed = first.failed.map((each) =>
    each.failure ? { ...each, failure: { ...each.failure, rejectedBy } } : each,
  );
  return { kind: "none", feasible: first.placed, failed, message };
}
